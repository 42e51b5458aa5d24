"""SwarmUI's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import (
    decode,
    hash_of,
    name_of,
    number_of,
    positive_of,
    text_of,
    whole_of,
)

_MOST = 60


def is_swarmui(data: Mapping[str, Any]) -> bool:
    """Is it what SwarmUI writes?"""
    return isinstance(data.get("sui_image_params"), Mapping)


def read_swarmui(data: Mapping[str, Any]) -> Reading:
    """`sui_image_params`, with the hashes of `sui_models`."""
    said = data["sui_image_params"]
    hashes = _hashes(data.get("sui_models"))
    model = name_of(said.get("model"))
    weights = [number_of(weight) for weight in _list(said.get("loraweights"))]
    loras = []
    for n, raw in enumerate(_list(said.get("loras"))):
        if name := name_of(raw):
            weight = weights[n] if n < len(weights) else None
            loras.append(Named(name=name, weight=1 if weight is None else weight,
                               hash=hashes.get(name)))  # fmt: skip
    vae = name_of(said.get("vae"))
    return Reading(
        dialect="swarmui",
        prompt=text_of(said.get("prompt")).strip(),
        negative_prompt=text_of(said.get("negativeprompt")).strip(),
        steps=positive_of(said.get("steps")),
        seed=whole_of(said.get("seed")),
        guidance=number_of(said.get("cfgscale")),
        distilled_guidance=number_of(said.get("fluxguidancescale")),
        width=positive_of(said.get("width")),
        height=positive_of(said.get("height")),
        clip_skip=_clip_skip(said.get("clipstopatlayer")),
        sampling=read_sampling(text_of(said.get("sampler")), text_of(said.get("scheduler"))),
        model=Named(name=model, hash=hashes.get(model or "")),
        vae=Named(name=vae, hash=hashes.get(vae or "")),
        loras=loras,
        not_carried=["Refiner"] if name_of(said.get("refinermodel")) else [],
    )


def _hashes(models: Any) -> dict[str, str]:
    """{name: hash}; SwarmUI's hash is of the tensors, of which the site knows twelve digits."""
    found: dict[str, str] = {}
    for each in models[:_MOST] if isinstance(models, list) else ():
        if isinstance(each, Mapping) and (name := name_of(each.get("name"))):
            hash = hash_of(text_of(each.get("hash"))[:66])
            if hash is not None:
                found[name] = hash[:12]
    return found


def _list(value: Any) -> list[Any]:
    """A list, which may be written as JSON or with commas."""
    if isinstance(value, str):
        try:
            value = decode(value) if value.lstrip()[:1] == "[" else value.split(",")
        except ValueError:
            value = value.split(",")
    return value[:_MOST] if isinstance(value, list) else []


def _clip_skip(value: Any) -> int | None:
    layer = whole_of(value)
    return -layer if layer is not None and layer < 0 else None
