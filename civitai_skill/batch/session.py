"""A batch as it runs: the plan, its price, the purchases, and the results on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypedDict

import anyio.to_thread

from civitai_skill.api.connections import AsyncTransport
from civitai_skill.api.models import Workflow
from civitai_skill.api.progress import ServiceWarning
from civitai_skill.batch import results
from civitai_skill.batch.limiter import CONCURRENCY, AdaptiveLimiter, ThrottledClient
from civitai_skill.batch.names import TEMPLATE
from civitai_skill.batch.plan import Row, plan_rows, resolve_rows
from civitai_skill.batch.queue import RowQueue
from civitai_skill.batch.report import BatchPlan, Report, Tell
from civitai_skill.batch.results import Result
from civitai_skill.batch.rows import RawRow
from civitai_skill.batch.runner import RowRunner
from civitai_skill.batch.spending import Spending, ask_prices, leave_out, summarize
from civitai_skill.batch.states import Line, RowState, build_result, load_states, update_result
from civitai_skill.batch.watcher import WorkflowWatcher
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.clients import TIMEOUT, AsyncCivitai
from civitai_skill.config import expand_home
from civitai_skill.errors import ConfigError, OverBudget, Problem, RequestInvalid, Spent
from civitai_skill.errors.next_steps import Allow, Choose, Render, Say, in_python
from civitai_skill.images.save import prepare_folder
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.ledger.budget import read_budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.order import Order
from civitai_skill.resources.resolve import NAMING
from civitai_skill.schema.problems import nearest_name
from civitai_skill.storage import files

#: Rows under way at once, and the most that may be.
IN_FLIGHT = 100
_MOST_IN_FLIGHT, _MOST_AT_ONCE = 5000, 256


class BatchSettings(TypedDict, total=False):
    """How a batch runs.

    name            the batch's name: the same row under another name is bought anew
    out             the folder of the pictures and of results.jsonl (the working folder)
    client          a Civitai or AsyncCivitai whose settings count; made from the environment else
    max_buzz        the most that all rows together may cost; the client's limit when left out
    template        the pictures' names (`{row}-{engine}-{seed}-{n}`; of a sweep, what is swept)
    concurrency     requests at once at most; the service's answers decide below it
    in_flight       rows under way at once
    timeout         seconds for one row, counted from its price (buying may take 5 at least)
    retry_failed    buy once more what failed or expired
    allow_unpriced  let rows through whose price nobody tells
    as_many_as_fit  buy rows in order up to the limit and what is left of the budget
    dry_run         plan only
    table           write results.csv as well
    sources         which source pictures the rows may name
    tell            hears the plan, each result and how it stands
    render          says in results.jsonl what to do next, in the words of an interface
    purpose         the interface's name in the ledger
    tags, metadata, allow_mature_content, currencies, priority: as in `generate`
    """

    name: str
    out: Folder
    client: BaseClient | None
    max_buzz: int | None
    template: str
    concurrency: int
    in_flight: int
    timeout: float
    retry_failed: bool
    allow_unpriced: bool
    as_many_as_fit: bool
    dry_run: bool
    table: bool
    sources: SourcePolicy
    tell: Tell
    render: Render
    purpose: str
    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None


_DEFAULTS: BatchSettings = {
    "out": ".", "client": None, "max_buzz": None, "template": TEMPLATE, "concurrency": CONCURRENCY,
    "in_flight": IN_FLIGHT, "timeout": TIMEOUT, "retry_failed": False, "allow_unpriced": False,
    "as_many_as_fit": False, "dry_run": False, "table": False, "sources": EVERY_SOURCE,
    "tell": lambda event: None, "render": in_python, "purpose": "batch", "tags": (),
    "metadata": None, "allow_mature_content": None, "currencies": None, "priority": None,
}  # fmt: skip


class BatchSession:
    """A batch with its settings; `name` is its own where they give none. Raises RequestInvalid."""

    def __init__(self, name: str, settings: BatchSettings) -> None:
        known = list(BatchSettings.__annotations__)
        for odd in settings.keys() - set(known):
            near, why = nearest_name(odd, known), "there is no such setting"
            raise RequestInvalid(Problem(odd, None, ", ".join(known), near, why))
        given: BatchSettings = {**_DEFAULTS, "name": name, **settings}
        self.given, self.name, self.tell = given, given["name"], given["tell"]
        self.folder = expand_home(given["out"])
        if not given["timeout"] >= 0:
            raise RequestInvalid(Problem("timeout", given["timeout"], "seconds, 0 or more"))
        if not 1 <= len(self.name) <= 100 or not self.name.isprintable():
            raise RequestInvalid(Problem("name", self.name, "1 to 100 printable characters"))
        if isinstance(given["tags"], str):
            raise RequestInvalid(Problem("tags", given["tags"], "a list of texts", [given["tags"]]))
        in_flight, at_once = given["in_flight"], given["concurrency"]
        for field, value, most in (
            ("in_flight", in_flight, _MOST_IN_FLIGHT), ("concurrency", at_once, _MOST_AT_ONCE),
        ):  # fmt: skip
            if not 1 <= value <= most:
                nearest = max(1, min(most, value))
                raise RequestInvalid(Problem(field, value, f"1 to {most}", nearest))
        #: All workflows of a batch carry it.
        self.tag = f"batch:{self.name}"
        self.terms = Terms(
            tags=(self.tag, *given["tags"]),
            metadata=given["metadata"],
            allow_mature_content=given["allow_mature_content"],
            currencies=given["currencies"],
            priority=given["priority"],
        )

    async def run(self, raw_rows: Sequence[RawRow]) -> Report:
        """Make the rows. Raises what run_batch raises."""
        given = self.given
        known = given["client"]
        made = AsyncCivitai() if known is None else AsyncCivitai.like(known)
        limiter = AdaptiveLimiter(given["concurrency"])
        made._http = ThrottledClient(limiter, transport=made._transport or AsyncTransport())
        async with made as client:
            if any(raw.fields.get(name) for raw in raw_rows for name in NAMING):
                raw_rows = await resolve_rows(raw_rows, client, self.terms)
            lines, order, used = await anyio.to_thread.run_sync(self._prepare, raw_rows, client)
            limit, budget, only_plan = order.limit, order.budget, given["dry_run"]
            warned: list[ServiceWarning] = []
            documented = summarize(self.name, lines, set(), limit, budget, used)
            if only_plan or given["as_many_as_fit"] or documented.price <= limit:
                asked = await ask_prices(lines, client, order, every_rule=not only_plan)
                lines, warned = asked
            left = None if budget is None else budget.limit - used
            left_out = leave_out(lines, limit, left) if given["as_many_as_fit"] else set[int]()
            plan = summarize(self.name, lines, left_out, limit, budget, used)
            warnings = dict.fromkeys([*plan.warnings, *map(str, warned)])
            plan = replace(plan, warnings=tuple(warnings))
            self.tell(plan)
            if only_plan:
                done = tuple(state.result for _, state in lines if state.result)
                return Report(plan, done, self.folder)
            if plan.unpriced and not given["allow_unpriced"]:
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
        self, raw_rows: Sequence[RawRow], client: AsyncCivitai
    ) -> tuple[list[Line], Order, int]:
        """Check every row and find out where it stands; gives the lines, the rules of their
        purchases, and what all else has used of the budget (Buzz)."""
        given, ledger = self.given, client.ledger
        rows = plan_rows(raw_rows, self.name, self.terms, given["template"], given["sources"])
        if not given["dry_run"]:
            prepare_folder(self.folder)
            for path in (self.folder / results.RESULTS, self.folder / results.TABLE):
                if path.is_dir():
                    raise ConfigError(
                        f"{path} is a folder, and the results are to be written there.",
                        advice="Move it away, or have the pictures written to another folder.",
                    )
            files.remove_stale(self.folder)
        states = load_states(rows, ledger, self.folder, retry_failed=given["retry_failed"])
        lines = list(zip(rows, states, strict=True))
        # The keys alone say what is the same: a batch goes on after the account's key changed.
        rules = {name: given[name] for name in ("max_buzz", "purpose", "sources")}
        order = client._order("-", rules, self.folder)
        order = replace(
            order, terms=self.terms, unpriced=given["allow_unpriced"], apart=False, unconfirmed=None
        )
        if ledger is None:
            return lines, order, 0
        if order.budget is None:
            kept = ledger.setting("budget")
            order = replace(order, budget=read_budget(kept) if kept else None)
        if order.budget is None:
            return lines, order, 0
        begun = time.time() - order.budget.period
        used = ledger.used_buzz(order.budget) - sum(
            state.run.buzz
            for state in states
            if state.run is not None and state.workflow is None and state.run.created >= begun
        )
        return lines, order, used

    # -- the rows ----------------------------------------------------------------------------------
    async def _buy(
        self, client: AsyncCivitai, lines: Sequence[Line], plan: BatchPlan, order: Order,
        spending: Spending, left_out: set[int],
    ) -> Report:  # fmt: skip
        """Make what is not finished, and write down how every row ended."""
        watcher, given, queue = WorkflowWatcher(client, self.tag), self.given, RowQueue()
        runner = RowRunner(
            client, watcher, order, self.name, given["timeout"], spending, self.tell,
            given["render"], len(lines),
        )  # fmt: skip
        for row, state in lines:
            if state.banned is not None:
                queue.mark_banned(row.request.prompt, state.banned)
            if row.number in left_out:
                why = "not sent: it does not fit into what is left"
                runner.add(build_result(row, state.key, "unsent", reason=why, cost=0))
            elif state.result is None:
                (queue.bought if state.workflow else queue.new).append((row, state))
            else:
                runner.add(state.result)
                if state.result.good:
                    queue.mark_passed(row.request.prompt)
        try:
            await runner.run_all(queue, min(given["in_flight"], len(lines) - len(runner.results)))
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
                results.write(self.folder, found, table=self.given["table"])
        except OSError as error:
            spent: Spent = "no"
            for result in (result for _, state, result in ended if state.result is None):
                if result.workflow is not None:
                    spent = "yes"
                elif spent == "no" and (result.error or {}).get("spent") == "unknown":
                    spent = "unknown"
            raise ConfigError(
                f"The results can't be written to {self.folder}: {error.strerror or 'no room'}.",
                advice="Make room, then run the same batch again: it goes on from here, and "
                "nothing is bought twice.",
                spent=spent,
            ) from None
        files.remove_stale(self.folder)
        return found


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
