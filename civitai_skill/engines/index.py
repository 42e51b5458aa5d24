"""The engines in short, for readers that may load no family and no pydantic.

`index.json` is rendered from the families' files by `scripts/render.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from civitai_skill.engines.published.document import key_of
from civitai_skill.engines.published.kept import NewEngine, in_force
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
def _index() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def words() -> Mapping[str, str]:
    """{a field's wire name: the word of the shared vocabulary that it is}, of all our forms."""
    found: Mapping[str, str] = _index()["words"]
    return found


def new_engines() -> list[NewEngine]:
    """The engines that a fetched document has and our files lack (see `published/`)."""
    ours = {key for record in _index()["engines"] for key in record["forms"]}
    found = (
        replace(e, forms=tuple(form for form in e.forms if key_of(form.tags) not in ours))
        for e in in_force().engines
    )
    return [engine for engine in found if engine.forms]


def records() -> tuple[Mapping[str, Any], ...]:
    """What is known of each engine, in the catalog's order (see `summary.py`); new ones last."""
    return (*_index()["engines"], *(engine.record for engine in new_engines()))


def list_engines() -> list[dict[str, Any]]:
    """Sum up every engine: enough to choose one. Prices are Buzz for one picture, None unknown.

    One that our files lack has `unfamiliar`: where it is known from. `catalogue` is what the
    service's catalogue says of each variant, while that was fetched lately.
    """
    kept, listed = in_force(), []
    for record in records():
        out = {name: record[name] for name in _LISTED}
        if "unfamiliar" in record:
            out["unfamiliar"] = record["unfamiliar"]
        if figures := kept.fresh_figures(record["name"]):
            out["catalogue"] = {
                "source": kept.catalogue,
                "on": kept.looked_on.isoformat(),
                "figures": [figure.as_dict() for figure in figures],
            }
        listed.append(out)
    return listed


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
