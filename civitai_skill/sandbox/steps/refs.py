"""References: `{"$ref": "$0", "path": "output.images[0].url"}` in place of a value.

`$ref` names a step (`$0`, `$1`, or its own name) or `$arguments`; the path is dotted and indexed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.sandbox.wire import parse_index

ARGUMENTS = "$arguments"

#: What cannot be found.
MISSING: Any = object()


def is_reference(value: Any) -> bool:
    """Is it an object with a textual `$ref`?"""
    return isinstance(value, dict) and isinstance(value.get("$ref"), str)


def references(value: Any) -> Iterator[dict[str, Any]]:
    """Every reference inside a value."""
    if is_reference(value):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every reference replaced; what cannot be found becomes MISSING."""
    if is_reference(value):
        return trail(value, scope)[-1]
    if isinstance(value, dict):
        return {key: resolve(inner, scope) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(inner, scope) for inner in value]
    return value


def trail(reference: Mapping[str, Any], scope: Mapping[str, Any]) -> list[Any]:
    """What one reference names, behind all that its path leads through."""
    found: list[Any] = [scope.get(reference["$ref"], MISSING)]
    path = reference.get("path")
    if isinstance(path, str):
        for part in re.findall(r"[^.\[\]]+", path):
            found.append(_inside(found[-1], part))
    return found


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, MISSING)
    place = parse_index(part, len(value)) if isinstance(value, list) else None
    return MISSING if place is None else value[place]
