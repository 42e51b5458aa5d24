"""A1111's pairs, and those of its relatives, as a reading: Forge, SD.Next, sd.cpp, ComfyUI's saver
nodes. What Civitai and Fooocus add stands in their own files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from civitai_skill.engines.prompts import LoraTag, read_lora_tags
from civitai_skill.remix import civitai, fooocus
from civitai_skill.remix.infotext import Infotext, read_pairs, split_infotext
from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import (
    can_be_looked_up,
    hash_of,
    name_of,
    number_of,
    positive_of,
    text_of,
    whole_of,
)

_SIZE = re.compile(r"([0-9]{1,5}) ?[xX\u00d7] ?([0-9]{1,5})")
_MOST = 60

#: What no engine here has a place for: {key: what it is called}. Only where it is switched on.
_LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("adetailer model", "ADetailer"),
    ("detailer", "Detailer"),
    ("face restoration", "Face restoration"),
    ("refiner", "Refiner"),
    ("refine", "Refiner"),
    ("variation seed", "Variation seed"),
    ("seed resize from", "Seed resize"),
    ("ensd", "ENSD"),
    ("tiling", "Tiling"),
    ("token merging ratio", "Token merging"),
    ("ngms", "NGMS"),
    ("freeu_enabled", "FreeU"),
    ("dynamic thresholding enabled", "Dynamic thresholding"),
    ("cfg rescale", "CFG rescale"),
    ("cfg end", "CFG end"),
    ("rp active", "Regional Prompter"),
    ("sharpness", "Sharpness"),
    ("adm guidance", "ADM Guidance"),
    ("hypernet", "Hypernetwork"),
)  # fmt: skip
_OFF = frozenset({"", "none", "false", "0", "disabled"})


def read_text(text: str) -> Reading | None:
    """A text in A1111's grammar; None where it is none."""
    split = split_infotext(text)
    if split is None:
        return None
    reading = _read(split)
    if isinstance(split.pairs.get("civitai resources"), list):
        civitai.add_resources(reading, split.pairs["civitai resources"])
    if isinstance(split.pairs.get("civitai metadata"), dict):
        civitai.add_metadata(reading, split.pairs["civitai metadata"])
    return reading


def _read(split: Infotext) -> Reading:
    pairs, negative = split.pairs, split.negative
    get = _getter(pairs)
    width, height = read_size(get("size"))
    loras = _loras(split.prompt, pairs)
    hashes = _table(pairs.get("hashes"))
    reading = Reading(
        dialect=_dialect(pairs),
        prompt=text_of(split.prompt),
        negative_prompt=text_of(negative),
        raw_prompt=get("raw prompt") or None,
        steps=positive_of(get("steps")),
        seed=whole_of(get("seed")),
        guidance=number_of(get("cfg scale", "cfgscale")),
        distilled_guidance=number_of(get("distilled cfg scale", "guidance")),
        width=width or positive_of(get("width")),
        height=height or positive_of(get("height")),
        clip_skip=positive_of(get("clip skip", "clipskip")),
        sampling=read_sampling(get("sampler"), get("schedule type", "scheduler")),
        model=_model("model", pairs, hashes),
        vae=_model("vae", pairs, hashes),
        loras=loras,
        embeddings=list(_embeddings(pairs, hashes)),
        modules=[name for n in range(1, 11) if (name := name_of(get(f"module {n}")))],
        controlnets=list(_controlnets(pairs)),
        not_carried=_left_out(split, get),
        base_model=get("basemodel") or None,
    )
    _add_passes(reading, get)
    if reading.dialect.startswith("fooocus"):
        fooocus.add_weights(reading, _table(pairs.get("lora weights")))
    return reading


def _getter(pairs: Mapping[str, Any]) -> Callable[..., str]:
    def get(*keys: str) -> str:
        found = (pairs[key] for key in keys if isinstance(pairs.get(key), str))
        return text_of(next(found, "")).strip()

    return get


def _dialect(pairs: Mapping[str, Any]) -> str:
    get = _getter(pairs)
    version = get("version").lower()
    if version.startswith("fooocus"):
        return "fooocus-a1111"
    if version.startswith("stable-diffusion.cpp"):
        return "sdcpp"
    if get("app").lower() == "sd.next":
        return "sdnext"
    if re.match(r"f[0-9]|neo", version) or "distilled cfg scale" in pairs or "module 1" in pairs:
        return "forge"
    if version.startswith("comfyui") or "lora_0 model name" in pairs or "scheduler" in pairs:
        return "comfy-saver"
    if {"civitai resources", "civitai metadata", "created date", "cfgscale", "workflow"} & set(
        pairs
    ):
        return "civitai"
    return "a1111"


def read_size(text: str) -> tuple[int | None, int | None]:
    """Width and height of `512x768`, in pixels."""
    found = _SIZE.fullmatch(text)
    return (None, None) if found is None else (positive_of(found[1]), positive_of(found[2]))


def _table(value: Any) -> dict[str, str]:
    """A map of names to texts, from JSON or from `name: text, name: text`."""
    if isinstance(value, str):
        parts = (part.rpartition(":") for part in value.split(",")[:_MOST])
        return {name.strip(): text.strip() for name, _, text in parts if name.strip()}
    if not isinstance(value, dict):
        return {}
    return {text_of(n): text_of(v).strip() for n, v in list(value.items())[:_MOST]}


def _model(kind: str, pairs: Mapping[str, Any], hashes: Mapping[str, str]) -> Named:
    get = _getter(pairs)
    found = hash_of(get(f"{kind} hash")) or hash_of(hashes.get(kind))
    return Named(name=name_of(get(kind)), hash=found)


# -- LoRAs and embeddings --------------------------------------------------------------------------
def _loras(prompt: str, pairs: Mapping[str, Any]) -> list[Named]:
    """The LoRAs by saver nodes' own keys, else by tags and what stands beside them."""
    numbered = [*_numbered(pairs), *_additional(pairs)]
    if numbered:
        return numbered
    hashes = _lora_hashes(pairs)
    weights: dict[str, float] = {}
    for tag in read_lora_tags(prompt).tags[:_MOST]:
        if tag.kind != "hypernet":
            weights.setdefault(tag.name, tag.weight)
    for name in _getter(pairs)("lora networks").split(",")[:_MOST]:
        if name := name.strip().partition(":")[0]:
            weights.setdefault(name, 1.0)
    for name, found in hashes.items():  # used, though the prompt does not say how strongly
        if can_be_looked_up(found):
            weights.setdefault(name, 1.0)
    return [
        Named(name=name, weight=number_of(weight), hash=hashes.get(name))
        for name, weight in weights.items()
    ]


def _lora_hashes(pairs: Mapping[str, Any]) -> dict[str, str]:
    """{name: hash}; the map `Hashes` is often empty where `Lora hashes` is not."""
    found = {n: h for n, text in _table(pairs.get("lora hashes")).items() if (h := hash_of(text))}
    for key, text in _table(pairs.get("hashes")).items():
        kind, _, name = key.partition(":")
        if kind.lower() == "lora" and (h := hash_of(text)):
            found.setdefault(name, h)
    return found


def _numbered(pairs: Mapping[str, Any]) -> Iterator[Named]:
    """nkchocoai's saver node: Lora_0 Model name, Lora_0 Strength model."""
    get = _getter(pairs)
    for n in range(_MOST):
        name = name_of(get(f"lora_{n} model name"))
        if name is None:
            return
        weight = number_of(get(f"lora_{n} strength model"))
        found = hash_of(get(f"lora_{n} model hash"))
        yield Named(name=name, weight=1 if weight is None else weight, hash=found)


_NAME_AND_HASH = re.compile(r"(.{1,300})\(([0-9a-fA-F]{8,64})\)")


def _additional(pairs: Mapping[str, Any]) -> Iterator[Named]:
    """The old extension Additional Networks."""
    get = _getter(pairs)
    for n in range(1, 6):
        text = get(f"addnet model {n}")
        if get(f"addnet module {n}").lower() != "lora" or name_of(text) is None:
            continue
        found = _NAME_AND_HASH.fullmatch(text)
        name, hash = (text, None) if found is None else (found[1], found[2])
        weight = number_of(get(f"addnet weight {n}", f"addnet weight a {n}"))
        yield Named(name=name_of(name), weight=1 if weight is None else weight, hash=hash)


def _embeddings(pairs: Mapping[str, Any], hashes: Mapping[str, str]) -> Iterator[Named]:
    """The ten digits of `Hashes` are the site's own kind; the twelve beside them are not."""
    found = {n: hash_of(text) for n, text in _table(pairs.get("ti hashes")).items()}
    for key, text in hashes.items():
        kind, _, name = key.partition(":")
        if kind.lower() == "embed" and (h := hash_of(text)):
            found[name] = h
    for name in _getter(pairs)("embeddings").split(",")[:_MOST]:
        if name.strip():
            found.setdefault(name.strip(), None)
    for name, hash in found.items():
        yield Named(name=name_of(name), hash=hash)


# -- passes, control nets, what is left out --------------------------------------------------------
def _add_passes(reading: Reading, get: Callable[..., str]) -> None:
    """Hires fix is there where a second size is; a denoising strength alone is of a source."""
    denoise = number_of(get("denoising strength", "hires strength", "denoise"))
    width, height = read_size(get("hires resize", "hires size"))
    hires = {
        "scale": number_of(get("hires upscale", "hires scale")),
        "steps": positive_of(get("hires steps")),
        "upscaler": get("hires upscaler") or None,
        "width": width,
        "height": height,
    }
    if any(hires[name] is not None for name in ("scale", "upscaler", "width")):
        reading.hires = {n: v for n, v in {**hires, "denoise": denoise}.items() if v is not None}
    elif denoise is not None and 0 < denoise < 1:
        reading.denoise, reading.needs_source_image = denoise, True
    if get("mask blur", "init image hash"):
        reading.needs_source_image = True


_PAIR_IN_BRACKETS = re.compile(r"\(([0-9.]{1,9}), ?([0-9.]{1,9})\)")


def _controlnets(pairs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for n in range(10):
        text = pairs.get(f"controlnet {n}")
        if not isinstance(text, str):
            continue
        start_end = _PAIR_IN_BRACKETS.search(text.partition("starting/ending")[2])
        get = _getter(read_pairs(text))
        start, end = (start_end[1], start_end[2]) if start_end else (
            get("guidance start"), get("guidance end"))  # fmt: skip
        found = {
            "preprocessor": get("preprocessor", "module") or None,
            "model": get("model") or None,
            "weight": number_of(get("weight")),
            "start": number_of(start),
            "end": number_of(end),
        }
        yield {name: value for name, value in found.items() if value is not None}


def _left_out(split: Infotext, get: Callable[..., str]) -> list[str]:
    found = [label for key, label in _LEFT_OUT if get(key).lower() not in _OFF]
    if get("rng").lower() not in ("", "gpu", "cuda"):
        found.append("RNG")
    tags: tuple[LoraTag, ...] = read_lora_tags(split.prompt).tags
    if any(tag.block for tag in tags):
        found.append("block weights")
    if any(tag.kind == "hypernet" for tag in tags):
        found.append("Hypernetwork")
    return list(dict.fromkeys(found))
