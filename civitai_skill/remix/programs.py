"""What other programs write as JSON that is no graph: SwarmUI, RuinedFooocus, Fooocus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.remix.reading import Named, Reading, read_fields, read_sampling
from civitai_skill.remix.values import (
    decode,
    hash_of,
    layer_of,
    name_of,
    partial_of,
    text_of,
    weight_of,
)

_MOST = 60
#: The key of each field.
_SWARMUI = {
    "prompt": "prompt", "negative_prompt": "negativeprompt", "steps": "steps", "seed": "seed",
    "guidance": "cfgscale", "distilled_guidance": "fluxguidancescale", "width": "width",
    "height": "height",
}  # fmt: skip
_RUINEDFOOOCUS = {
    "prompt": "prompt", "negative_prompt": "negative", "steps": "steps", "seed": "seed",
    "guidance": "cfg", "width": "width", "height": "height",
}  # fmt: skip
_FOOOCUS = {
    "steps": "steps", "seed": "seed", "guidance": "guidance_scale", "clip_skip": "clip_skip",
    "size": "resolution",
}  # fmt: skip
#: What Fooocus sets and no engine here has a place for.
_STYLES = {"sharpness": "Sharpness", "adm_guidance": "ADM Guidance"}


def read_program(data: Mapping[str, Any]) -> Reading | None:
    """The reading of what one of them wrote; None where it is of none."""
    if isinstance(data.get("sui_image_params"), Mapping):
        return _read_swarmui(data["sui_image_params"], data.get("sui_models"))
    if data.get("software") == "RuinedFooocus":
        return _read_ruinedfooocus({text_of(name).lower(): v for name, v in data.items()})
    if "base_model" in data and ("performance" in data or "full_prompt" in data):
        return _read_fooocus(data)
    return None


# -- SwarmUI ---------------------------------------------------------------------------------------
def _read_swarmui(said: Mapping[str, Any], models: Any) -> Reading:
    hashes = dict(_swarmui_hashes(models))
    model, vae = name_of(said.get("model")), name_of(said.get("vae"))
    weights = [*_swarmui_list(said.get("loraweights")), *[None] * _MOST]
    loras = zip(map(name_of, _swarmui_list(said.get("loras"))), weights, strict=False)
    return Reading(
        "swarmui",
        **read_fields(said, _SWARMUI),
        clip_skip=layer_of(said.get("clipstopatlayer")),
        sampling=read_sampling(said.get("sampler"), said.get("scheduler")),
        model=Named(model, hashes.get(model)),
        vae=Named(vae, hashes.get(vae)),
        loras=[Named(n, hashes.get(n), weight=weight_of(weight)) for n, weight in loras if n],
        not_carried=["Refiner"] if name_of(said.get("refinermodel")) else [],
    )


def _swarmui_hashes(models: Any) -> Iterator[tuple[str | None, str]]:
    """SwarmUI's hash is of the tensors, of which the site knows twelve digits."""
    for each in models[:_MOST] if isinstance(models, list) else ():
        if isinstance(each, Mapping) and (name := name_of(each.get("name"))):
            hash = hash_of(text_of(each.get("hash"))[:66])
            if hash is not None:
                yield name, hash[:12]


def _swarmui_list(value: Any) -> list[Any]:
    """A list, which may be written as JSON or with commas."""
    if isinstance(value, str):
        try:
            value = decode(value) if value.lstrip()[:1] == "[" else value.split(",")
        except ValueError:
            value = value.split(",")
    return value[:_MOST] if isinstance(value, list) else []


# -- RuinedFooocus ---------------------------------------------------------------------------------
def _read_ruinedfooocus(data: Mapping[str, Any]) -> Reading:
    """Keys in lower case; LoRAs as [hash, "weight - file"]."""
    loras = []
    listed = data.get("loras")
    for each in listed[:_MOST] if isinstance(listed, list) else ():
        if isinstance(each, list) and len(each) == 2:
            weight, _, file = text_of(each[1]).partition(" - ")
            if name := name_of(file):
                loras.append(Named(name, hash_of(each[0]), weight=weight_of(weight)))
    return Reading(
        "ruinedfooocus",
        **read_fields(data, _RUINEDFOOOCUS),
        sampling=read_sampling(data.get("sampler_name"), data.get("scheduler")),
        model=Named(name_of(data.get("base_model_name")), hash_of(data.get("base_model_hash"))),
        loras=loras,
        denoise=partial_of(data.get("denoise")),
    )


# -- Fooocus ---------------------------------------------------------------------------------------
def _read_fooocus(data: Mapping[str, Any]) -> Reading:
    """Its own scheme; the full prompts are those that were used."""
    prompt = text_of(data.get("prompt"))
    styles = [label for key, label in _STYLES.items() if data.get(key) not in (None, "")]
    refiner = ["Refiner"] if name_of(data.get("refiner_model")) else []
    return Reading(
        "fooocus",
        _joined(data.get("full_prompt")) or prompt,
        _joined(data.get("full_negative_prompt")) or text_of(data.get("negative_prompt")),
        prompt or None,
        **read_fields(data, _FOOOCUS),
        sampling=read_sampling(data.get("sampler"), data.get("scheduler")),
        model=Named(name_of(data.get("base_model")), hash_of(data.get("base_model_hash"))),
        vae=Named(name_of(data.get("vae"))),
        loras=list(_fooocus_loras(data)),
        not_carried=styles + refiner,
    )


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(text for part in value[:200] if (text := text_of(part)))
    return text_of(value)


def _fooocus_loras(data: Mapping[str, Any]) -> Iterator[Named]:
    listed = data.get("loras")
    if not isinstance(listed, list):
        texts = (text_of(data.get(f"lora_combined_{n}")) for n in range(1, 20))
        parts = (text.rpartition(" : ") for text in texts)
        listed = [[name, weight] for name, _, weight in parts]
    for each in listed[:20]:
        if isinstance(each, list) and each and (name := name_of(each[0])):
            weight, hash = (*each[1:3], None, None)[:2]
            yield Named(name, hash_of(hash), weight=weight_of(weight))
