"""Which engine a picture was made for, by what its data says: its models first, then its words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.resolve import Resolved
from civitai_skill.resources.records import kind_of_air
from civitai_skill.resources.takers import ecosystem_of, find_takers, takers_of
from civitai_skill.schema.air import Air, fold


@dataclass
class Home:
    """The engine, and the variant to name. `certain` says that nothing has to be asked: the model
    was found, or it is the engine's own."""

    engine: str | None = None
    variant: str | None = None
    certain: bool = False


def find_home(reading: Reading, resolved: Sequence[Resolved], said: Sequence[str] = ()) -> Home:
    """The engine of a reading: its checkpoint decides, then a LoRA or an embedding. AIRs that were
    `said` go before those that were read."""
    mine = [(kind_of_air(Air.parse(air)), takers_of(air)) for air in said]
    read = [(each.kind, each.takers) for each in resolved]
    for kind in ("checkpoint", "lora", "embedding"):
        for one, takers in (*mine, *read):
            if one == kind and takers:
                return Home(takers[0].engine, takers[0].variant)
    if reading.base_model and (ecosystem := ecosystem_of(reading.base_model)):
        takers = find_takers(ecosystem, "checkpoint") or find_takers(ecosystem, "lora")
        if takers:
            return Home(takers[0].engine)
    return _by_name(reading.model.name or "") or _by_settings(reading)


def airs_of(said: Mapping[str, Any]) -> Iterator[str]:
    """The AIRs of the models that were said; they come beside those that were read."""
    if said.get("model"):
        yield str(said["model"])
    for lora in (*(said.get("loras") or ()), *(said.get("embeddings") or ())):
        yield str(lora["air"] if isinstance(lora, Mapping) else getattr(lora, "air", lora))


def _by_name(name: str) -> Home | None:
    """The engine that a file's name tells of: flux1-dev-Q8_0, z_image_turbo_bf16, ponyRealism."""
    bare = fold(name)
    found = max((word for word in _words() if word in bare), key=len, default=None)
    if found is None:
        return None
    engine, variant = _words()[found]
    # A checkpoint of those that heed weights is somebody's own, whatever it is called.
    own = _syntax(engine) not in _TAGGED
    return Home(engine, variant if own else None, certain=own)


@cache
def _words() -> Mapping[str, tuple[str, str | None]]:
    """{what an engine or a variant is called, folded: the engine, the variant}"""
    found: dict[str, tuple[str, str | None]] = {}
    for entry in catalog.CATALOG:
        family = catalog.family(entry.name)
        for variant in family.variants:
            for name in (variant.name, *variant.aliases):
                found.setdefault(fold(family.name + name), (family.name, variant.name))
                if len(fold(name)) >= _TELLING:
                    found.setdefault(fold(name), (family.name, variant.name))
        for name in (entry.name, *entry.aliases):
            named = family.variant(name)
            found.setdefault(fold(name), (family.name, named.name if named else None))
    return {word: value for word, value in found.items() if len(word) >= _SHORTEST}


def _syntax(engine: str) -> str:
    return catalog.family(engine).variants[0].ways[0].form.prompt_syntax


def _by_settings(reading: Reading) -> Home:
    if reading.distilled_guidance is not None and reading.dialect in ("forge", "comfyui"):
        return Home(catalog.find(_DISTILLED).name)
    area = math.log((reading.width or 1024) * (reading.height or 1024))
    return Home(min(_areas(), key=lambda name: abs(area - _areas()[name])))


@cache
def _areas() -> Mapping[str, float]:
    """{engine whose checkpoints people make: the logarithm of its pictures' pixels}"""
    return {
        family.name: math.log(math.prod(family.size("1:1") or (1024, 1024)))
        for family in catalog.families()
        if _syntax(family.name) == _TAGGED[0]
    }


#: Forms that heed weights: engines whose checkpoints people make.
_TAGGED = ("weights", "comfy")
#: What Forge and ComfyUI write a distilled guidance for.
_DISTILLED = "flux dev"
#: Letters of a variant's name that tell it without its engine's, and of any name.
_TELLING, _SHORTEST = 8, 4
