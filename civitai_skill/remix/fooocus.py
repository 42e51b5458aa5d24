"""Fooocus: its own JSON, and the weights of LoRAs in its A1111-like text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import hash_of, name_of, number_of, positive_of, text_of, whole_of

_MOST = 20


def add_weights(reading: Reading, weights: Mapping[str, str]) -> None:
    """The prompt has no tags: weights stand beside the hashes."""
    known = {lora.name: lora for lora in reading.loras}
    for name, text in weights.items():
        weight = number_of(text)
        known[name] = replace(
            known.get(name, Named(name=name)), weight=1 if weight is None else weight
        )
    reading.loras = list(known.values())


def is_fooocus(data: Mapping[str, Any]) -> bool:
    """Is it the JSON of Fooocus's own scheme?"""
    return "base_model" in data and ("performance" in data or "full_prompt" in data)


def read_fooocus(data: Mapping[str, Any]) -> Reading:
    """The scheme `fooocus`; the full prompts are those that were used."""
    size = [positive_of(part) for part in text_of(data.get("resolution")).strip("() ").split(",")]
    width, height = size if len(size) == 2 else (None, None)
    styles = [n for n in ("sharpness", "adm_guidance") if data.get(n) not in (None, "")]
    return Reading(
        dialect="fooocus",
        prompt=_joined(data.get("full_prompt")) or text_of(data.get("prompt")),
        negative_prompt=_joined(data.get("full_negative_prompt"))
        or text_of(data.get("negative_prompt")),
        raw_prompt=text_of(data.get("prompt")) or None,
        steps=positive_of(data.get("steps")),
        seed=whole_of(data.get("seed")),
        guidance=number_of(data.get("guidance_scale")),
        width=width,
        height=height,
        clip_skip=positive_of(data.get("clip_skip")),
        sampling=read_sampling(text_of(data.get("sampler")), text_of(data.get("scheduler"))),
        model=Named(
            name=name_of(data.get("base_model")), hash=hash_of(data.get("base_model_hash"))
        ),
        vae=Named(name=name_of(data.get("vae"))),
        loras=list(_loras(data)),
        not_carried=[_SPELT[name] for name in styles]
        + (["Refiner"] if name_of(data.get("refiner_model")) else []),
    )


_SPELT = {"sharpness": "Sharpness", "adm_guidance": "ADM Guidance"}


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(text for part in value[:200] if (text := text_of(part).strip()))
    return text_of(value)


def _loras(data: Mapping[str, Any]) -> Iterator[Named]:
    listed = data.get("loras")
    if isinstance(listed, list):
        for each in listed[:_MOST]:
            if isinstance(each, list) and each and (name := name_of(each[0])):
                weight = number_of(each[1]) if len(each) > 1 else None
                hash = hash_of(each[2]) if len(each) > 2 else None
                yield Named(name=name, weight=1 if weight is None else weight, hash=hash)
        return
    for n in range(1, _MOST):
        name, _, weight_text = text_of(data.get(f"lora_combined_{n}")).rpartition(" : ")
        if found := name_of(name):
            weight = number_of(weight_text)
            yield Named(name=found, weight=1 if weight is None else weight)
