"""JSON Patch (RFC 6902) on plain JSON."""

from __future__ import annotations

import copy
from typing import Any

from civitai_skill.sandbox.numbers import index

_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


class BadPatch(ValueError):
    """The patch can't be applied; the message says why."""


def apply(document: Any, operations: Any) -> Any:
    """A patched copy. Raises BadPatch."""
    if not isinstance(operations, list):
        raise BadPatch("a JSON Patch is a list of operations")
    document = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
            raise BadPatch(f"op must be one of {', '.join(_OPERATIONS)}")
        document = _one(document, operation)
    return document


def _one(document: Any, operation: dict[str, Any]) -> Any:
    op, path = operation["op"], _parts(operation, "path")
    if op in ("move", "copy"):
        origin = _parts(operation, "from")
        value = copy.deepcopy(_get(document, origin))
        if op == "move":
            document = _remove(document, origin)
        return _add(document, path, value)
    if op == "remove":
        return _remove(document, path)
    if "value" not in operation:
        raise BadPatch(f"{op} needs a value")
    if op == "test":
        if _get(document, path) != operation["value"]:
            raise BadPatch(f"the test of {operation['path']} failed")
        return document
    if op == "replace":
        _get(document, path)
        document = _remove(document, path)
    return _add(document, path, operation["value"])


def _parts(operation: dict[str, Any], name: str) -> list[str]:
    pointer = operation.get(name)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise BadPatch(f"{name} must be a JSON Pointer")
    return [p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        place = index(part, len(document)) if isinstance(document, list) else None
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif place is not None:
            document = document[place]
        else:
            raise BadPatch(f"there is nothing at /{'/'.join(path)}")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    _get(document, path)
    parent = _get(document, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    place = index(last, len(parent) + 1) if isinstance(parent, list) else None
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and last == "-":
        parent.append(value)
    elif isinstance(parent, list) and place is not None:
        parent.insert(place, value)
    else:
        raise BadPatch(f"nothing can be added at /{'/'.join(path)}")
    return document
