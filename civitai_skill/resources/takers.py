"""Which engines take a model, by what the site calls its family: planned like a real request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
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


@lru_cache(1024)
def find_takers(ecosystem: str, type: str) -> tuple[Taker, ...]:
    """The engines that load a model of an AIR ecosystem and type; those it was made for first."""
    field = field_of(type)
    if field is None or not ecosystem:
        return ()
    air = f"urn:air:{ecosystem}:{type}:civitai:1@1"
    families = [catalog.family(r["name"]) for r in records() if ecosystem in r["ecosystems"]]
    families.sort(key=lambda family: ecosystem not in family.ecosystems)
    able = (next(_able(family, field, air), None) for family in families)
    return tuple(taker for taker in able if taker is not None)


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


def _able(family: Family, field: str, air: str) -> Iterator[Taker]:
    """The variants that take an AIR in a field, first of all that which the engine chooses."""
    value: Any = [air] if field in ("loras", "embeddings") else air
    for name in (None, *(v.name for v in family.variants if v.retired is None)):
        said = {"engine": family.name, "variant": name, field: value}
        with suppress(RequestInvalid):
            plan(ImageRequest(prompt="a picture", **said))
            yield Taker(family.name, name)


def loads_unnamed(engine: str) -> bool:
    """Does an engine load LoRAs although no ecosystem of theirs is known?"""
    family = catalog.family(engine)
    air = "urn:air:unknown:lora:civitai:1@1"
    return not family.ecosystems and any(_able(family, "loras", air))


@lru_cache(256)
def ecosystem_of(base_model: str) -> str | None:
    """The ecosystem of what the site calls a base model (`SDXL 1.0`, `Flux.1 D`), None where none
    begins its name: only the AIR can tell then."""
    bare = fold(base_model)
    known = {name for record in records() for name in record["ecosystems"]}
    return max((name for name in known if bare.startswith(name)), key=len, default=None)
