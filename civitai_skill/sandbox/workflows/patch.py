"""JSON Patch (RFC 6902) on plain JSON."""

from __future__ import annotations

import copy
from typing import Any

from civitai_skill.sandbox.wire import parse_index

_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def apply_patch(document: Any, operations: Any) -> Any:
    """A patched copy. Raises ValueError with why the patch can't be applied."""
    root = {"": copy.deepcopy(document)}
    if not isinstance(operations, list):
        raise ValueError("a JSON Patch is a list of operations")
    for operation in operations:
        op = operation.get("op") if isinstance(operation, dict) else None
        if op not in _OPERATIONS:
            raise ValueError(f"op must be one of {', '.join(_OPERATIONS)}")
        if op in ("add", "replace", "test") and "value" not in operation:
            raise ValueError(f"{op} needs a value")
        value = operation.get("value")
        if op in ("move", "copy"):
            parent, key = _find(root, operation.get("from"))
            value = copy.deepcopy(parent[key])
            if op == "move":
                del parent[key]
        parent, key = _find(root, operation.get("path"), new=op in ("add", "move", "copy"))
        if op == "remove":
            del parent[key]
        elif op == "test" and parent[key] != value:
            raise ValueError(f"the test of {operation['path']} failed")
        elif isinstance(parent, list) and op in ("add", "move", "copy"):
            parent.insert(key, value)
        else:
            parent[key] = value
    return root.get("")


def _find(root: Any, pointer: Any, *, new: bool = False) -> tuple[Any, Any]:
    """What holds the value that a JSON Pointer names, and its key there, which may be a new one."""
    if not isinstance(pointer, str) or not f"{pointer}/".startswith("/"):
        raise ValueError("path and from must be JSON Pointers")
    node: Any = {"": root}
    key: Any = ""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    for i, part in enumerate(parts):
        node, is_new = node[key], new and i == len(parts) - 1
        if isinstance(node, dict) and (part in node or is_new):
            key = part
        elif isinstance(node, list) and is_new and part == "-":
            key = len(node)
        elif (
            isinstance(node, list) and (index := parse_index(part, len(node) + is_new)) is not None
        ):
            key = index
        else:
            raise ValueError(f"there is nothing at {pointer}")
    return node, key
