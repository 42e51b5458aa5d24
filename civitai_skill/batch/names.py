"""The names of a row's pictures, from a template."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid

TEMPLATE = "{row}-{engine}-{seed}-{n}"

#: What a template may name.
FIELDS = ("row", "id", "engine", "variant", "seed", "n", "key", "batch")

#: The longest name, in characters and in bytes; disks take 255 bytes with suffix and number.
_LONGEST, _MOST_BYTES = 120, 200
_DIGEST = 16

#: What a name says of a row, and no sweep can.
_FACTS = ("row", "id", "n", "key", "batch")


def format_stem(template: str, facts: Mapping[str, Any]) -> str:
    """One file's name without its suffix; letters of all alphabets stay, what a path can't hold
    becomes an underscore."""
    parts = []
    for text, field, spec, _ in string.Formatter().parse(template):
        parts.append(text)
        if field is not None:
            value = facts[field]
            wide = bool(spec) and isinstance(value, int)
            parts.append(format(value, f"{spec}d") if wide else str(value))
    whole = "".join(parts)
    # Letters, their marks, and digits; composed, because some disks compare names so.
    kept = (
        c if c in "._-" or unicodedata.category(c)[0] in "LMN" else " "
        for c in unicodedata.normalize("NFC", whole)
    )
    name = "_".join("".join(kept).split()).strip("._") or "picture"
    if len(name) <= _LONGEST and len(name.encode()) <= _MOST_BYTES:
        return name
    # What tells two long names apart may stand at their end. The digest is long enough for names
    # that are given without knowing the others (see adapters/ray.py).
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    name = (
        name[: _LONGEST - _DIGEST - 1].encode()[: _MOST_BYTES - _DIGEST - 1].decode(errors="ignore")
    )
    return f"{name}-{digest}"


def sweep_template(sets: Mapping[str, Sequence[Any]]) -> str:
    """The names of a sweep's pictures where none are given: the row and what is swept."""
    swept = [name for name, values in sets.items() if len(values) > 1 and name not in _FACTS]
    return "-".join(f"{{{name}}}" for name in ("row", *swept, "n")) if swept else TEMPLATE


class PictureNames:
    """Gives each picture of a batch a name of its own, the same on every run.

    `swept` are the names that a sweep adds; `fields` is what the template names. Raises
    RequestInvalid for one that names no file.
    """

    def __init__(self, template: str, swept: Iterable[str] = ()) -> None:
        known = [*FIELDS, *(name for name in swept if name not in FIELDS)]
        self.fields: set[str] = set()
        self._template = template
        self._taken: set[str] = set()
        why = "" if template.strip() else "it is empty"
        if "/" in template or "\\" in template:
            why = "it names a folder"
        try:
            for _, field, spec, conversion in string.Formatter().parse(template):
                if field is not None:
                    self.fields.add(field)
                if field is not None and (field not in known or conversion is not None):
                    why = f"{{{field}}} is not known"
                elif spec and not re.fullmatch(r"0?\d{1,2}", spec):
                    why = f"{{{field}:{spec}}} is not a width such as {{row:04}}"
        except ValueError as error:
            why = str(error)
        if why:
            accepted = "text with " + ", ".join(f"{{{name}}}" for name in known)
            raise RequestInvalid(Problem("template", template, accepted, TEMPLATE, why))

    def reserve(self, quantity: int, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """The stems of one row's pictures; call it for the rows in order."""
        stems = []
        for n in range(quantity):
            # Picture `n` of a workflow has its seed plus n.
            seed = "noseed" if facts["seed"] is None else facts["seed"] + n
            wanted = stem = format_stem(self._template, {**facts, "n": n, "seed": seed})
            number = 1
            # Without regard to case: some disks know none.
            while stem.casefold() in self._taken:
                number += 1
                stem = f"{wanted}-{number}"
            self._taken.add(stem.casefold())
            stems.append(stem)
        return tuple(stems)
