"""Which engines take a model, by what the site calls its family: planned like a real request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family
from civitai_skill.engines.index import records
from civitai_skill.engines.planning.plan import plan
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.air import LORA_TYPES, MODEL_TYPES, Air, fold
from civitai_skill.schema.request import ImageRequest


@dataclass(frozen=True)
class Taker:
    """An engine that takes a model; `variant` is None where that is left to the engine."""

    engine: str
    variant: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {n: v for n, v in vars(self).items() if v is not None}

    def __str__(self) -> str:
        return self.engine if self.variant is None else f"{self.engine} {self.variant}"


#: The type of AIR that stands for each kind of model.
AIR_TYPES: Mapping[str, str] = {kind: kind for kind in ("checkpoint", "lora", "embedding", "vae")}


@lru_cache(1024)
def find_takers(ecosystem: str, type: str) -> tuple[Taker, ...]:
    """The engines that load a model of an AIR ecosystem and type; those it was made for first."""
    field = field_of(type)
    if field is None or not ecosystem:
        return ()
    found = list(_find(ecosystem, type, field))
    found.sort(key=lambda taker: ecosystem not in catalog.family(taker.engine).ecosystems)
    return tuple(found)


def takers_of(text: str) -> tuple[Taker, ...]:
    """The engines that take what an AIR names. Raises ValueError for what is none."""
    air = Air.parse(text)
    return find_takers(air.family or "", (air.type or "").lower())


def field_of(type: str) -> str | None:
    """The field of a request where an AIR of a type belongs; None: in none."""
    type = type.lower()
    if type in LORA_TYPES:
        return "loras"
    if type in MODEL_TYPES:
        return "model"
    return {"embedding": "embeddings", "vae": "vae"}.get(type)


def _find(ecosystem: str, type: str, field: str) -> Iterator[Taker]:
    air = f"urn:air:{ecosystem}:{type}:civitai:1@1"
    value: Any = {"loras": [{"air": air}], "embeddings": [air]}.get(field, air)
    for record in records():
        if ecosystem not in record["ecosystems"]:
            continue
        family = catalog.family(record["name"])
        variants = [None, *(v.name for v in family.variants if v.retired is None)]
        able = [name for name in variants if _takes(family, name, field, value)]
        if able:
            yield Taker(family.name, able[0])


def _takes(family: Family, variant: str | None, field: str, value: Any) -> bool:
    said = {"engine": family.name, "variant": variant, field: value}
    try:
        plan(ImageRequest(prompt="a picture", **said))
    except RequestInvalid:
        return False
    return True


def loads_unnamed(engine: str) -> bool:
    """Does an engine load LoRAs although no ecosystem of theirs is known?"""
    family = catalog.family(engine)
    value = [{"air": "urn:air:unknown:lora:civitai:1@1"}]
    names = [None, *(v.name for v in family.variants if v.retired is None)]
    return not family.ecosystems and any(_takes(family, n, "loras", value) for n in names)


@lru_cache(256)
def ecosystem_of(base_model: str) -> str | None:
    """The ecosystem of what the site calls a base model (`SDXL 1.0`, `Flux.1 D`), None where none
    begins its name: only the AIR can tell then."""
    bare = fold(base_model)
    known = {name for record in records() for name in record["ecosystems"]}
    return max((name for name in known if bare.startswith(name)), key=len, default=None)
