"""References: `{"$ref": "$0", "path": "output.images[0].url"}` in place of a value.

`$ref` names a step (`$0`, `$1`, or its own name) or `$arguments`; the path is dotted and indexed.
A reference in one key is refused: the site's own checker does, though a guide page shows one
(upstream facts, section 2.1). So are steps that do not come before: what is referred to may not
wait for what refers to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from civitai_skill.sandbox.wire import parse_index

ARGUMENTS = "$arguments"

#: What cannot be found.
MISSING: Any = object()


def is_reference(value: Any) -> bool:
    """Is it an object with a textual `$ref`?"""
    return isinstance(value, dict) and isinstance(value.get("$ref"), str)


def inside(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every object in a value that is written as a reference, with its place below `where`."""
    if isinstance(value, dict) and "$ref" in value:
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from inside(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from inside(inner, f"{where}[{i}]")


def check(value: Any, known: Collection[str], where: str) -> Iterator[tuple[str, str]]:
    """Place and message of every reference that is none, or names nothing before it."""
    for place, given in inside(value, where):
        if not is_reference(given) or not isinstance(given.get("path"), str):
            yield place, "A reference needs the texts '$ref' and 'path'."
        elif given["$ref"] not in known:
            yield place, f"No step before this one is called '{given['$ref']}'."


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
    for part in re.findall(r"[^.\[\]]+", path) if isinstance(path, str) else ():
        node = found[-1]
        if isinstance(node, list):
            place = parse_index(part, len(node))
            found.append(MISSING if place is None else node[place])
        else:
            found.append(node.get(part, MISSING) if isinstance(node, dict) else MISSING)
    return found
