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

from civitai_skill.api.models import is_moderation
from civitai_skill.batch import results
from civitai_skill.batch.keys import attempt_keys
from civitai_skill.batch.plan import Row
from civitai_skill.batch.results import FINAL, Result, SavedPicture
from civitai_skill.errors import ConfigError
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.deliver import measure
from civitai_skill.purchase.identity import attempt_of

#: Ends that a wanted second try may follow; what was canceled or moderated stays as it is.
RETRIED = frozenset({"failed", "expired", "gone"})


@dataclass(frozen=True)
class RowState:
    """`result` where the row is finished; `run` where it was bought and goes on; else it is new,
    to be bought under `key`. `before` is how it ended already, where a look may still find more.
    """

    key: str
    result: Result | None = None
    run: Run | None = None
    before: Result | None = None
    banned: str | None = None

    @property
    def is_submitted(self) -> bool:
        """Does the service have it, so that nothing is sent for it any more?"""
        return self.run is not None and self.run.workflow is not None


def load_states(
    rows: Sequence[Row], ledger: Ledger | None, out: Path, *, retry_failed: bool
) -> list[RowState]:
    """The state of every row, in order. Raises ConfigError where the ledger can't be read."""
    earlier = results.read_earlier(out)
    return [_load_state(row, ledger, earlier, out, retry_failed) for row in rows]


def _load_state(
    row: Row, ledger: Ledger | None, earlier: Mapping[str, Result], out: Path, retry_failed: bool
) -> RowState:
    last = earlier.get(row.key)
    found = RowState(row.key if last is None else last.key)
    for key in attempt_keys(found.key):
        ended = None if last is None or last.key != key else _state_from_file(row, last, out)
        run = None
        # What was held back may have been released since; whoever has the run can look again.
        if ledger is not None and (ended is None or _is_incomplete(ended)):
            run = ledger.run(key)
            if run is not None:
                found = _state_from_ledger(row, run, ledger, out)
                if ended is not None and found.run is not None:
                    found = replace(found, before=ended.result)
        if run is None and ended is None:
            break
        if run is None and ended is not None:
            found = ended
    if found.result is None or not retry_failed or found.result.status not in RETRIED:
        return found
    following = attempt_keys(found.key)
    next(following)
    return RowState(next(following))


def _is_incomplete(state: RowState) -> bool:
    return state.result is not None and state.result.status == "incomplete"


def update_results(
    ended: Iterable[tuple[Row, RowState, Result]], ledger: Ledger | None, out: Path
) -> list[Result]:
    """The results, with the ends of rows that another process has seen since, or this one when it
    was interrupted."""
    earlier = results.read_earlier(out)
    return [
        result
        if result.status in FINAL
        else _update_result(row, state, result, ledger, earlier, out)
        for row, state, result in ended
    ]


def _update_result(
    row: Row, state: RowState, here: Result, ledger: Ledger | None, earlier: Mapping[str, Result],
    out: Path,
) -> Result:  # fmt: skip
    last = earlier.get(row.key)
    if last is not None and attempt_of(last.key) >= attempt_of(state.key):
        seen = _state_from_file(row, last, out)
        if seen is not None and seen.result is not None:
            return seen.result
    run = None
    if ledger is not None:
        with suppress(ConfigError):
            run = ledger.run(state.key)
            if run is not None:
                found = _state_from_ledger(row, run, ledger, out)
                if found.result is not None:
                    return found.result
                run = found.run
    if run is None or here.workflow is not None:
        return here
    return replace(here, status="unfinished", workflow=run.workflow, cost=run.cost)


def _state_from_ledger(row: Row, run: Run, ledger: Ledger, out: Path) -> RowState:
    if run.state == "dropped":
        reason = run.reason or ""
        if not is_moderation(reason):
            return RowState(run.key)
        return RowState(
            run.key, build_result(row, run.key, "blocked", reason=reason), banned=reason
        )
    if run.state == "open" or run.status is None:
        return RowState(run.key, run=run)
    kept = [
        SavedPicture(Path(p["path"]).name, p["n"], None, None, None, p["bytes"], p["sha256"])
        for p in ledger.pictures(run.key)
    ]
    here = [saved for saved in kept if saved.is_whole(out)]
    seen = tuple(_measure(row, saved, out) for saved in here)
    ended = partial(build_result, row, run.key, workflow=run.workflow, cost=run.cost, pictures=seen)
    if len(here) < len(kept):  # they were saved elsewhere, or are gone: fetched again
        return RowState(run.key, run=run, before=ended("gone", refunded=None) if here else None)
    ended_as: str = run.status
    reason = run.reason or ""
    banned = None
    if len(here) < run.wanted:
        if is_moderation(reason):
            ended_as, banned = "blocked", reason
        elif ended_as == "succeeded":
            # What is missing may be fetched yet.
            return RowState(run.key, run=run, before=ended("incomplete") if here else None)
    # What came back was told when it ended, and stands in the results of that run only.
    refunded = 0 if ended_as == "succeeded" else None
    return RowState(run.key, ended(ended_as, refunded=refunded, reason=run.reason), banned=banned)


def _state_from_file(row: Row, result: Result, out: Path) -> RowState | None:
    """The end that the results file tells; None where it tells none, or pictures are gone."""
    if result.status == "succeeded" and not result.pictures:
        return None
    if result.status not in FINAL or not all(saved.is_whole(out) for saved in result.pictures):
        return None
    banned = result.reason if result.status == "blocked" else None
    ended = build_result(row, result.key, result.status, workflow=result.workflow, cost=result.cost,
                      refunded=result.refunded, reason=result.reason, pictures=result.pictures,
                      error=result.error)  # fmt: skip
    return RowState(result.key, ended, banned=banned)


def _measure(row: Row, saved: SavedPicture, out: Path) -> SavedPicture:
    width, height = measure(out / saved.path)
    seed = None if row.seed is None else row.seed + saved.n
    return SavedPicture(saved.path, saved.n, width, height, seed, saved.bytes, saved.sha256)


def build_result(row: Row, key: str, status: str, **more: object) -> Result:
    """A result with what the row itself says."""
    return Result(
        row.number, row.line, key, status, row.id, engine=row.engine, variant=row.variant,
        seed=row.seed, prompt=row.request.prompt, **more,  # type: ignore[arg-type]
    )  # fmt: skip
