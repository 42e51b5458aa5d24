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
    named = []
    for name in engines:
        engine, _, variant = (
            part.strip() for part in name.strip().replace(":", " ").partition(" ")
        )
        named.append({"engine": engine, **({"variant": variant} if variant else {})})
    if not 2 <= len(named) <= MOST or any(named.count(one) > 1 for one in named):
        accepted = f"2 to {MOST} different engines, such as flux2, sdxl:pony"
        raise RequestInvalid(Problem("engines", ", ".join(engines), accepted))
    given: BatchSettings = {
        "name": "compare", "template": "{engine}-{variant}-{seed}-{n}", **settings,
    }  # fmt: skip
    report = await arun_batch(
        [{**(fields or {}), "prompt": prompt, **one} for one in named], **given
    )
    if not report.paths or settings.get("dry_run"):
        return Comparison(report, None)
    return Comparison(report, await anyio.to_thread.run_sync(_write_sheet, report, prompt))


def _write_sheet(report: Report, prompt: str) -> Path:
    entries = []
    for result in report.results:
        told = _as_row(report, result)
        facts = [f"{'?' if told['buzz'] is None else told['buzz']} Buzz"]
        if told["seed"] is not None:
            facts.append(f"seed {told['seed']}")
        lines = (f"{told['engine']} {told['variant'] or ''}", told["reason"] or ", ".join(facts))
        entries.append(Entry(Path(told["path"]) if told["path"] else None, lines))
    mark = hashlib.sha256("".join(r.key for r in report.results).encode()).hexdigest()[:8]
    return write_sheet(entries, report.folder / f"compare-{mark}.jpeg", heading=prompt)


def _as_row(report: Report, result: Result) -> dict[str, Any]:
    first = result.pictures[0] if result.pictures else None
    return {
        "engine": result.engine, "variant": result.variant, "status": result.status,
        "path": None if first is None else str(report.folder / first.path),
        "size": None if first is None else f"{first.width}x{first.height}",
        "seed": result.seed if first is None else first.seed, "buzz": result.cost,
        "reason": None if result.good else result.reason or (result.error or {}).get("message"),
    }  # fmt: skip
