"""Which engine, and which variant of it, was probably meant by a name that is none."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from civitai_skill.schema.air import fold

if TYPE_CHECKING:
    from civitai_skill.engines.family import Family

#: A family and the other spellings of its name.
Named = tuple["Family", tuple[str, ...]]

# Below this likeness a suggestion is a guess that helps nobody.
_LIKE = 0.75

# Shorter names of variants ("open", "image", "max") are like too much else.
_TELLING = 6


def meant(wanted: str, families: Sequence[Named]) -> str | None:
    """What to write instead of a name in `air.fold` spelling; None where nothing is near."""
    found = max(_matches(wanted, families), default=None)
    if found is not None:
        return found[1]
    near: dict[str, str] = {}
    for family, _ in families:
        near |= {text: said for text, said in _variants(family).items() if len(text) >= _TELLING}
    for family, aliases in families:
        near |= _names(family, aliases)
    digits = re.sub(r"\D", "", wanted)
    like = [
        text for text in near if text[:1] == wanted[:1] and re.sub(r"\D", "", text) in ("", digits)
    ]
    close = difflib.get_close_matches(wanted, like, 1, _LIKE)
    return near[close[0]] if close else None


def _matches(wanted: str, families: Sequence[Named]) -> Iterator[tuple[int, str]]:
    """(letters that it explains, what to write) of each reading of the name."""
    texts = Counter(text for family, _ in families for text in _variants(family))
    for family, aliases in families:
        names = _names(family, aliases)
        for name, meaning in names.items():
            # A number that goes on is another model: stable diffusion 3 is no sd1.
            if wanted.startswith(name) and not wanted[len(name) :][:1].isdigit():
                yield len(name), meaning
        for variant, meaning in _variants(family).items():
            if wanted == variant and texts[variant] == 1:
                yield len(wanted), meaning
            for name in names:
                if wanted.startswith(name + variant):
                    yield len(name + variant), meaning
                elif _is_either(wanted, name, variant):
                    yield len(wanted), meaning


def _is_either(wanted: str, name: str, variant: str) -> bool:
    """Is it the variant before the family's name, or after a part of it, as in flux schnell?"""
    start = wanted.removesuffix(variant)
    cut_short = start != wanted and len(start) > 1 and name.startswith(start)
    return wanted == variant + name or cut_short


def _names(family: Family, aliases: tuple[str, ...]) -> dict[str, str]:
    """{the family's own names: what to write}; one that names a variant as well means that."""
    found = {fold(family.name): family.name}
    for name in aliases:
        variant = family.variant(name)
        found[fold(name)] = family.name if variant is None else _named(family, variant.name)
    return found


def _variants(family: Family) -> dict[str, str]:
    """{the names of its variants that are not retired: what to write}."""
    return {
        fold(name): _named(family, variant.name)
        for variant in family.variants
        if variant.retired is None
        for name in (variant.name, *variant.aliases)
    }


def _named(family: Family, variant: str) -> str:
    return f"engine {family.name} with variant {variant}"
