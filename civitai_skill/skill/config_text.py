"""Put one entry into a settings file of somebody else's, and take it out again, as text.

What stands there stays as it is: comments, order and indentation are its owner's. JSON may have
comments and trailing commas, as editors allow them; TOML is cut at its table headers.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

# A string, a comment, or a sign that parts values; blanks and bare words need no attention.
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|[{}\[\],:]', re.DOTALL)


# -- JSON, with comments ---------------------------------------------------------------------------
def read_jsonc(text: str) -> Any:
    """JSON whose comments and trailing commas are no fault. Raises ValueError."""
    bare = _TOKEN.sub(lambda found: "" if found[0].startswith("/") else found[0], text)
    without = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
    return json.loads(without.sub(lambda found: "" if found[0] == "," else found[0], bare))


def add_to_json(text: str, section: str, name: str, entry: Mapping[str, Any]) -> str:
    """The text with `name` in the object `section` at its top. Raises ValueError."""
    if not text.strip():
        return json.dumps({section: {name: entry}}, indent=2) + "\n"
    text = remove_from_json(text, section, name)
    top = read_jsonc(text)
    if not isinstance(top, dict) or not isinstance(top.get(section, {}), dict):
        raise ValueError(f"it holds no object, or {section} is none")
    if section in top:
        place, inside, value = _find(text, section)[1] + 1, top[section], {name: entry}
    else:  # the first value begins behind the comments
        start = next(found.start() for found in _TOKEN.finditer(text) if found[0][0] != "/")
        place, inside, value = text.index("{", start) + 1, top, {section: {name: entry}}
    step = 4 if section in top else 2
    lines = json.dumps(value, indent=2).splitlines()[1:-1]
    told = "\n" + "\n".join(" " * (step - 2) + line for line in lines)
    return text[:place] + told + ("," if inside else "\n" + " " * (step - 2)) + text[place:]


def remove_from_json(text: str, section: str, name: str) -> str:
    """The text without `name` in the object `section`. Raises ValueError."""
    top = read_jsonc(text) if text.strip() else {}
    found = top.get(section) if isinstance(top, dict) else None
    if not isinstance(found, dict) or name not in found:
        return text
    begin, _, end = _find(text, section, name)
    after = re.match(r"\s*,", text[end:])
    before = re.search(r",?\s*$", text[:begin])
    assert before is not None, "it matches nothing, too"
    if after is not None:
        kept = text[: before.start() + before[0].startswith(",")]
        return kept + text[end + after.end() :]
    return text[: before.start()] + text[end:]


def _find(text: str, *path: str) -> tuple[int, int, int]:
    """Where a key at a path of objects begins, where its value does, and where that ends."""
    depth, on_path, key = 0, 0, ""
    begin = value = -1
    for found in _TOKEN.finditer(text):
        sign = found[0]
        if sign.startswith("/"):
            continue
        if value >= 0 and sign in ",}" and depth == len(path):
            return begin, value, len(text[: found.start()].rstrip())
        if sign.startswith('"'):
            key, last = json.loads(sign), found.start()
        elif sign == ":" and depth == on_path + 1 and path[on_path] == key and value < 0:
            on_path += 1
            if on_path == len(path):
                begin = last
                value = found.end() + len(re.match(r"\s*", text[found.end() :])[0])  # type: ignore[index]
                on_path -= 1
        elif sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
    raise ValueError("it is not written as expected")


# -- TOML ------------------------------------------------------------------------------------------
def add_to_toml(text: str, section: str, name: str, entry: Mapping[str, Any]) -> str:
    """The text with the table `section.name`. Raises ValueError."""
    tomllib.loads(text)
    kept = remove_from_toml(text, section, name).rstrip()
    return (kept + "\n\n" if kept else "") + toml_table(section, name, entry)


def remove_from_toml(text: str, section: str, name: str) -> str:
    """The text without the table `section.name` and those below it. Raises ValueError."""
    if name not in tomllib.loads(text).get(section, {}):
        return text
    ours = re.compile(rf'\[\s*{section}\.(?:{name}|"{name}"|\'{name}\')\s*[.\]]')
    kept, skips = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            skips = ours.match(line.lstrip()) is not None
        if not skips:
            kept.append(line)
    return "".join(kept).rstrip() + "\n" if "".join(kept).strip() else ""


def toml_table(section: str, name: str, entry: Mapping[str, Any]) -> str:
    """A table of TOML; a string or a list is written as JSON writes it."""
    lines = [f"[{section}.{name}]"]
    for key, value in entry.items():
        told = json.dumps(value, ensure_ascii=False)
        if isinstance(value, Mapping):
            told = f"{{ {', '.join(f'{k} = {json.dumps(v)}' for k, v in value.items())} }}"
        lines.append(f"{key} = {told}")
    return "\n".join([*lines, ""])
