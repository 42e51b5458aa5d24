"""Where each row stands before the batch begins: from the ledger, and from an earlier results file.

A row that ended in either is not sent again: the file may have come from another machine, and the
ledger knows what a killed run had not written into the file yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from civitai_skill.batch import results
from civitai_skill.batch.keys import attempts
from civitai_skill.batch.plan import Row
from civitai_skill.batch.results import FINAL, Result, Saved
from civitai_skill.delivery import measured
from civitai_skill.ledger import Ledger, Run
from civitai_skill.workflow import is_moderation

#: Ends that a wanted second try may follow; what was canceled or moderated stays as it is.
RETRIED = frozenset({"failed", "expired"})


@dataclass(frozen=True)
class State:
    """`result` where the row is finished; `run` where it was bought and goes on; else it is new,
    to be bought under `key`."""

    key: str
    result: Result | None = None
    run: Run | None = None
    banned: str | None = None


def states(
    rows: Sequence[Row], ledger: Ledger | None, out: Path, *, retry_failed: bool
) -> list[State]:
    """The state of every row, in order. Raises ConfigError where the ledger can't be read."""
    told = results.earlier(out)
    return [_state(row, ledger, told, out, retry_failed) for row in rows]


def _state(
    row: Row, ledger: Ledger | None, told: dict[str, Result], out: Path, retry_failed: bool
) -> State:
    found = State(row.key)
    for key in attempts(row.key):
        ended = None if key not in told else _from_file(row, told[key], out)
        run = None if ledger is None or ended is not None else ledger.run(key)
        if ended is not None:
            found = ended
        elif run is not None and ledger is not None:
            found = _from_ledger(row, run, ledger, out)
        else:
            break
    if found.result is None or not retry_failed or found.result.status not in RETRIED:
        return found
    following = attempts(found.key)
    next(following)
    return State(next(following))


def _from_ledger(row: Row, run: Run, ledger: Ledger, out: Path) -> State:
    if run.state == "dropped":
        reason = run.reason or ""
        if not is_moderation(reason):
            return State(run.key)
        return State(run.key, result_of(row, run.key, "blocked", reason=reason), banned=reason)
    if run.state == "open" or run.status is None:
        return State(run.key, run=run)
    kept = [
        Saved(Path(p["path"]).name, p["n"], None, None, None, p["bytes"], p["sha256"])
        for p in ledger.pictures(run.key)
    ]
    here = [saved for saved in kept if saved.is_whole(out)]
    if len(here) < len(kept):
        return State(run.key, run=run)  # they were saved elsewhere, or are gone: fetched again
    ended_as: str = run.status
    reason = run.reason or ""
    banned = None
    if len(here) < run.wanted:
        if is_moderation(reason):
            ended_as, banned = "blocked", reason
        elif ended_as == "succeeded":
            return State(run.key, run=run)  # what is missing may be fetched yet
    refunded = max(0, run.reserved - (run.cost or 0)) if ended_as != "succeeded" else 0
    ended = result_of(row, run.key, ended_as, workflow=run.workflow, cost=run.cost,
                      refunded=refunded, reason=run.reason,
                      pictures=tuple(_seen(row, saved, out) for saved in here))  # fmt: skip
    return State(run.key, ended, banned=banned)


def _from_file(row: Row, told: Result, out: Path) -> State | None:
    """The end that the results file tells; None where it tells none, or pictures are gone."""
    if told.status == "succeeded" and not told.pictures:
        return None
    if told.status not in FINAL or not all(saved.is_whole(out) for saved in told.pictures):
        return None
    banned = told.reason if told.status == "blocked" else None
    ended = result_of(row, told.key, told.status, workflow=told.workflow, cost=told.cost,
                      refunded=told.refunded, reason=told.reason, pictures=told.pictures,
                      error=told.error)  # fmt: skip
    return State(told.key, ended, banned=banned)


def _seen(row: Row, saved: Saved, out: Path) -> Saved:
    width, height = measured(out / saved.path)
    seed = None if row.seed is None else row.seed + saved.n
    return Saved(saved.path, saved.n, width, height, seed, saved.bytes, saved.sha256)


def result_of(row: Row, key: str, status: str, **more: object) -> Result:
    """A result with what the row itself says."""
    return Result(
        row.number, row.line, key, status, row.id, engine=row.engine, variant=row.variant,
        seed=row.seed, prompt=row.request.prompt, **more,  # type: ignore[arg-type]
    )  # fmt: skip
