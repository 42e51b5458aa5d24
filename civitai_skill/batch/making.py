"""Making the rows of a batch: at most so many under way, each bought, waited for and saved."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from civitai_skill import provenance
from civitai_skill.batch.plan import Row
from civitai_skill.batch.prompts import Moderated, Prompts, moderation
from civitai_skill.batch.report import Standing, Tell
from civitai_skill.batch.results import Result, Saved, told
from civitai_skill.batch.states import RETRIED, State, result_of
from civitai_skill.batch.waiting import Watch
from civitai_skill.batch.worker import Worker
from civitai_skill.delivery import Generation, Place
from civitai_skill.download import Fetched
from civitai_skill.errors import (
    BadRequest,
    CivitaiError,
    ConfigError,
    Forbidden,
    NotEnoughBuzz,
    OverBudget,
    StillRunning,
    TransportFailed,
    Unauthorized,
    WorkflowFailed,
)
from civitai_skill.ledger import Run
from civitai_skill.placing import Label
from civitai_skill.pricing import Terms
from civitai_skill.purchase import Bought, Order
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
    prompts: Prompts = field(default_factory=Prompts)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._stopped: CivitaiError | None = None
        self._under_way = 0
        self._downloads = anyio.Semaphore(DOWNLOADS)
        self._sums: dict[Path, tuple[int, str]] = {}
        self._ended = self._pictures = self._good = self._buzz = 0

    async def all(self, rows: Sequence[tuple[Row, State]], in_flight: int) -> None:
        """Make the rows."""
        queue = iter(rows)
        async with anyio.create_task_group() as watching:
            watching.start_soon(self.watch.run)
            async with anyio.create_task_group() as group:
                for _ in range(min(in_flight, len(rows))):
                    group.start_soon(self._take, queue)
            self.watch.stop()

    async def _take(self, queue: Iterator[tuple[Row, State]]) -> None:
        for row, state in queue:
            self._under_way += 1
            try:
                result = await self._made(row, state)
            finally:
                self._under_way -= 1
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
            under_way=self._under_way,
            pictures=self._pictures,
            buzz=self._buzz,
            seconds=time.monotonic() - self._began,
            ended=self._ended,
        )

    # -- one row -----------------------------------------------------------------------------------
    async def _made(self, row: Row, state: State) -> Result:
        bought: Workflow | None = None
        try:
            purchase = await self._bought(row, state)
            bought = purchase.workflow
            workflow = await self.watch.end(purchase.workflow, self.timeout)
            async with self._downloads:
                made = await self._brought(row, state, replace(purchase, workflow=workflow))
            return await self._result(row, state.key, "succeeded", made)
        except Moderated as error:
            reason = f"not sent: the same prompt was stopped by moderation ({error.reason})"
            return result_of(row, state.key, "blocked", reason=reason, cost=0)
        except CivitaiError as error:
            return await self._unmade(row, state.key, error, bought)

    async def _bought(self, row: Row, state: State) -> Bought:
        run = state.run
        if run is not None and run.workflow is not None:
            mine = await self.worker.take_up(run)
            return Bought(_as_workflow(mine), None, mine, resumed=True)
        if self._stopped is not None and run is None:
            raise self._stopped
        limit = self.allowance if row.price is None else row.price
        terms = replace(self.terms, external_id=state.key)
        order = replace(self.order, request=row.request, terms=terms, limit=limit,
                        label=self._label(row))  # fmt: skip
        async with self.prompts.turn(row.request.prompt):
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
        self, row: Row, key: str, error: CivitaiError, bought: Workflow | None
    ) -> Result:
        if bought is not None and error.spent == "no" and not isinstance(error, WorkflowFailed):
            error.spent = "yes"
        reason = moderation(error)
        if reason is not None:
            self.prompts.ban(row.request.prompt, reason)
        not_begun = error is self._stopped and bought is None
        if isinstance(error, Unauthorized | NotEnoughBuzz | OverBudget | ConfigError):
            self._stop(error)
        status = _status(error, moderated=reason is not None, sent=bought is not None)
        error.hint = _NEXT.get(status, error.hint)
        if not_begun:
            status = "unsent"
        workflow = getattr(error, "workflow", None) or bought
        return await self._result(row, key, status, error.result, error, workflow, reason)

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
        kept = None
        if cost is not None:
            kept = sum(cost.by_currency.values()) if cost.paid else cost.total
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
