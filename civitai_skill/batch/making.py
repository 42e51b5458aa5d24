"""Making the rows of a batch: at most so many under way, each bought, waited for and saved."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from civitai_skill import provenance
from civitai_skill.batch.plan import Row
from civitai_skill.batch.report import Standing, Tell
from civitai_skill.batch.results import FINAL, Result, Saved, told
from civitai_skill.batch.states import RETRIED, State, result_of
from civitai_skill.batch.turns import Held, Moderated, Turns, moderation
from civitai_skill.batch.waiting import Watch
from civitai_skill.batch.worker import Worker
from civitai_skill.delivery import Generation, Place
from civitai_skill.download import Fetched
from civitai_skill.errors import (
    BadRequest,
    BudgetUsedUp,
    CivitaiError,
    ConfigError,
    Forbidden,
    NotEnoughBuzz,
    NotFound,
    OverBudget,
    StillRunning,
    TransportFailed,
    Unauthorized,
    WorkflowFailed,
)
from civitai_skill.ledger import JOINABLE
from civitai_skill.placing import Label
from civitai_skill.pricing import Terms
from civitai_skill.purchase import Bought, Order
from civitai_skill.runs import Run
from civitai_skill.workflow import Workflow

#: Pictures that are fetched, decoded and written at once: this bounds the memory.
DOWNLOADS = 8

# Clocks differ; the list is asked from this long before a purchase on.
_SKEW = timedelta(minutes=5)


@dataclass
class Making:
    """One run over the rows. `results` fills up, by row number."""

    worker: Worker
    watch: Watch
    out: Path
    batch: str
    order: Order
    terms: Terms
    timeout: float
    #: Buzz that a row may cost whose price nobody tells.
    allowance: int
    tell: Tell
    total: int
    results: dict[int, Result] = field(default_factory=dict)
    #: What was bought for rows that have no result yet, by row number.
    under_way: dict[int, Workflow | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._stopped: CivitaiError | None = None
        self._downloads = anyio.Semaphore(DOWNLOADS)
        self._sums: dict[Path, tuple[int, str]] = {}
        self._ended = self._pictures = self._good = self._buzz = 0

    async def all(self, turns: Turns, in_flight: int) -> None:
        """Make the rows, `in_flight` of them at once."""
        async with anyio.create_task_group() as watching:
            watching.start_soon(self.watch.run)
            async with anyio.create_task_group() as group:
                for _ in range(in_flight):
                    group.start_soon(self._take, turns)
            self.watch.stop()

    async def _take(self, turns: Turns) -> None:
        while (line := await turns.next()) is not None:
            row, state = line
            self.under_way[row.number] = None
            result = await self._made(row, state, turns)
            del self.under_way[row.number]
            turns.ended(row.request.prompt, unsure=_is_unsure(result))
            self._ended += 1
            self._pictures += len(result.pictures)
            self.count(result)
            self.tell(result)
            self.tell(self.standing())

    def count(self, result: Result) -> None:
        """Take in the end of a row."""
        self.results[result.row] = result
        self._good += result.good
        self._buzz += result.cost or 0

    def standing(self) -> Standing:
        """How it stands."""
        return Standing(
            total=self.total,
            done=self._good,
            failed=len(self.results) - self._good,
            under_way=len(self.under_way),
            pictures=self._pictures,
            buzz=self._buzz,
            seconds=time.monotonic() - self._began,
            ended=self._ended,
        )

    # -- one row -----------------------------------------------------------------------------------
    async def _made(self, row: Row, state: State, turns: Turns) -> Result:
        purchase: Bought | None = None
        prompt = row.request.prompt
        try:
            if not state.bought:
                turns.check(prompt)
            purchase = await self._bought(row, state)
            self.under_way[row.number] = purchase.workflow
            workflow = await self.watch.end(purchase.workflow, self.timeout)
            if not workflow.moderated:
                turns.passes(prompt)
            async with self._downloads:
                made = await self._brought(row, state, replace(purchase, workflow=workflow))
            return await self._result(row, state.key, "succeeded", made)
        except Held as held:
            status = "blocked" if isinstance(held, Moderated) else _untouched(state)
            return result_of(row, state.key, status, reason=str(held),
                             cost=0 if state.run is None else None)  # fmt: skip
        except CivitaiError as error:
            reason = moderation(error)
            if reason is not None:
                turns.ban(prompt, reason)
            return await self._unmade(row, state, error, purchase, reason)

    async def _bought(self, row: Row, state: State) -> Bought:
        if state.bought:
            assert state.run is not None
            mine = await self.worker.take_up(state.run)
            return Bought(_as_workflow(mine), None, mine, resumed=True)
        if self._stopped is not None:
            raise Held(f"not sent: the batch was stopped: {self._stopped.message}")
        limit = self.allowance if row.price is None else row.price
        terms = replace(self.terms, external_id=state.key)
        order = replace(self.order, request=row.request, terms=terms, limit=limit,
                        label=self._label(row))  # fmt: skip
        return await self.worker.buy(order, self.out)

    async def _brought(self, row: Row, state: State, purchase: Bought) -> Generation:
        places = self._label(row).places(state.key, purchase.workflow.id, self.out)
        place = partial(self._placed, places)
        order = replace(self.order, request=row.request)
        return await self.worker.bring(order, purchase, self.out, place)

    def _label(self, row: Row) -> Label:
        return Label(row.stems, {
            "batch": self.batch,
            "row": row.number,
            "id": row.id,
            **provenance.note(row.request, row.engine, row.variant, row.seed),
        })  # fmt: skip

    def _placed(self, place: Place, n: int, fetched: Fetched) -> Path:
        try:
            path = place(n, fetched)
        except OSError as error:
            # What can't be written need not be bought: the rest waits until there is room.
            self._stop(
                TransportFailed(
                    f"Pictures can't be written to {self.out}: {error.strerror or 'no room'}",
                    hint="Make room, then run the same command again: it goes on from here.",
                )
            )
            raise
        digest = hashlib.sha256(fetched.data).hexdigest()
        self._sums[path] = (len(fetched.data), digest)
        return path

    # -- how it ended ------------------------------------------------------------------------------
    async def _unmade(
        self,
        row: Row,
        state: State,
        error: CivitaiError,
        purchase: Bought | None,
        reason: str | None,
    ) -> Result:
        sent = purchase is not None or state.bought
        if sent and error.spent == "no" and not isinstance(error, WorkflowFailed):
            error.spent = "yes"
        if _stops(error):
            self._stop(error)
        status = _status(error, moderated=reason is not None, sent=sent)
        if sent and isinstance(error, NotFound) and _is_old(state.run):
            status = "gone"
            with suppress(ConfigError):
                await self.worker.gone(state.key)
            if state.before is not None and state.before.status in FINAL:
                return self._as_before(state.before, error)
        error.hint = _hint(status, error)
        workflow = getattr(error, "workflow", None) or (purchase.workflow if purchase else None)
        return await self._result(row, state.key, status, error.result, error, workflow, reason)

    def _as_before(self, before: Result, error: CivitaiError) -> Result:
        """How a row ended before the service forgot it: its pictures and its price are known."""
        if before.status != "gone":
            return before
        error.hint = _hint("gone", error)
        return replace(before, reason=error.message, error=told(error))

    def _stop(self, error: CivitaiError) -> None:
        self._stopped = self._stopped or error

    async def _result(
        self,
        row: Row,
        key: str,
        status: str,
        made: Generation | None,
        error: CivitaiError | None = None,
        workflow: Workflow | None = None,
        reason: str | None = None,
    ) -> Result:
        workflow = made.workflow if made is not None else workflow
        cost = None if workflow is None else workflow.cost
        kept = None if cost is None else cost.kept
        pictures = () if made is None else await anyio.to_thread.run_sync(self._saved, made)
        if reason is None and isinstance(error, WorkflowFailed):
            reason = "; ".join(error.reasons) or None
        return result_of(
            row,
            key,
            status,
            workflow=None if workflow is None else workflow.id,
            cost=0 if status in ("refused", "unsent") else kept,
            refunded=0 if cost is None else sum(cost.refunded.values()),
            pictures=pictures,
            reason=reason if error is None or reason else error.message,
            error=None if error is None else told(error),
        )

    def _saved(self, made: Generation) -> tuple[Saved, ...]:
        found = []
        for n, picture in enumerate(made.pictures):
            if picture.path is not None:
                size, digest = self._sums.get(picture.path) or _sum(picture.path)
                found.append(Saved(picture.path.name, n, picture.width, picture.height,
                                   picture.seed, size, digest))  # fmt: skip
        return tuple(found)


def _is_unsure(result: Result) -> bool:
    """Has its workflow no end yet, or does nobody know whether there is one?"""
    unknown = result.error is not None and result.error.get("spent") == "unknown"
    return result.status not in FINAL and (result.workflow is not None or unknown)


def _untouched(state: State) -> str:
    """The status of a row that nothing was done for now."""
    return "unsent" if state.run is None else "unfinished"


def _stops(error: CivitaiError) -> bool:
    """Would every further row end so? The price of one row says nothing of the others."""
    if isinstance(error, OverBudget):
        return isinstance(error, BudgetUsedUp)
    return isinstance(error, Unauthorized | NotEnoughBuzz | ConfigError)


def _is_old(run: Run | None) -> bool:
    return run is not None and run.created < time.time() - JOINABLE


def _hint(status: str, error: CivitaiError) -> str:
    if isinstance(error, OverBudget) and not isinstance(error, BudgetUsedUp):
        return "Its price has risen since the plan; the same command plans anew."
    return _NEXT.get(status, error.hint)


#: What to do about a row that ended so; the same command does nothing about it.
_NEXT = {
    **dict.fromkeys(
        RETRIED, "It is not bought again by itself: --retry-failed (retry_failed) does."
    ),
    "canceled": "It is not bought again. To have it made, give the row to a batch of another name.",
}


def _sum(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def _as_workflow(run: Run) -> Workflow:
    """A purchase of an earlier process, as far as the ledger knows it."""
    created = datetime.fromtimestamp(run.created, UTC) - _SKEW
    return Workflow(run.workflow, "unknown", created_at=created.isoformat())


def _status(error: CivitaiError, *, moderated: bool, sent: bool) -> str:
    if moderated:
        return "blocked"
    if isinstance(error, WorkflowFailed):
        status = getattr(error.workflow, "status", "failed")
        return "incomplete" if status == "succeeded" else str(status)
    if isinstance(error, StillRunning):
        return "running"
    refused = isinstance(error, BadRequest | Forbidden | NotEnoughBuzz | OverBudget | ValueError)
    return "refused" if refused and not sent and error.spent == "no" else "unfinished"
