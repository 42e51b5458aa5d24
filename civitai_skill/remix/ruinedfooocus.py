"""RuinedFooocus's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import hash_of, name_of, number_of, positive_of, text_of, whole_of


def is_ruinedfooocus(data: Mapping[str, Any]) -> bool:
    """Is it what RuinedFooocus writes?"""
    return data.get("software") == "RuinedFooocus"


def read_ruinedfooocus(data: Mapping[str, Any]) -> Reading:
    """Capitalised keys; LoRAs as [hash, "weight - file"]."""
    get = {text_of(name).lower(): value for name, value in data.items()}.get
    return Reading(
        dialect="ruinedfooocus",
        prompt=text_of(get("prompt")).strip(),
        negative_prompt=text_of(get("negative")).strip(),
        steps=positive_of(get("steps")),
        seed=whole_of(get("seed")),
        guidance=number_of(get("cfg")),
        width=positive_of(get("width")),
        height=positive_of(get("height")),
        sampling=read_sampling(text_of(get("sampler_name")), text_of(get("scheduler"))),
        model=Named(name=name_of(get("base_model_name")), hash=hash_of(get("base_model_hash"))),
        loras=list(_loras(get("loras"))),
        denoise=_denoise(get("denoise")),
    )


def _denoise(value: Any) -> float | None:
    found = number_of(value)
    return found if found is not None and 0 < found < 1 else None


def _loras(listed: Any) -> Iterator[Named]:
    for each in listed[:60] if isinstance(listed, list) else ():
        if isinstance(each, list) and len(each) == 2:
            weight, dash, file = text_of(each[1]).partition(" - ")
            if dash and (name := name_of(file)):
                number = number_of(weight)
                yield Named(name=name, weight=1 if number is None else number,
                            hash=hash_of(each[0]))  # fmt: skip
