"""What a batch costs and may spend: its price is asked for and held against limits before anything
is bought; what a row costs is reserved before it is bought, and counted as soon as it is charged.

Rows are let in one after the other, in the order in which they ask. Of the rows that one price rule
covers the first is bought alone: what it is charged shows what the others will be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from civitai_skill.api.drivers import adrive
from civitai_skill.api.progress import ServiceWarning
from civitai_skill.batch.plan import Row, shape_of
from civitai_skill.batch.report import BatchPlan, Surprise, Tell
from civitai_skill.batch.states import Line
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import (
    BudgetUsedUp,
    CivitaiError,
    ConfigError,
    NotEnoughBuzz,
    Unauthorized,
)
from civitai_skill.errors.next_steps import Allow
from civitai_skill.ledger.budget import Budget
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare, upload_sources
from civitai_skill.purchase.price import ASK_ABOVE, ask_price, confirmed_rule

_ANY_PROMPT = "a quiet landscape"

# Rows that go alone and fail before the others of their rule follow all the same.
_MOST_FIRSTS = 3


async def ask_prices(
    lines: Sequence[Line], client: AsyncCivitai, order: Order, *, every_rule: bool
) -> tuple[list[Line], list[ServiceWarning]]:
    """The rows with the prices that they are held to, and what the service warned of.

    It is asked once for each documented rule that it has not confirmed (with `every_rule` False
    only where a row of it is dear), and once for each shape that no rule covers or whose rule it
    does not follow. Where it asks more than is documented, that counts.
    """
    asker = _Asker(client, order)
    new = [row for row, state in lines if state.result is None and state.run is None]
    covered = [row for row in new if row.price is not None]
    first: dict[str, Row] = {}
    for row in covered:
        if every_rule or (row.price or 0) > ASK_ABOVE:
            first.setdefault(row.rule, row)
    confirmed = {row.rule for row, state in lines if state.confirmed}
    told = {rule: row.price for rule, row in first.items() if rule in confirmed}
    if unsure := {rule: row for rule, row in first.items() if rule not in confirmed}:
        told |= await asker.ask_all(unsure)
    broken = {rule for rule, row in first.items() if (told[rule] or 0) > (row.price or 0)}
    shapes = {
        row.number: shape_of(row.prepared) for row in new if row.price is None or row.rule in broken
    }
    if shapes:
        one_each = {shapes[row.number]: row for row in reversed(new) if row.number in shapes}
        told |= await asker.ask_all(one_each)

    priced = []
    for row, state in lines:
        price = row.price
        if state.run is not None:
            row = replace(row, price=max(price or 0, state.run.reserved))
        elif row.number in shapes:
            quoted = told[shapes[row.number]]
            price = price if quoted is None else max(price or 0, quoted)
            row = replace(row, price=price, quoted=price, ask_again=quoted is not None)
        elif state.result is None and row.rule in first:
            row = replace(row, quoted=price)
        priced.append((row, state))
    return priced, asker.warned


@dataclass
class _Asker:
    """Asks the service what rows cost."""

    client: AsyncCivitai
    order: Order
    warned: list[ServiceWarning] = field(default_factory=list)

    async def ask_all(self, rows: Mapping[str, Row]) -> dict[str, int | None]:
        """The service's price for each. Where it does not answer, what is documented holds; raises
        its error where nothing is."""
        told: dict[str, int | None] = {}
        errors: list[CivitaiError] = []

        async def one(name: str, row: Row) -> None:
            try:
                told[name] = await self.ask(row)
            except CivitaiError as error:
                if row.price is None or isinstance(
                    error, Unauthorized | NotEnoughBuzz | ConfigError
                ):
                    errors.append(error)
                told[name] = None

        async with anyio.create_task_group() as group:
            for name, row in rows.items():
                group.start_soon(one, name, row)
        if errors:
            raise errors[0]
        return told

    async def ask(self, row: Row) -> int | None:
        """The service's price of a row (Buzz); None where it does not tell."""
        order, prepared, ledger = self.order, row.prepared, self.order.ledger
        service, http = self.client._service, self.client._http
        if "" in prepared.sources:
            prepared = prepare(replace(order, asked=row.request))
        # Other words: a price depends on none, and what moderation stops must not be sent twice.
        other = [
            {**step, "input": {**step["input"], "prompt": _ANY_PROMPT}}
            if isinstance(step["input"].get("prompt"), str)
            else step
            for step in prepared.steps
        ]
        prepared = replace(prepared, steps=other, request=None)
        body = await adrive(upload_sources(service, prepared), http)
        quote = await adrive(ask_price(service, order, prepared, body), http)
        if quote is None:
            return None
        self.warned += quote.warnings
        if quote.insufficient_buzz:
            raise NotEnoughBuzz(
                f"The account has not enough Buzz for row {row.number} ({quote.total} needed).",
                status=200,
                advice="Buy Buzz, or lower the price.",
            )
        rule = confirmed_rule(row.plan, quote)
        if rule is not None and ledger is not None:
            with suppress(ConfigError):
                await anyio.to_thread.run_sync(ledger.confirm, rule)
        return quote.total


def leave_out(lines: Sequence[Line], limit: int, left: int | None) -> set[int]:
    """The numbers of the new rows after the last one that fits, in order, into the limit and into
    what is left of the budget (Buzz)."""
    most = limit if left is None else min(limit, left)
    total, out = 0, set[int]()
    for row, state in lines:
        if state.result is None and state.workflow is None:
            if out or total + (row.price or 0) > most:
                out.add(row.number)
            else:
                total += row.price or 0
    return out


def summarize(
    name: str, lines: Sequence[Line], left_out: set[int], limit: int, budget: Budget | None,
    used: int,
) -> BatchPlan:  # fmt: skip
    """The plan, with a warning for each limit that its price is above."""
    # One that was perhaps never sent may cost its price now.
    new = [
        row
        for row, state in lines
        if state.result is None and state.workflow is None and row.number not in left_out
    ]
    by_engine: dict[str, int] = {}
    for row in new:
        who = row.plan.title
        by_engine[who] = by_engine.get(who, 0) + (row.price or 0)
    price = sum(row.price or 0 for row in new)
    done = sum(state.result is not None for _, state in lines)
    warnings = dict.fromkeys(warning for row in new for warning in row.plan.warnings)
    if price > limit:
        warnings[f"{len(new)} rows cost up to {price} Buzz together; the limit is {limit}."] = None
    left = None if budget is None else max(0, budget.limit - used)
    if left is not None and price > left:
        costly = f"{len(new)} rows cost up to {price} Buzz together"
        rest = f"the budget of {budget} has {left} left: rows are bought in order until it is used"
        warnings[f"{costly}; {rest} up."] = None
    return BatchPlan(
        name, len(lines), len(new), len(lines) - len(new) - done - len(left_out), done, price,
        sum(row.price is None for row in new), by_engine, tuple(warnings), len(left_out), limit,
        left,
    )  # fmt: skip


# -- while it runs -------------------------------------------------------------------------------
@dataclass
class Spending:
    """Counts a run's Buzz. Nothing further is bought above `limit`, nor above the `budget`, of
    which all else has `used` so much."""

    limit: int
    budget: Budget | None
    used: int
    #: Buzz that a row may cost whose price nobody tells.
    allowance: int
    tell: Tell
    #: What is reserved and charged for the rows of this run.
    total: int = 0
    surprises: list[Surprise] = field(default_factory=list)
    _rows: dict[int, int] = field(default_factory=dict)
    _waiting: dict[int, int] = field(default_factory=dict)
    # How many times its price a row of a rule is charged, where that is above 1.
    _factors: dict[str, float] = field(default_factory=dict)
    _firsts: dict[str, anyio.Event] = field(default_factory=dict)
    _failed: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def admit(self, row: Row) -> AsyncIterator[tuple[int, int, bool]]:
        """Reserve a row's price while it is bought; gives that, the most that the row may be
        charged, and whether it is the first of its rule. Raises BudgetUsedUp."""
        rule, waited = row.rule, None
        try:
            while True:
                # What it will cost, by what was learned meanwhile, beside those that are let in and
                # those before it that wait.
                price = self.allowance if row.price is None else row.price
                price = math.ceil(price * self._factors.get(rule, 1))
                before = (buzz for number, buzz in self._waiting.items() if number < row.number)
                others = self.total + sum(before)
                if others + price > self.limit:
                    raise self._over(price, others)
                if self.budget is not None:
                    self.budget.check(self.used + others, price)
                self._waiting[row.number] = price
                first = self._firsts.get(rule)
                if first is None or first is waited:
                    break
                await first.wait()
                waited = first
        finally:
            self._waiting.pop(row.number, None)
        self._rows[row.number] = price
        self.total += price
        own = self._firsts.setdefault(rule, anyio.Event()) if first is None else None
        try:
            yield price, price + self.limit - self.total, own is not None
        except BaseException:
            self._failed[rule] += own is not None
            if own is not None and self._failed[rule] < _MOST_FIRSTS:
                del self._firsts[rule]  # it showed nothing; the next one is the first
            raise
        finally:
            if own is not None:
                own.set()

    def count(self, row: Row, charged: int | None) -> None:
        """Take in what a row was charged, in place of its reservation."""
        if charged is None or row.number not in self._rows:
            return
        expected = self._rows[row.number]
        self.total += charged - expected
        self._rows[row.number] = charged
        if charged > expected:
            if row.rule not in self._factors:
                self.surprises.append(Surprise(row.number, expected, charged))
                self.tell(self.surprises[-1])
            factor = self._factors.get(row.rule, 1)
            self._factors[row.rule] = factor * charged / max(1, expected)

    def _over(self, price: int, others: int) -> BudgetUsedUp:
        left = max(0, self.limit - others)
        surprise = f"{self.surprises[-1]} " if self.surprises else ""
        return BudgetUsedUp(
            f"{surprise}{others} of {self.limit} Buzz are spent or reserved for this batch, and "
            f"one more row costs about {price}. Nothing further is bought.",
            price=price,
            limit=left,
            next=[Allow()],
        )
