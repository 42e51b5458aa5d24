"""Where each row stands before the batch begins: from the ledger, and from an earlier results file.

A row that ended in either is not sent again: the file may have come from another machine, and the
ledger knows what a killed run had not written into the file yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from civitai_skill.batch import results
from civitai_skill.batch.keys import attempts
from civitai_skill.batch.plan import Row
from civitai_skill.batch.results import FINAL, Result, Saved
from civitai_skill.delivery import measured
from civitai_skill.errors import ConfigError
from civitai_skill.identity import attempt_of
from civitai_skill.ledger import Ledger
from civitai_skill.runs import Run
from civitai_skill.workflow import is_moderation

#: Ends that a wanted second try may follow; what was canceled or moderated stays as it is.
RETRIED = frozenset({"failed", "expired", "gone"})


@dataclass(frozen=True)
class State:
    """`result` where the row is finished; `run` where it was bought and goes on; else it is new,
    to be bought under `key`. `before` is how it ended already, where a look may still find more.
    """

    key: str
    result: Result | None = None
    run: Run | None = None
    before: Result | None = None
    banned: str | None = None

    @property
    def bought(self) -> bool:
        """Does the service have it, so that nothing is sent for it any more?"""
        return self.run is not None and self.run.workflow is not None


def states(
    rows: Sequence[Row], ledger: Ledger | None, out: Path, *, retry_failed: bool
) -> list[State]:
    """The state of every row, in order. Raises ConfigError where the ledger can't be read."""
    told = results.earlier(out)
    return [_state(row, ledger, told, out, retry_failed) for row in rows]


def _state(
    row: Row, ledger: Ledger | None, told: Mapping[str, Result], out: Path, retry_failed: bool
) -> State:
    last = told.get(row.key)
    found = State(row.key if last is None else last.key)
    for key in attempts(found.key):
        ended = None if last is None or last.key != key else _from_file(row, last, out)
        run = None
        # What was held back may have been released since; whoever has the run can look again.
        if ledger is not None and (ended is None or _is_incomplete(ended)):
            run = ledger.run(key)
            if run is not None:
                found = _from_ledger(row, run, ledger, out)
                if ended is not None and found.run is not None:
                    found = replace(found, before=ended.result)
        if run is None and ended is None:
            break
        if run is None and ended is not None:
            found = ended
    if found.result is None or not retry_failed or found.result.status not in RETRIED:
        return found
    following = attempts(found.key)
    next(following)
    return State(next(following))


def _is_incomplete(state: State) -> bool:
    return state.result is not None and state.result.status == "incomplete"


def caught_up(
    ended: Iterable[tuple[Row, State, Result]], ledger: Ledger | None, out: Path
) -> list[Result]:
    """The results, with the ends of rows that another process has seen since, or this one when it
    was interrupted."""
    told = results.earlier(out)
    return [
        result if result.status in FINAL else _later(row, state, result, ledger, told, out)
        for row, state, result in ended
    ]


def _later(
    row: Row, state: State, here: Result, ledger: Ledger | None, told: Mapping[str, Result],
    out: Path,
) -> Result:  # fmt: skip
    last = told.get(row.key)
    if last is not None and attempt_of(last.key) >= attempt_of(state.key):
        seen = _from_file(row, last, out)
        if seen is not None and seen.result is not None:
            return seen.result
    run = None
    if ledger is not None:
        with suppress(ConfigError):
            run = ledger.run(state.key)
            if run is not None:
                found = _from_ledger(row, run, ledger, out)
                if found.result is not None:
                    return found.result
                run = found.run
    if run is None or here.workflow is not None:
        return here
    return replace(here, status="unfinished", workflow=run.workflow, cost=run.cost)


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
    seen = tuple(_seen(row, saved, out) for saved in here)
    ended = partial(result_of, row, run.key, workflow=run.workflow, cost=run.cost, pictures=seen)
    if len(here) < len(kept):  # they were saved elsewhere, or are gone: fetched again
        return State(run.key, run=run, before=ended("gone", refunded=None) if here else None)
    ended_as: str = run.status
    reason = run.reason or ""
    banned = None
    if len(here) < run.wanted:
        if is_moderation(reason):
            ended_as, banned = "blocked", reason
        elif ended_as == "succeeded":
            # What is missing may be fetched yet.
            return State(run.key, run=run, before=ended("incomplete") if here else None)
    # What came back was told when it ended, and stands in the results of that run only.
    refunded = 0 if ended_as == "succeeded" else None
    return State(run.key, ended(ended_as, refunded=refunded, reason=run.reason), banned=banned)


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
