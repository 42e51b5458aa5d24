"""A1111's pairs, and those of its relatives, as a reading: Forge, SD.Next, sd.cpp, Fooocus,
ComfyUI's saver nodes. What Civitai adds stands in its own file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from civitai_skill.engines.prompts import LoraTag, read_lora_tags
from civitai_skill.remix import civitai
from civitai_skill.remix.infotext import Pairs, read_pairs, split_infotext
from civitai_skill.remix.reading import Named, Reading, read_fields, read_sampling
from civitai_skill.remix.values import (
    can_be_looked_up,
    hash_of,
    name_of,
    number_of,
    partial_of,
    positive_of,
    size_of,
    weight_of,
)

_MOST = 60

#: What no engine here has a place for: {key: what it is called}. Only where it is switched on.
_LEFT_OUT = {
    "adetailer model": "ADetailer", "detailer": "Detailer", "face restoration": "Face restoration",
    "refiner": "Refiner", "refine": "Refiner", "variation seed": "Variation seed",
    "seed resize from": "Seed resize", "ensd": "ENSD", "tiling": "Tiling", "ngms": "NGMS",
    "token merging ratio": "Token merging", "freeu_enabled": "FreeU", "cfg rescale": "CFG rescale",
    "dynamic thresholding enabled": "Dynamic thresholding", "cfg end": "CFG end",
    "rp active": "Regional Prompter", "sharpness": "Sharpness", "adm guidance": "ADM Guidance",
    "hypernet": "Hypernetwork",
}  # fmt: skip
_KEYS = {
    "steps": "steps", "seed": "seed", "guidance": "cfg scale|cfgscale",
    "distilled_guidance": "distilled cfg scale|guidance", "size": "size",
    "width": "width", "height": "height", "clip_skip": "clip skip|clipskip",
}  # fmt: skip
_OFF = frozenset({"", "none", "false", "0", "disabled"})


def read_text(text: str) -> Reading | None:
    """A text in A1111's grammar; None where it is none."""
    split = split_infotext(text)
    if split is None:
        return None
    pairs, tags = split.pairs, read_lora_tags(split.prompt).tags
    reading = Reading(
        _dialect(pairs),
        split.prompt,
        split.negative,
        pairs.text("raw prompt") or None,
        **read_fields(pairs, _KEYS),
        sampling=read_sampling(pairs.text("sampler"), pairs.text("schedule type", "scheduler")),
        model=_model("model", pairs),
        vae=_model("vae", pairs),
        loras=[*_numbered(pairs), *_additional(pairs)] or list(_tagged(tags, pairs)),
        embeddings=list(_embeddings(pairs)),
        modules=[name for n in range(1, 11) if (name := name_of(pairs.text(f"module {n}")))],
        controlnets=list(_controlnets(pairs)),
        not_carried=list(dict.fromkeys(_left_out(tags, pairs))),
        base_model=pairs.text("basemodel") or None,
    )
    _add_passes(reading, pairs)
    if isinstance(pairs.get("civitai resources"), list):
        civitai.add_resources(reading, pairs["civitai resources"])
    if isinstance(pairs.get("civitai metadata"), dict):
        civitai.add_metadata(reading, pairs["civitai metadata"])
    return reading


def _dialect(pairs: Pairs) -> str:
    version = pairs.text("version").lower()
    if version.startswith("fooocus"):
        return "fooocus-a1111"
    if version.startswith("stable-diffusion.cpp"):
        return "sdcpp"
    if pairs.text("app").lower() == "sd.next":
        return "sdnext"
    if re.match(r"f[0-9]|neo", version) or "distilled cfg scale" in pairs or "module 1" in pairs:
        return "forge"
    if version.startswith("comfyui") or "lora_0 model name" in pairs or "scheduler" in pairs:
        return "comfy-saver"
    of_site = ("civitai resources", "civitai metadata", "created date", "cfgscale", "workflow")
    return "a1111" if pairs.keys().isdisjoint(of_site) else "civitai"


def _model(kind: str, pairs: Pairs) -> Named:
    hash = hash_of(pairs.text(f"{kind} hash")) or hash_of(pairs.table("hashes").get(kind))
    return Named(name_of(pairs.text(kind)), hash)


# -- LoRAs and embeddings --------------------------------------------------------------------------
def _tagged(tags: tuple[LoraTag, ...], pairs: Pairs) -> Iterator[Named]:
    """The LoRAs by their tags in the prompt, and by what stands beside it."""
    hashes = {n: h for n, text in pairs.table("lora hashes").items() if (h := hash_of(text))}
    for name, hash in _in_hashes("lora", pairs):  # often none where there are those above
        hashes.setdefault(name, hash)
    weights: dict[str, float] = {}
    for tag in tags[:_MOST]:
        if tag.kind != "hypernet":
            weights.setdefault(tag.name, tag.weight)
    for text in pairs.listed("lora networks"):
        if name := text.partition(":")[0]:
            weights.setdefault(name, 1.0)
    for name, hash in hashes.items():  # used, though the prompt does not say how strongly
        if can_be_looked_up(hash):
            weights.setdefault(name, 1.0)
    for name, text in pairs.table("lora weights").items():  # of Fooocus, which writes no tags
        weights[name] = weight_of(text)
    for name, weight in weights.items():
        yield Named(name, hashes.get(name), weight=number_of(weight))


def _in_hashes(kind: str, pairs: Pairs) -> Iterator[tuple[str, str]]:
    for key, text in pairs.table("hashes").items():
        what, _, name = key.partition(":")
        if what.lower() == kind and (hash := hash_of(text)):
            yield name, hash


def _numbered(pairs: Pairs) -> Iterator[Named]:
    """nkchocoai's saver node: Lora_0 Model name, Lora_0 Strength model."""
    for n in range(_MOST):
        name = name_of(pairs.text(f"lora_{n} model name"))
        if name is None:
            return
        weight = weight_of(pairs.text(f"lora_{n} strength model"))
        yield Named(name, hash_of(pairs.text(f"lora_{n} model hash")), weight=weight)


_NAME_AND_HASH = re.compile(r"(.{1,300})\(([0-9a-fA-F]{8,64})\)")


def _additional(pairs: Pairs) -> Iterator[Named]:
    """The old extension Additional Networks."""
    for n in range(1, 6):
        text = pairs.text(f"addnet model {n}")
        if pairs.text(f"addnet module {n}").lower() != "lora" or name_of(text) is None:
            continue
        found = _NAME_AND_HASH.fullmatch(text)
        name, hash = (text, None) if found is None else (found[1], found[2])
        weight = weight_of(pairs.text(f"addnet weight {n}", f"addnet weight a {n}"))
        yield Named(name_of(name), hash, weight=weight)


def _embeddings(pairs: Pairs) -> Iterator[Named]:
    """The ten digits of `Hashes` are the site's own kind; the twelve beside them are not."""
    found = {name: hash_of(text) for name, text in pairs.table("ti hashes").items()}
    found |= _in_hashes("embed", pairs)
    for name in pairs.listed("embeddings"):
        found.setdefault(name, None)
    for name, hash in found.items():
        yield Named(name_of(name), hash)


# -- passes, control nets, what is left out --------------------------------------------------------
def _add_passes(reading: Reading, pairs: Pairs) -> None:
    """Hires fix is there where a second size is; a denoising strength alone is of a source."""
    denoise = pairs.text("denoising strength", "hires strength", "denoise")
    width, height = size_of(pairs.text("hires resize", "hires size"))
    hires = {
        "scale": number_of(pairs.text("hires upscale", "hires scale")),
        "steps": positive_of(pairs.text("hires steps")),
        "upscaler": pairs.text("hires upscaler") or None,
        "width": width,
        "height": height,
        "denoise": number_of(denoise),
    }
    if any(hires[name] is not None for name in ("scale", "upscaler", "width")):
        reading.hires = {name: value for name, value in hires.items() if value is not None}
    else:
        reading.denoise = partial_of(denoise)
    over_one = reading.denoise is not None or pairs.text("mask blur", "init image hash")
    reading.needs_source_image = bool(over_one)


_PAIR_IN_BRACKETS = re.compile(r"\(([0-9.]{1,9}), ?([0-9.]{1,9})\)")


def _controlnets(pairs: Pairs) -> Iterator[dict[str, Any]]:
    for n in range(10):
        text = pairs.get(f"controlnet {n}")
        if not isinstance(text, str):
            continue
        net = read_pairs(text)
        bounds = _PAIR_IN_BRACKETS.search(text.partition("starting/ending")[2])
        found = {
            "preprocessor": net.text("preprocessor", "module") or None,
            "model": net.text("model") or None,
            "weight": number_of(net.text("weight")),
            "start": number_of(bounds[1] if bounds else net.text("guidance start")),
            "end": number_of(bounds[2] if bounds else net.text("guidance end")),
        }
        yield {name: value for name, value in found.items() if value is not None}


def _left_out(tags: tuple[LoraTag, ...], pairs: Pairs) -> Iterator[str]:
    yield from (label for key, label in _LEFT_OUT.items() if pairs.text(key).lower() not in _OFF)
    if pairs.text("rng").lower() not in ("", "gpu", "cuda"):
        yield "RNG"
    if any(tag.block for tag in tags):
        yield "block weights"
    if any(tag.kind == "hypernet" for tag in tags):
        yield "Hypernetwork"
