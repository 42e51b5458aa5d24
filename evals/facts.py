"""What is true after a task, whatever the agent says of it: purchases, files, Buzz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from civitai_skill.engines.sizing import ratio_value
from civitai_skill.ledger.ledger import Ledger

#: Where an agent's state is, below its folder: CIVITAI_SKILL_HOME names it for the agent.
HOME = "home"
_SLACK = 0.05


def judge_facts(expected: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What is not as it should be. A number is exact, a pair the least and the most."""
    ledger = Ledger(folder / HOME / "sandbox-ledger.sqlite3")
    runs = [run for run in ledger.history() if run["state"] != "dropped"]
    paths = [path for run in runs for path in map(Path, run["paths"]) if path.is_file()]
    found = {
        "workflows": len(runs),
        "spend": sum(max(0, run["cost"] or 0) for run in runs),
        "pictures": len(paths),
        "canceled": sum(run["status"] == "canceled" for run in runs),
    }
    for name, number in found.items():
        if name in expected and not _is_within(number, expected[name]):
            yield f"facts: {name} {number}, wanted {expected[name]}"
    for pattern, count in expected.get("files", {}).items():
        number = len([path for path in folder.glob(pattern) if path.is_file()])
        if not _is_within(number, count):
            yield f"facts: {number} files {pattern}, wanted {count}"
    newest = runs[0] if runs else None
    if "engines" in expected and (newest is None or newest["engine"] not in expected["engines"]):
        yield f"facts: engine {newest and newest['engine']}, wanted {expected['engines']}"
    prompt = "" if newest is None else str(newest["prompt"]).lower()
    for words in expected.get("prompt", []):
        if words.lower() not in prompt:
            yield f"facts: the prompt lacks {words}"
    if "budget" in expected and ledger.setting("budget") != expected["budget"]:
        yield f"facts: budget {ledger.setting('budget')}, wanted {expected['budget']}"
    newest_paths = [] if newest is None else [Path(path) for path in newest["paths"]]
    for path in newest_paths:
        yield from _judge_picture(expected, path)


def _is_within(number: int, wanted: Any) -> bool:
    least, most = wanted if isinstance(wanted, list) else (wanted, wanted)
    return bool(least <= number <= most)


def _judge_picture(expected: Mapping[str, Any], path: Path) -> Iterator[str]:
    from PIL import Image

    with Image.open(path) as picture:
        (width, height), kind = picture.size, (picture.format or "").lower()
    if "size" in expected and [width, height] != expected["size"]:
        yield f"facts: {path.name} is {width}x{height}, wanted {expected['size']}"
    if "ratio" in expected:
        wanted = ratio_value(expected["ratio"])
        if abs(width / height - wanted) > _SLACK * wanted:
            yield f"facts: {path.name} is {width}x{height}, wanted {expected['ratio']}"
    if "format" in expected and kind != expected["format"]:
        yield f"facts: {path.name} is {kind}, wanted {expected['format']}"
