"""Which engine, and which variant of it, was probably meant by a name that is none."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Spelling:
    """A name in `air.fold` spelling and what to write for it."""

    text: str
    meaning: str


def meant(wanted: str, families: Sequence[Named]) -> str | None:
    """What to write instead of a name in `air.fold` spelling; None where nothing is near."""
    found = max(_matches(wanted, families), default=None)
    if found is not None:
        return found[1]
    near: dict[str, str] = {}
    for family, _ in families:
        near |= {v.text: v.meaning for v in _variants(family) if len(v.text) >= _TELLING}
    for family, aliases in families:
        near |= {name.text: name.meaning for name in _names(family, aliases)}
    like = [
        text for text in near if text[:1] == wanted[:1] and _digits(text) in ("", _digits(wanted))
    ]
    close = difflib.get_close_matches(wanted, like, 1, _LIKE)
    return near[close[0]] if close else None


def _matches(wanted: str, families: Sequence[Named]) -> Iterator[tuple[int, str]]:
    """(letters that it explains, what to write) of each reading of the name."""
    texts = Counter(v.text for family, _ in families for v in _variants(family))
    for family, aliases in families:
        names = _names(family, aliases)
        for name in names:
            # A number that goes on is another model: stable diffusion 3 is no sd1.
            if wanted.startswith(name.text) and not wanted[len(name.text) :][:1].isdigit():
                yield len(name.text), name.meaning
        for variant in _variants(family):
            if wanted == variant.text and texts[variant.text] == 1:
                yield len(wanted), variant.meaning
            for name in names:
                if wanted.startswith(name.text + variant.text):
                    yield len(name.text + variant.text), variant.meaning
                elif _is_either(wanted, name.text, variant.text):
                    yield len(wanted), variant.meaning


def _is_either(wanted: str, name: str, variant: str) -> bool:
    """Is it the variant before the family's name, or after a part of it, as in flux schnell?"""
    start = wanted.removesuffix(variant)
    cut_short = start != wanted and len(start) > 1 and name.startswith(start)
    return wanted == variant + name or cut_short


def _names(family: Family, aliases: tuple[str, ...]) -> list[_Spelling]:
    """The family's own names; one that names a variant as well means that variant."""
    found = []
    for name in (family.name, *aliases):
        variant = None if name == family.name else family.variant(name)
        meaning = family.name if variant is None else _named(family, variant.name)
        found.append(_Spelling(fold(name), meaning))
    return found


def _variants(family: Family) -> list[_Spelling]:
    """The names of its variants that are not retired."""
    return [
        _Spelling(fold(name), _named(family, variant.name))
        for variant in family.variants
        if variant.retired is None
        for name in (variant.name, *variant.aliases)
    ]


def _named(family: Family, variant: str) -> str:
    return f"engine {family.name} with variant {variant}"


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())
