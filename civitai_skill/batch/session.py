"""A batch as it runs: the plan, its price, the purchases, and the results on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio.to_thread

from civitai_skill.api.drivers import adrive
from civitai_skill.api.models import Workflow
from civitai_skill.api.progress import ServiceWarning
from civitai_skill.batch import results
from civitai_skill.batch.limiter import CONCURRENCY, BatchClient
from civitai_skill.batch.models import resolve_rows
from civitai_skill.batch.names import TEMPLATE
from civitai_skill.batch.plan import Row, plan_rows
from civitai_skill.batch.prices import Line, ask_prices, leave_out, summarize
from civitai_skill.batch.queue import RowQueue
from civitai_skill.batch.report import BatchPlan, Report, Tell
from civitai_skill.batch.results import Result
from civitai_skill.batch.rows import RawRow
from civitai_skill.batch.runner import RowRunner
from civitai_skill.batch.spending import Spending
from civitai_skill.batch.states import RowState, build_result, load_states, update_result
from civitai_skill.batch.watcher import WorkflowWatcher
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.clients import TIMEOUT
from civitai_skill.client.options import Call
from civitai_skill.config import expand_home
from civitai_skill.errors import (
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    Problem,
    RequestInvalid,
    Spent,
)
from civitai_skill.errors.next_steps import Allow, Choose, Render, Say, in_python
from civitai_skill.images.save import prepare_folder
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.ledger.budget import read_budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare, upload_sources
from civitai_skill.purchase.price import ask_price, confirm, is_confirmed
from civitai_skill.storage import files

#: Rows under way at once, and the most that may be.
IN_FLIGHT = 100
_MOST_IN_FLIGHT = 5000

_ANY_PROMPT = "a quiet landscape"


def _with_any_prompt(step: dict[str, Any]) -> dict[str, Any]:
    """A step with other words, where it says them itself."""
    if not isinstance(step["input"].get("prompt"), str):
        return step
    return {**step, "input": {**step["input"], "prompt": _ANY_PROMPT}}


@dataclass
class BatchSession:
    """A batch with its options, which `run.BatchSettings` explains. Raises RequestInvalid."""

    name: str = "batch"
    out: Folder = "."
    client: BaseClient | None = None
    max_buzz: int | None = None
    template: str = TEMPLATE
    concurrency: int = CONCURRENCY
    in_flight: int = IN_FLIGHT
    timeout: float = TIMEOUT
    retry_failed: bool = False
    allow_unpriced: bool = False
    as_many_as_fit: bool = False
    dry_run: bool = False
    table: bool = False
    sources: SourcePolicy = EVERY_SOURCE
    tell: Tell = lambda event: None
    render: Render = in_python
    purpose: str = "batch"
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    allow_mature_content: bool | None = None
    currencies: Sequence[str] | None = None
    priority: str | None = None

    def __post_init__(self) -> None:
        self.folder = expand_home(self.out)
        if not self.timeout >= 0:
            raise RequestInvalid(Problem("timeout", self.timeout, "seconds, 0 or more"))
        if not 1 <= len(self.name) <= 100 or not self.name.isprintable():
            raise RequestInvalid(Problem("name", self.name, "1 to 100 printable characters"))
        if isinstance(self.tags, str):
            raise RequestInvalid(Problem("tags", self.tags, "a list of texts", [self.tags]))
        for name, most in (("in_flight", _MOST_IN_FLIGHT), ("concurrency", 256)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                nearest = max(1, min(most, value))
                raise RequestInvalid(Problem(name, value, f"1 to {most}", nearest))
        #: What the service warned of where it was asked for a price.
        self._warned: list[ServiceWarning] = []
        #: All workflows of a batch carry it.
        self.tag = f"batch:{self.name}"
        self.call = Call("-", {
            "max_buzz": self.max_buzz,
            "tags": (self.tag, *self.tags), "metadata": self.metadata, "sources": self.sources,
            "allow_mature_content": self.allow_mature_content, "currencies": self.currencies,
            "priority": self.priority, "purpose": self.purpose,
        })  # fmt: skip

    async def run(self, raw_rows: Sequence[RawRow]) -> Report:
        """Make the rows. Raises what run_batch raises."""
        made = BatchClient() if self.client is None else BatchClient.like(self.client)
        async with made as client:
            client.limiter.most = self.concurrency
            raw_rows = await resolve_rows(raw_rows, client, self.call.terms)
            lines, order, used = await anyio.to_thread.run_sync(self._prepare, raw_rows, client)
            limit, budget = order.limit, order.budget
            documented = summarize(self.name, lines, set(), limit, budget, used)
            if self.dry_run or self.as_many_as_fit or documented.price <= limit:
                ask = partial(self._ask_price, client, order)
                lines = await ask_prices(lines, ask, every_rule=not self.dry_run)
            left = None if budget is None else budget.limit - used
            left_out = leave_out(lines, limit, left) if self.as_many_as_fit else set[int]()
            plan = summarize(self.name, lines, left_out, limit, budget, used)
            warnings = dict.fromkeys([*plan.warnings, *map(str, self._warned)])
            plan = replace(plan, warnings=tuple(warnings))
            self.tell(plan)
            if self.dry_run:
                done = tuple(state.result for _, state in lines if state.result)
                return Report(plan, done, self.folder)
            if plan.unpriced and not self.allow_unpriced:
                raise OverBudget(
                    f"The price of {plan.unpriced} of {plan.rows} rows is not documented, and the "
                    "service did not tell it either. Nothing was bought.",
                    price=None,
                    limit=limit,
                    next=(Choose(), Say("allow_unpriced", "let them through")),
                )
            if plan.price > limit:
                raise OverBudget(
                    f"{plan.new} rows cost up to {plan.price} Buzz together; the limit is {limit}. "
                    "Nothing was bought.",
                    price=plan.price,
                    limit=limit,
                    next=(Allow(plan.price), Say("as_many_as_fit", "buy the first that fit")),
                )
            allowance = (limit - plan.price) // max(1, plan.unpriced)
            spending = Spending(limit, budget, used, allowance, self.tell)
            return await self._buy(client, lines, plan, order, spending, left_out)

    def _prepare(
        self, raw_rows: Sequence[RawRow], client: BatchClient
    ) -> tuple[list[Line], Order, int]:
        """Check every row and find out where it stands; gives the lines, the rules of their
        purchases, and what all else has used of the budget (Buzz)."""
        rows = plan_rows(raw_rows, self.name, self.call.terms, self.template, self.sources)
        if not self.dry_run:
            prepare_folder(self.folder)
            for path in (self.folder / results.RESULTS, self.folder / results.TABLE):
                if path.is_dir():
                    raise ConfigError(
                        f"{path} is a folder, and the results are to be written there.",
                        advice="Move it away, or have the pictures written to another folder.",
                    )
            files.remove_stale(self.folder)
        states = load_states(rows, client.ledger, self.folder, retry_failed=self.retry_failed)
        lines = list(zip(rows, states, strict=True))
        # The keys alone say what is the same: a batch goes on after the account's key changed.
        order = client._order(self.call, self.folder)
        order = replace(order, unpriced=self.allow_unpriced, apart=False, unconfirmed=None)
        if client.ledger is not None and order.budget is None:
            kept = client.ledger.setting("budget")
            order = replace(order, budget=read_budget(kept) if kept else None)
        if client.ledger is None or order.budget is None:
            return lines, order, 0
        begun = time.time() - order.budget.period
        used = client.ledger.used_buzz(order.budget) - sum(
            state.run.buzz
            for state in states
            if state.run is not None and not state.is_submitted and state.run.created >= begun
        )
        return lines, order, used

    async def _ask_price(self, client: BatchClient, order: Order, row: Row) -> int | None:
        """The service's price of a row; the documented one where the service confirmed its rule."""
        if await anyio.to_thread.run_sync(is_confirmed, order, row.plan):
            return row.price
        prepared = row.prepared
        if "" in prepared.sources:
            prepared = prepare(replace(order, asked=row.request))
        # Other words: a price depends on none, and what moderation stops must not be sent twice.
        other = [_with_any_prompt(step) for step in prepared.steps]
        prepared = replace(prepared, steps=other, request=None)
        body = await adrive(upload_sources(client._service, prepared), client.http)
        flow = ask_price(client._service, order, prepared, body)
        quote = await adrive(flow, client.http)
        if quote is None:
            return None
        self._warned += quote.warnings
        if quote.insufficient_buzz:
            raise NotEnoughBuzz(
                f"The account has not enough Buzz for row {row.number} ({quote.total} needed).",
                status=200,
                advice="Buy Buzz, or lower the price.",
            )
        await anyio.to_thread.run_sync(confirm, order, row.plan, quote)
        return quote.total

    # -- the rows ----------------------------------------------------------------------------------
    async def _buy(
        self, client: BatchClient, lines: Sequence[Line], plan: BatchPlan, order: Order,
        spending: Spending, left_out: set[int],
    ) -> Report:  # fmt: skip
        """Make what is not finished, and write down how every row ended."""
        runner = RowRunner(
            http=client.http,
            service=client._service,
            watcher=WorkflowWatcher(client, self.tag),
            order=order,
            out=self.folder,
            batch=self.name,
            timeout=self.timeout,
            spending=spending,
            tell=self.tell,
            render=self.render,
            total=len(lines),
        )
        queue = RowQueue()
        for row, state in lines:
            if state.banned is not None:
                queue.mark_banned(row.request.prompt, state.banned)
            if row.number in left_out:
                why = "not sent: it does not fit into what is left"
                runner.add(build_result(row, state.key, "unsent", reason=why, cost=0))
            elif state.result is None:
                queue.add(row, state)
            else:
                runner.add(state.result)
                if state.result.good:
                    queue.mark_passed(row.request.prompt)
        try:
            await runner.run_all(queue, min(self.in_flight, len(lines) - len(runner.results)))
        finally:
            # Interrupted or not, the file has a line for each row. No await: this must not be cut.
            written = self._write(client.ledger, lines, runner)
        told = (runner.watcher.requests, spending.total, tuple(map(str, spending.surprises)))
        return Report(plan, tuple(written), self.folder, *told)

    def _write(
        self, ledger: Ledger | None, lines: Sequence[Line], runner: RowRunner
    ) -> list[Result]:
        """Write the results, with what other processes have seen of these rows since."""
        ended = []
        for row, state in lines:
            here = runner.results.get(row.number)
            ended.append((row, state, here or _interrupted_result(row, state, runner.under_way)))
        left = [result.key for _, _, result in ended if result.status not in results.FINAL]
        if ledger is not None and left:
            # What is not finished is for whoever asks next: this process may live on.
            with suppress(ConfigError):
                ledger.release(*left)
        try:
            with results.lock_folder(self.folder):
                earlier = results.read_earlier(self.folder)
                found = [
                    result
                    if result.status in results.FINAL
                    else update_result(
                        row, state, result, ledger, earlier.get(row.key), self.folder
                    )
                    for row, state, result in ended
                ]
                results.write(self.folder, found, table=self.table)
        except OSError as error:
            new = [result for _, state, result in ended if state.result is None]
            raise ConfigError(
                f"The results can't be written to {self.folder}: {error.strerror or 'no room'}.",
                advice="Make room, then run the same batch again: it goes on from here, and "
                "nothing is bought twice.",
                spent=_summarize_spent(new),
            ) from None
        files.remove_stale(self.folder)
        return found


def _summarize_spent(results: Sequence[Result]) -> Spent:
    """Was Buzz spent for these rows?"""
    if any(result.workflow is not None for result in results):
        return "yes"
    unknown = any((result.error or {}).get("spent") == "unknown" for result in results)
    return "unknown" if unknown else "no"


def _interrupted_result(
    row: Row, state: RowState, under_way: Mapping[int, Workflow | None]
) -> Result:
    """A row that had not ended when the run was interrupted."""
    workflow = under_way.get(row.number)
    begun = state.run is not None or row.number in under_way
    return build_result(
        row, state.key, "unfinished" if begun else "unsent", reason="interrupted",
        workflow=None if workflow is None else workflow.id,
        cost=None if workflow is None else workflow.cost.total,
    )  # fmt: skip
