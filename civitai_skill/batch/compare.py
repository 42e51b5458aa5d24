"""One prompt on several engines, bought as one batch, and one sheet of what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import anyio.to_thread

from civitai_skill.batch.report import Report
from civitai_skill.batch.results import Result
from civitai_skill.batch.run import arun_batch, run_in_own_loop
from civitai_skill.batch.session import BatchSettings
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.gallery.sheet import Entry, write_sheet

#: Engines of one comparison.
MOST = 12


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to: the batch, and the sheet (None of a dry run, or of no picture)."""

    report: Report
    sheet: Path | None

    def as_dict(self) -> dict[str, Any]:
        told = [_as_row(self.report, result) for result in self.report.results]
        sheet = None if self.sheet is None else str(self.sheet)
        return {**self.report.as_dict(), "sheet": sheet, "compared": told}


def compare(
    prompt: str,
    engines: Sequence[str],
    *,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[BatchSettings],
) -> Comparison:
    """Make one picture on each engine and put them on one sheet in the folder `out`.

    An engine is a name, or a name and a variant (`flux2 klein-9b`, `flux2:klein-9b`); `fields` are
    fields of the request that all share. `max_buzz` is for all together, and the same comparison
    again goes on where it was. Raises what run_batch raises.
    """
    return run_in_own_loop(partial(acompare, prompt, engines, fields=fields, **settings))


async def acompare(
    prompt: str,
    engines: Sequence[str],
    *,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[BatchSettings],
) -> Comparison:
    """See compare."""
    rows = [{**(fields or {}), "prompt": prompt, **_engine(name)} for name in engines]
    if not 2 <= len(rows) <= MOST or len({tuple(_engine(n).values()) for n in engines}) < len(rows):
        accepted = f"2 to {MOST} different engines, such as flux2, sdxl:pony"
        raise RequestInvalid(Problem("engines", ", ".join(engines), accepted))
    named: BatchSettings = {
        "name": "compare", "template": "{engine}-{variant}-{seed}-{n}", **settings,
    }  # fmt: skip
    report = await arun_batch(rows, **named)
    if not report.paths or settings.get("dry_run"):
        return Comparison(report, None)
    return Comparison(report, await anyio.to_thread.run_sync(_write_sheet, report, prompt))


def _engine(name: str) -> dict[str, str]:
    engine, _, variant = name.strip().replace(":", " ").partition(" ")
    return {"engine": engine, **({"variant": variant.strip()} if variant.strip() else {})}


def _write_sheet(report: Report, prompt: str) -> Path:
    entries = [_entry(report, result) for result in report.results]
    mark = hashlib.sha256("".join(r.key for r in report.results).encode()).hexdigest()[:8]
    return write_sheet(entries, report.folder / f"compare-{mark}.jpeg", heading=prompt)


def _entry(report: Report, result: Result) -> Entry:
    told = _as_row(report, result)
    price = "?" if told["buzz"] is None else told["buzz"]
    facts = [f"{told['engine']} {told['variant'] or ''}", f"{price} Buzz"]
    if told["seed"] is not None:
        facts.append(f"seed {told['seed']}")
    second = told["reason"] or ", ".join(facts[1:])
    path = told["path"]
    return Entry(None if path is None else Path(path), (facts[0], second))


def _as_row(report: Report, result: Result) -> dict[str, Any]:
    first = result.pictures[0] if result.pictures else None
    return {
        "engine": result.engine,
        "variant": result.variant,
        "status": result.status,
        "path": None if first is None else str(report.folder / first.path),
        "size": None if first is None else f"{first.width}x{first.height}",
        "seed": result.seed if first is None else first.seed,
        "buzz": result.cost,
        "reason": None if result.good else result.reason or (result.error or {}).get("message"),
    }
