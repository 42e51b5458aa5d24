"""What a batch may spend: reserved before a row is bought, counted as soon as it is charged.

Rows are let in one after the other, in the order in which they ask. Of the rows that one price rule
covers the first is bought alone: what it is charged shows what the others will be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from civitai_skill.batch.plan import Row
from civitai_skill.batch.report import Surprise, Tell
from civitai_skill.errors import BudgetUsedUp
from civitai_skill.errors.next_steps import Allow
from civitai_skill.ledger.budget import Budget

# Rows that go alone and fail before the others of their rule follow all the same.
_MOST_FIRSTS = 3


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
