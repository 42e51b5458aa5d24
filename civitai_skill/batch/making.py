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

from civitai_skill.api.models import Workflow
from civitai_skill.batch.plan import Row
from civitai_skill.batch.report import BatchProgress, Tell
from civitai_skill.batch.results import FINAL, Result, SavedPicture, error_to_json
from civitai_skill.batch.states import RETRIED, RowState, build_result
from civitai_skill.batch.turns import NotSent, PromptModerated, RowQueue, moderation_reason
from civitai_skill.batch.waiting import WorkflowWatcher
from civitai_skill.batch.worker import BatchClient
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
from civitai_skill.images import sidecar
from civitai_skill.images.decode import FetchedPicture
from civitai_skill.images.save import Label, Place
from civitai_skill.ledger.ledger import JOINABLE
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.result import Generation

#: Pictures that are fetched, decoded and written at once: this bounds the memory.
DOWNLOADS = 8

# Clocks differ; the list is asked from this long before a purchase on.
_SKEW = timedelta(minutes=5)


@dataclass
class RowRunner:
    """Buy, await and save every row. `results` fills up, by row number."""

    worker: BatchClient
    watch: WorkflowWatcher
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
        self._checksums: dict[Path, tuple[int, str]] = {}
        self._ended = self._pictures = self._good = self._buzz = 0

    async def run_all(self, queue: RowQueue, in_flight: int) -> None:
        """Make the rows, `in_flight` of them at once."""
        async with anyio.create_task_group() as watching:
            watching.start_soon(self.watch.run)
            async with anyio.create_task_group() as group:
                for _ in range(in_flight):
                    group.start_soon(self._run_queue, queue)
            self.watch.stop()

    async def _run_queue(self, queue: RowQueue) -> None:
        while (line := await queue.next()) is not None:
            row, state = line
            self.under_way[row.number] = None
            result = await self._run_row(row, state, queue)
            del self.under_way[row.number]
            queue.mark_ended(row.request.prompt, unsure=_is_undecided(result))
            self._ended += 1
            self._pictures += len(result.pictures)
            self.count(result)
            self.tell(result)
            self.tell(self.progress())

    def count(self, result: Result) -> None:
        """Take in the end of a row."""
        self.results[result.row] = result
        self._good += result.good
        self._buzz += result.cost or 0

    def progress(self) -> BatchProgress:
        """How it stands."""
        return BatchProgress(
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
    async def _run_row(self, row: Row, state: RowState, queue: RowQueue) -> Result:
        purchase: Purchase | None = None
        prompt = row.request.prompt
        try:
            if not state.is_submitted:
                queue.check_prompt(prompt)
            purchase = await self._buy(row, state)
            self.under_way[row.number] = purchase.workflow
            workflow = await self.watch.wait_for(purchase.workflow, self.timeout)
            if not workflow.moderated:
                queue.mark_passed(prompt)
            async with self._downloads:
                generation = await self._bring_home(
                    row, state, replace(purchase, workflow=workflow)
                )
            return await self._build_result(row, state.key, "succeeded", generation)
        except NotSent as not_sent:
            status = (
                "blocked" if isinstance(not_sent, PromptModerated) else _status_when_not_sent(state)
            )
            return build_result(row, state.key, status, reason=str(not_sent),
                             cost=0 if state.run is None else None)  # fmt: skip
        except CivitaiError as error:
            reason = moderation_reason(error)
            if reason is not None:
                queue.mark_banned(prompt, reason)
            return await self._result_of_error(row, state, error, purchase, reason)

    async def _buy(self, row: Row, state: RowState) -> Purchase:
        if state.is_submitted:
            assert state.run is not None
            mine = await self.worker.take_up(state.run)
            return Purchase(_workflow_of(mine), None, mine, resumed=True)
        if self._stopped is not None:
            raise NotSent(f"not sent: the batch was stopped: {self._stopped.message}")
        limit = self.allowance if row.price is None else row.price
        terms = replace(self.terms, external_id=state.key)
        order = replace(self.order, asked=row.request, terms=terms, limit=limit,
                        label=self._label(row))  # fmt: skip
        return await self.worker.buy(order, self.out)

    async def _bring_home(self, row: Row, state: RowState, purchase: Purchase) -> Generation:
        places = self._label(row).places(state.key, purchase.workflow.id, self.out)
        place = partial(self._save_picture, places)
        order = replace(self.order, asked=row.request)
        return await self.worker.bring_home(order, purchase, self.out, place)

    def _label(self, row: Row) -> Label:
        return Label(row.stems, {
            "batch": self.batch,
            "row": row.number,
            "id": row.id,
            **sidecar.sidecar_facts(row.request, row.engine, row.variant, row.seed),
        })  # fmt: skip

    def _save_picture(self, place: Place, n: int, fetched: FetchedPicture) -> Path:
        try:
            path = place(n, fetched)
        except OSError as error:
            # What can't be written need not be bought: the rest waits until there is room.
            self._stop(
                TransportFailed(
                    f"Pictures can't be written to {self.out}: {error.strerror or 'no room'}",
                    advice="Make room, then run the same command again: it goes on from here.",
                )
            )
            raise
        digest = hashlib.sha256(fetched.data).hexdigest()
        self._checksums[path] = (len(fetched.data), digest)
        return path

    # -- how it ended ------------------------------------------------------------------------------
    async def _result_of_error(
        self,
        row: Row,
        state: RowState,
        error: CivitaiError,
        purchase: Purchase | None,
        reason: str | None,
    ) -> Result:
        sent = purchase is not None or state.is_submitted
        if sent and error.spent == "no" and not isinstance(error, WorkflowFailed):
            error.spent = "yes"
        if _stops_batch(error):
            self._stop(error)
        status = _status_of(error, moderated=reason is not None, sent=sent)
        if sent and isinstance(error, NotFound) and _is_old(state.run):
            status = "gone"
            with suppress(ConfigError):
                await self.worker.record_gone(state.key)
            if state.before is not None and state.before.status in FINAL:
                return self._restore_result(state.before, error)
        error.advice = _hint_for(status, error)
        workflow = getattr(error, "workflow", None) or (purchase.workflow if purchase else None)
        return await self._build_result(
            row, state.key, status, error.result, error, workflow, reason
        )

    def _restore_result(self, before: Result, error: CivitaiError) -> Result:
        """How a row ended before the service forgot it: its pictures and its price are known."""
        if before.status != "gone":
            return before
        error.advice = _hint_for("gone", error)
        return replace(before, reason=error.message, error=error_to_json(error))

    def _stop(self, error: CivitaiError) -> None:
        self._stopped = self._stopped or error

    async def _build_result(
        self,
        row: Row,
        key: str,
        status: str,
        generation: Generation | None,
        error: CivitaiError | None = None,
        workflow: Workflow | None = None,
        reason: str | None = None,
    ) -> Result:
        workflow = generation.workflow if generation is not None else workflow
        cost = None if workflow is None else workflow.cost
        cost_kept = None if cost is None else cost.kept
        pictures = (
            ()
            if generation is None
            else await anyio.to_thread.run_sync(self._list_pictures, generation)
        )
        if reason is None and isinstance(error, WorkflowFailed):
            reason = "; ".join(error.reasons) or None
        return build_result(
            row,
            key,
            status,
            workflow=None if workflow is None else workflow.id,
            cost=0 if status in ("refused", "unsent") else cost_kept,
            refunded=0 if cost is None else sum(cost.refunded.values()),
            pictures=pictures,
            reason=reason if error is None or reason else error.message,
            error=None if error is None else error_to_json(error),
        )

    def _list_pictures(self, generation: Generation) -> tuple[SavedPicture, ...]:
        found = []
        for n, picture in enumerate(generation.pictures):
            if picture.path is not None:
                size, digest = self._checksums.get(picture.path) or _size_and_digest(picture.path)
                found.append(SavedPicture(picture.path.name, n, picture.width, picture.height,
                                   picture.seed, size, digest))  # fmt: skip
        return tuple(found)


def _is_undecided(result: Result) -> bool:
    """Has its workflow no end yet, or does nobody know whether there is one?"""
    unknown = result.error is not None and result.error.get("spent") == "unknown"
    return result.status not in FINAL and (result.workflow is not None or unknown)


def _status_when_not_sent(state: RowState) -> str:
    """The status of a row that nothing was done for now."""
    return "unsent" if state.run is None else "unfinished"


def _stops_batch(error: CivitaiError) -> bool:
    """Would every further row end so? The price of one row says nothing of the others."""
    if isinstance(error, OverBudget):
        return isinstance(error, BudgetUsedUp)
    return isinstance(error, Unauthorized | NotEnoughBuzz | ConfigError)


def _is_old(run: Run | None) -> bool:
    return run is not None and run.created < time.time() - JOINABLE


def _hint_for(status: str, error: CivitaiError) -> str:
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


def _size_and_digest(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def _workflow_of(run: Run) -> Workflow:
    """A purchase of an earlier process, as far as the ledger knows it."""
    created = datetime.fromtimestamp(run.created, UTC) - _SKEW
    return Workflow(run.workflow, "unknown", created_at=created.isoformat())


def _status_of(error: CivitaiError, *, moderated: bool, sent: bool) -> str:
    if moderated:
        return "blocked"
    if isinstance(error, WorkflowFailed):
        status = getattr(error.workflow, "status", "failed")
        return "incomplete" if status == "succeeded" else str(status)
    if isinstance(error, StillRunning):
        return "running"
    refused = isinstance(error, BadRequest | Forbidden | NotEnoughBuzz | OverBudget | ValueError)
    return "refused" if refused and not sent and error.spent == "no" else "unfinished"
