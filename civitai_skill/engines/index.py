"""The engines in short, for readers that may load no family and no pydantic.

`index.json` is rendered from the families' files by `scripts/render.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from civitai_skill.schema.air import fold

FILE = Path(__file__).with_name("index.json")

#: When the documented prices were read; the families name their sources.
PRICES_READ = "August 2026"
#: Where a field's limits hold, when they do so for all.
EVERYWHERE = "every variant"

_LISTED = (
    "name", "title", "best_for", "avoid_for", "operations", "variants", "buzz", "takes",
)  # fmt: skip


@cache
def records() -> tuple[Mapping[str, Any], ...]:
    """What is known of each engine, in the catalog's order (see `summary.py`)."""
    return tuple(json.loads(FILE.read_text(encoding="utf-8")))


def list_engines() -> list[dict[str, Any]]:
    """Sum up every engine: enough to choose one. Prices are Buzz for one picture, None unknown."""
    return [{name: record[name] for name in _LISTED} for record in records()]


def serving(needs: Sequence[str]) -> set[str]:
    """The engines with a variant that says it fits one of the needs."""
    return {record["name"] for record in records() if set(needs) & set(record["needs"])}


def is_text(option: str, engine: str | None = None) -> bool:
    """Is an option text in every form that has it, of one engine or of all?"""
    kinds = {
        kind
        for record in records()
        if engine in (None, record["name"])
        for name, held in record["options"].items()
        if fold(name) == fold(option)
        for kind in held
    }
    return kinds == {"text"}
