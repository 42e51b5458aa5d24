"""The names of a row's pictures, from a template."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid

TEMPLATE = "{row}-{engine}-{seed}-{n}"

#: What a template may name.
FIELDS = ("row", "id", "engine", "variant", "seed", "n", "key", "batch")

_LONGEST = 120
_DIGEST = 16
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def format_stem(template: str, facts: Mapping[str, Any]) -> str:
    """One file's name without its suffix; what a path can't hold becomes an underscore."""
    parts = []
    for text, field, spec, _ in string.Formatter().parse(template):
        parts.append(text)
        if field is not None:
            value = facts[field]
            wide = bool(spec) and isinstance(value, int)
            parts.append(format(value, f"{spec}d") if wide else str(value))
    whole = "".join(parts)
    name = _UNSAFE.sub("_", whole).strip("._") or "picture"
    if len(name) <= _LONGEST:
        return name
    # What tells two long names apart may stand at their end. The digest is long enough for names
    # that are given without knowing the others (see adapters/ray.py).
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST - _DIGEST - 1]}-{digest}"


class PictureNames:
    """Gives each picture of a batch a name of its own, the same on every run.

    `fields` is what the template names. Raises RequestInvalid for one that names no file.
    """

    def __init__(self, template: str) -> None:
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
                if field is not None and (field not in FIELDS or conversion is not None):
                    why = f"{{{field}}} is not known"
                elif spec and not re.fullmatch(r"0?\d{1,2}", spec):
                    why = f"{{{field}:{spec}}} is not a width such as {{row:04}}"
        except ValueError as error:
            why = str(error)
        if why:
            accepted = "text with " + ", ".join(f"{{{name}}}" for name in FIELDS)
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
            while stem.lower() in self._taken:
                number += 1
                stem = f"{wanted}-{number}"
            self._taken.add(stem.lower())
            stems.append(stem)
        return tuple(stems)
