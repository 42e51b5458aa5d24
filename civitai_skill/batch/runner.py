"""Making the rows of a batch: at most so many under way, each bought, waited for and saved."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from civitai_skill.api import wait
from civitai_skill.api.drivers import adrive
from civitai_skill.api.models import Workflow
from civitai_skill.batch.plan import Row
from civitai_skill.batch.queue import NotSent, PromptModerated, RowQueue, moderation_reason
from civitai_skill.batch.report import BatchProgress, Tell
from civitai_skill.batch.results import FINAL, Result
from civitai_skill.batch.spending import Spending
from civitai_skill.batch.states import RETRIED, RowState, build_result
from civitai_skill.batch.watcher import WorkflowWatcher
from civitai_skill.client.clients import AsyncCivitai
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
    Unauthorized,
    WorkflowFailed,
    explain,
)
from civitai_skill.errors.next_steps import Render, Say
from civitai_skill.images.decode import FetchedPicture
from civitai_skill.images.save import Label, Place
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.ledger.ledger import JOINABLE
from civitai_skill.purchase.buy import buy
from civitai_skill.purchase.events import Event, Submitting
from civitai_skill.purchase.generate import begin_clock, finish
from civitai_skill.purchase.order import Order, Purchase

#: Pictures that are fetched, decoded and written at once: this bounds the memory.
DOWNLOADS = 8

# Clocks differ; the list is asked from this long before a purchase on.
_SKEW = timedelta(minutes=5)


@dataclass
class RowRunner:
    """Buy, await and save every row. `results` fills up, by row number."""

    client: AsyncCivitai
    watcher: WorkflowWatcher
    #: What the purchases have in common.
    order: Order
    batch: str
    timeout: float
    spending: Spending
    tell: Tell
    render: Render
    total: int
    results: dict[int, Result] = field(default_factory=dict)
    #: What was bought for rows that have no result yet, by row number.
    under_way: dict[int, Workflow | None] = field(default_factory=dict)
    # The row since which nothing more is begun, and whether not even what was let in is sent.
    _stopped_at: int = 0
    _why_unsent: str = ""
    _halted: bool = False
    _began: float = field(default_factory=time.monotonic)
    _downloads: anyio.Semaphore = field(default_factory=partial(anyio.Semaphore, DOWNLOADS))
    _ended: int = 0
    _pictures: int = 0
    _good: int = 0
    _buzz: int = 0

    async def run_all(self, queue: RowQueue, in_flight: int) -> None:
        """Make the rows, `in_flight` of them at once."""
        async with anyio.create_task_group() as watching:
            watching.start_soon(self.watcher.run)
            async with anyio.create_task_group() as group:
                for _ in range(in_flight):
                    group.start_soon(self._run_queue, queue)
            watching.cancel_scope.cancel()

    def add(self, result: Result) -> None:
        """Take in the end of a row, of this run or an earlier one."""
        self.results[result.row] = result
        self._good += result.status == "succeeded"
        self._buzz += result.cost or 0

    async def _run_queue(self, queue: RowQueue) -> None:
        while (line := await queue.next()) is not None:
            row, state = line
            self.under_way[row.number] = None
            result = await self._run_row(row, state, queue)
            self.spending.count(row, result.cost)
            del self.under_way[row.number]
            # Has its workflow no end yet, or does nobody know whether there is one?
            unknown = (result.error or {}).get("spent") == "unknown"
            unsure = result.status not in FINAL and (result.workflow is not None or unknown)
            queue.mark_ended(row.request.prompt, unsure=unsure)
            self._ended += 1
            self._pictures += len(result.pictures)
            self.add(result)
            self.tell(result)
            seconds, failed = time.monotonic() - self._began, len(self.results) - self._good
            self.tell(BatchProgress(
                self.total, self._good, failed, len(self.under_way), self._pictures, self._buzz,
                seconds, self._ended,
            ))  # fmt: skip

    # -- one row -----------------------------------------------------------------------------------
    async def _run_row(self, row: Row, state: RowState, queue: RowQueue) -> Result:
        purchase: Purchase | None = None
        service = self.client._service
        began, prompt, made = time.monotonic(), row.request.prompt, row.plan
        label = Label(row.stems, {
            "batch": self.batch, "row": row.number, "id": row.id,
            **sidecar_facts(row.request, made.family, made.variant, made.seed),
        })  # fmt: skip
        order = replace(
            self.order,
            asked=row.request,
            terms=replace(self.order.terms, external_id=state.key),
            label=label,
            tell=self._hear,
        )
        try:
            if state.workflow is not None:
                purchase = await anyio.to_thread.run_sync(self._take_up, row, state.key)
            else:
                queue.check_prompt(prompt)
                if self._stopped_at:
                    raise NotSent(self._why_unsent)
                reopen = "" in row.prepared.sources
                prepared = None if reopen else replace(row.prepared, key=state.key)
                async with self.spending.admit(row) as (price, most, first):
                    quoted = None if first and row.ask_again else row.quoted
                    order = replace(order, limit=price, most=most, quoted=quoted)
                    began, order = begin_clock(order, self.timeout)
                    purchase = await adrive(buy(service, order, prepared), self.client._http)
                    self.spending.count(row, purchase.workflow.cost.kept)
            self.under_way[row.number] = purchase.workflow
            if order.is_overcharged(purchase, purchase.workflow):
                self._halted = True  # `finish` cancels it
                self._stop(row)
            else:
                new = not purchase.resumed
                workflow = await self.watcher.wait_for(
                    purchase.workflow, self.timeout, just_bought=new, began=began
                )
                purchase = replace(purchase, workflow=workflow)
                if not workflow.moderated:
                    queue.mark_passed(prompt)
            assert order.out is not None, "a row's pictures go to a folder"
            own = label.places(state.key, purchase.workflow.id, order.out)
            assert own is not None, "a row has names of its own"
            place = partial(self._save, row, own)
            # It has ended; pictures that are not there yet are waited for.
            home = finish(service, order, purchase, timeout=wait.LAG, place=place)
            async with self._downloads:
                generation = await adrive(home, self.client._http)
            ended = partial(build_result, row, state.key, "succeeded", generation)
            return await anyio.to_thread.run_sync(ended)
        except CivitaiError as error:
            if isinstance(error, BudgetUsedUp) and self._stopped_at not in (0, row.number):
                error = NotSent(self._why_unsent)  # one row tells it
            if isinstance(error, NotSent):
                begun = state.run is not None
                status = "unfinished" if begun else "unsent"
                if isinstance(error, PromptModerated):
                    status = "blocked"
                cost = None if begun else 0
                return build_result(row, state.key, status, reason=error.message, cost=cost)
            reason = moderation_reason(error)
            if reason is not None:
                queue.mark_banned(prompt, reason)
            return await self._result_of_error(row, state, error, purchase, reason)

    def _hear(self, event: Event) -> None:
        """Look once more right before a row is sent: what was charged meanwhile may stop it."""
        if self._halted and isinstance(event, Submitting):
            raise NotSent(self._why_unsent)

    def _stop(self, row: Row) -> None:
        """Begin nothing more."""
        self._stopped_at = self._stopped_at or row.number
        self._why_unsent = f"not sent: the batch was stopped at row {self._stopped_at}"

    def _take_up(self, row: Row, key: str) -> Purchase:
        """Go on with a purchase of an earlier process, as far as the ledger knows it."""
        assert self.order.ledger is not None, "only a ledger has runs to take up"
        run = self.order.ledger.take_up(key)
        created = datetime.fromtimestamp(run.created, UTC) - _SKEW
        workflow = Workflow(run.workflow, "unknown", created_at=created.isoformat())
        return Purchase(workflow, row.plan, run, resumed=True)

    def _save(self, row: Row, place: Place, n: int, fetched: FetchedPicture) -> Path:
        try:
            return place(n, fetched)
        except OSError:
            # What can't be written need not be bought: the rest waits until there is room.
            self._stop(row)
            raise

    # -- how it ended ------------------------------------------------------------------------------
    async def _result_of_error(
        self,
        row: Row,
        state: RowState,
        error: CivitaiError,
        purchase: Purchase | None,
        reason: str | None,
    ) -> Result:
        sent = purchase is not None or state.workflow is not None
        if sent and error.spent == "no" and not isinstance(error, WorkflowFailed):
            error = error.replace(spent="yes")
        if _stops_batch(error):
            self._stop(row)
        status = _status_of(error, moderated=reason is not None, sent=sent)
        is_old = state.run is not None and state.run.created < time.time() - JOINABLE
        gone = sent and is_old and isinstance(error, NotFound)
        if gone:
            status = "gone"
            with suppress(ConfigError):
                assert self.order.ledger is not None, "only a ledger has runs that are old"
                await anyio.to_thread.run_sync(self.order.ledger.record_missing, state.key)
        error = _with_next_steps(status, error)
        before = state.before
        explained = explain(error, self.render)
        told = {**explained.as_dict(), "exit_code": explained.exit_code}
        if gone and before is not None and before.status in FINAL:
            # How it ended before the service forgot it: its pictures and its price are known.
            is_known = before.status != "gone"
            return before if is_known else replace(before, reason=error.message, error=told)
        workflow = getattr(error, "workflow", None) or (purchase.workflow if purchase else None)
        if reason is None and isinstance(error, WorkflowFailed):
            reason = "; ".join(error.reasons) or None
        ended = partial(
            build_result, row, state.key, status, error.result, workflow,
            reason=reason or error.message, error=told,
        )  # fmt: skip
        return await anyio.to_thread.run_sync(ended)


def _stops_batch(error: CivitaiError) -> bool:
    """Would every further row end so? The price of one row says nothing of the others."""
    if isinstance(error, OverBudget):
        return isinstance(error, BudgetUsedUp) or error.spent == "yes"
    return isinstance(error, Unauthorized | NotEnoughBuzz | ConfigError)


def _with_next_steps(status: str, error: CivitaiError) -> CivitaiError:
    """The error with what to do about a row that ended so, where the same batch again does
    nothing about it."""
    if isinstance(error, OverBudget) and not _stops_batch(error):
        advice = "Its price has risen since the plan; the same batch again plans anew."
        return error.replace(advice=advice, next=())
    if status in RETRIED:
        advice = "It is not bought again by itself."
        return error.replace(advice=advice, next=(Say("retry_failed", "buy it again"),))
    if status == "canceled":
        advice = "It is not bought again. To have it made, give the row to a batch of another name."
        return error.replace(advice=advice, next=())
    return error


def _status_of(error: CivitaiError, *, moderated: bool, sent: bool) -> str:
    if moderated:
        return "blocked"
    if isinstance(error, WorkflowFailed):
        status = getattr(error.workflow, "status", "failed")
        return "incomplete" if status == "succeeded" else str(status)
    if isinstance(error, OverBudget) and error.spent == "yes":
        made = error.result
        if made.workflow.status == "succeeded" and len(made.paths) < len(made.pictures):
            return "incomplete"
        return str(made.workflow.status) if made.workflow.done else "unfinished"
    if isinstance(error, StillRunning):
        return "running"
    refused = isinstance(error, BadRequest | Forbidden | NotEnoughBuzz | OverBudget | ValueError)
    return "refused" if refused and not sent and error.spent == "no" else "unfinished"
