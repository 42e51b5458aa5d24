"""Where each row stands before the batch begins: from the ledger, and from an earlier results file.

A row that ended in either is not sent again: the file may have come from another machine, and the
ledger knows what a killed run had not written into the file yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.api.models import Workflow, is_moderation
from civitai_skill.batch import results
from civitai_skill.batch.plan import Row
from civitai_skill.batch.results import FINAL, Result, SavedPicture
from civitai_skill.errors import ConfigError
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.deliver import measure
from civitai_skill.purchase.identity import attempt_of, next_attempt
from civitai_skill.purchase.result import Generation

#: Ends that a wanted second attempt may follow; what was canceled or moderated stays as it is.
RETRIED = frozenset({"failed", "expired", "gone"})


@dataclass(frozen=True)
class RowState:
    """`result` where the row is finished; `run` where it was begun and goes on, with the id of its
    `workflow` where the service has it, so that nothing is sent for it any more; else it is new, to
    be bought under `key`. `before` is how it ended already, where a look may still find more;
    `banned` is why moderation stopped its prompt.
    """

    key: str
    result: Result | None = None
    run: Run | None = None
    before: Result | None = None
    banned: str | None = None
    workflow: str | None = None
    #: Did the service confirm the documented rule of its price within a day?
    confirmed: bool = False


Line = tuple[Row, RowState]


def load_states(
    rows: Sequence[Row], ledger: Ledger | None, out: Path, *, retry_failed: bool
) -> list[RowState]:
    """The state of every row, in order: that of its last attempt that either knows. Raises
    ConfigError where the ledger can't be read."""
    states = []
    with results.lock_folder(out):
        earlier = results.read_earlier(out)
        for row in rows:
            last = earlier.get(row.key)
            key = row.key if last is None else last.key
            state, confirmed = RowState(key), False
            while True:
                ended = None if last is None or last.key != key else _from_file(row, last, out)
                run = None
                # What was held back may have been released since; whoever has the run can look.
                held = ended is not None and ended.result and ended.result.status == "incomplete"
                if ledger is not None and (ended is None or held):
                    run, _, confirmed = ledger.look_up(rule=row.rule, key=key)
                if ledger is not None and run is not None:
                    state = _from_ledger(row, run, ledger, out)
                    if ended is not None and state.run is not None:
                        state = replace(state, before=ended.result)
                elif ended is not None:
                    state = ended
                else:
                    break
                key = next_attempt(key)
            if retry_failed and state.result is not None and state.result.status in RETRIED:
                state = RowState(next_attempt(state.key))
            states.append(replace(state, confirmed=confirmed))
    return states


def update_result(
    row: Row, state: RowState, here: Result, ledger: Ledger | None, last: Result | None, out: Path
) -> Result:
    """The end of a row that has none here, where another process has seen it since, or this one
    when it was interrupted."""
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


def _from_ledger(row: Row, run: Run, ledger: Ledger, out: Path) -> RowState:
    reason = run.reason or ""
    if run.state == "dropped":
        if not is_moderation(reason):
            return RowState(run.key)
        blocked = build_result(row, run.key, "blocked", reason=reason)
        return RowState(run.key, blocked, banned=reason)
    begun = RowState(run.key, run=run, workflow=run.workflow)
    if run.state == "open" or run.status is None:
        return begun
    kept = [
        SavedPicture(Path(p["path"]).name, p["n"], None, None, None, p["bytes"], p["sha256"])
        for p in ledger.pictures(run.key)
    ]
    here = []
    for saved in kept:
        if saved.is_whole(out):
            width, height = measure(out / saved.path)
            seed = None if row.plan.seed is None else row.plan.seed + saved.n
            here.append(replace(saved, width=width, height=height, seed=seed))
    told = partial(build_result, row, run.key, workflow=run.workflow, cost=run.cost)
    ended = partial(told, pictures=tuple(here))
    if len(here) < len(kept):  # they were saved elsewhere, or are gone: fetched again
        return replace(begun, before=ended("gone", refunded=None) if here else None)
    status: str = run.status
    banned = None
    if len(here) < run.wanted:
        if is_moderation(reason):
            status, banned = "blocked", reason
        elif status == "succeeded":
            # What is missing may be fetched yet.
            return replace(begun, before=ended("incomplete") if here else None)
    # What came back was known when it ended, and stands in the results of that run only.
    refunded = 0 if status == "succeeded" else None
    return RowState(run.key, ended(status, refunded=refunded, reason=run.reason), banned=banned)


def _from_file(row: Row, result: Result, out: Path) -> RowState | None:
    """The end that the results file tells; None where it tells none, or pictures are gone."""
    if result.status == "succeeded" and not result.pictures:
        return None
    if result.status not in FINAL or not all(saved.is_whole(out) for saved in result.pictures):
        return None
    banned = result.reason if result.status == "blocked" else None
    same = ("workflow", "cost", "refunded", "reason", "pictures", "error")
    told = {name: getattr(result, name) for name in same}
    ended = build_result(row, result.key, result.status, **told)
    return RowState(result.key, ended, banned=banned)


def build_result(
    row: Row, key: str, status: str, made: Generation | None = None, seen: Workflow | None = None,
    **more: Any,
) -> Result:  # fmt: skip
    """How a row ended: what the row itself says, what the service told of the workflow as last
    `seen`, and the pictures of what was `made` that are on disk, each with its checksum."""
    found = []
    for n, picture in enumerate(() if made is None else made.pictures):
        if picture.path is None:
            continue
        with suppress(OSError):  # one that was taken away already is fetched by the next run
            data = picture.path.read_bytes()
            name, digest = picture.path.name, hashlib.sha256(data).hexdigest()
            size = (picture.width, picture.height)
            found.append(SavedPicture(name, n, *size, picture.seed, len(data), digest))
            more["pictures"] = tuple(found)
    seen = seen if made is None else made.workflow
    if seen is not None:
        more |= {
            "workflow": seen.id, "cost": seen.cost.kept,
            "refunded": sum(seen.cost.refunded.values()),
            "warnings": tuple(map(str, seen.warnings)),
        }  # fmt: skip
    if status == "refused":
        more["cost"] = 0
    plan = row.plan
    return Result(
        row.number, row.line, key, status, row.id, engine=plan.family, variant=plan.variant,
        seed=plan.seed, prompt=row.request.prompt, values=row.values, **more,
    )  # fmt: skip
