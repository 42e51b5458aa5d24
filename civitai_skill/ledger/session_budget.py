"""What one server may spend in its life, and which answers its callers have, over the ledger.

A ledger's own budget is for everything that this user buys, in a period. A session's is for what
the server buys from its start on: a purchase is counted before its first byte leaves, so that calls
at the same time can't pass together. What the service did not take is given back. When the server
is about to end, nothing is bought any more.

A server's purchase is over when its answer was handed to its caller. Until then the run stays open,
so that the same request goes on with it, whatever happens to the server or the caller.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from civitai_skill.errors import BudgetUsedUp, Stopping
from civitai_skill.errors.next_steps import RaiseBudget
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import UNREAD, BeginResult, Ledger
from civitai_skill.ledger.run import Run


class SessionLedger(Ledger):
    """A ledger that refuses what would take its purchases above `limit` (Buzz; None for no end)."""

    def __init__(
        self, path: Path, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(path, clock)
        self.untold = 0.0
        self.limit = limit
        self._gate = threading.Lock()
        self._total = 0
        self._counted: dict[str, int] = {}
        #: What counted before, for a purchase that is just being written down.
        self._pending: dict[str, int] = {}
        #: Purchases without an answer yet, and how many calls make each.
        self._making: Counter[str] = Counter()
        #: Those that the service has, those that need nothing but their answer, and those of which
        #: one call has it.
        self._submitted: set[str] = set()
        self._ended: set[str] = set()
        self._delivered: set[str] = set()
        #: Answers that were certainly read, and when that was known.
        self._read: dict[str, float] = {}
        #: Is it over? Nothing is bought then, and what has begun comes to its end.
        self.over: Callable[[], bool] = lambda: False

    @property
    def spent(self) -> int:
        """Buzz reserved and spent in this session."""
        return self._total

    def left_buzz(self, budget: Budget | None) -> int | None:
        """See Ledger.left_buzz; of this session's limit, where less is left of that."""
        own = None if self.limit is None else max(0, self.limit - self.spent)
        known = [left for left in (own, super().left_buzz(budget)) if left is not None]
        return min(known, default=None)

    # -- what costs --------------------------------------------------------------------------
    def begin(
        self, run: Run, *, again: bool, budget: Budget | None, confirmed: str | None = None
    ) -> BeginResult:
        """See Ledger.begin. Raises BudgetUsedUp when the session has no room either, and Stopping
        when it is over."""
        with self._counting(run.key):
            begun = super().begin(run, again=again, budget=budget, confirmed=confirmed)
        if begun.fresh:
            self._count_call(run.key, False)
        return begun

    def take_up(self, key: str, budget: Budget | None = None) -> Run:
        """See Ledger.take_up. A run that was perhaps never sent is bought here and now."""
        with self._counting(key):
            run = super().take_up(key, budget)
        self._count_call(key, run.workflow is not None)
        return run

    def _count_call(self, key: str, submitted: bool) -> None:
        with self._gate:
            self._making[key] += 1
            if submitted:
                self._submitted.add(key)

    def _admit(self, db: sqlite3.Connection, run: Run, budget: Budget | None) -> None:
        if self.over():
            raise Stopping
        super()._admit(db, run, budget)
        self._count(run)

    def _readmit(self, db: sqlite3.Connection, run: Run, budget: Budget | None) -> None:
        if run.key not in self._counted and self.over():
            raise Stopping(spent="unknown")  # an earlier process may have sent it
        super()._readmit(db, run, budget)
        if run.key not in self._counted:
            self._count(run)

    def _count(self, run: Run) -> None:
        with self._gate:
            before = self._counted.get(run.key, 0)
            if self.limit is not None and self._total + run.reserved - before > self.limit:
                left = max(0, self.limit - self._total)
                raise BudgetUsedUp(
                    f"This server may spend {self.limit} Buzz in all; {self._total} are used or "
                    f"reserved, {left} are left, and this costs about {run.reserved}.",
                    price=run.reserved,
                    limit=left,
                    next=[RaiseBudget()],
                )
            self._total += run.reserved - before
            self._counted[run.key] = run.reserved
            self._pending[run.key] = before

    @contextmanager
    def _counting(self, key: str) -> Iterator[None]:
        """Count within; what was counted for a purchase that is not written down is given back."""
        try:
            yield
        except BaseException:
            with self._gate:
                if key in self._pending:
                    self._total += self._pending[key] - self._counted[key]
                    self._counted[key] = self._pending[key]
            raise
        finally:
            with self._gate:
                self._pending.pop(key, None)

    # -- what it came to ---------------------------------------------------------------------
    def record_submitted(self, key: str, workflow: str | None, cost: int | None) -> None:
        """See Ledger.record_submitted."""
        self._settle(key, cost)
        self._submitted.add(key)
        super().record_submitted(key, workflow, cost)

    def record_finished(
        self,
        key: str,
        status: str,
        cost: int | None,
        reason: str | None,
        *,
        close: bool = False,
        **how: Any,
    ) -> None:
        """See Ledger.record_finished."""
        self._settle(key, cost)
        close = close and not self._awaits_answer(key)
        super().record_finished(key, status, cost, reason, close=close, **how)

    def close_run(self, *keys: str, empty: bool = False, patience: float | None = None) -> None:
        """See Ledger.close_run. What waits for its answer is closed when that is handed over."""
        over = [key for key in keys if empty or not self._awaits_answer(key)]
        if over:
            super().close_run(*over, patience=patience)

    def _awaits_answer(self, key: str) -> bool:
        """Is it a purchase that ends with its answer? What the service never took is none."""
        waits = self._making[key] > 0 and key in self._submitted
        if waits:
            self._ended.add(key)
        return waits

    def drop(self, key: str, reason: str) -> bool:
        """See Ledger.drop."""
        dropped = super().drop(key, reason)
        if dropped:
            self._settle(key, 0)
        return dropped

    # -- who has the answer ------------------------------------------------------------------
    def release(self, *keys: str) -> None:
        """See Ledger.release. What has ended waits for its answer; whoever brings home what has not
        may close it."""
        left = [key for key in keys if key not in self._ended]
        with self._gate:  # another call that makes the same still owes its answer
            self._submitted.difference_update(key for key in left if self._making[key] < 2)
        if left:
            super().release(*left)

    def let_go(self, key: str) -> None:
        """Let the same request go on with a purchase that is still being made for somebody who has
        left."""
        super().release(key)

    def is_worked_on(self, run: Run) -> bool:
        """See Ledger.is_worked_on. What only waits for its answer may be answered to others too."""
        return run.key not in self._ended and super().is_worked_on(run)

    def unfinished(self) -> list[Run]:
        """See Ledger.unfinished."""
        return [run for run in super().unfinished() if run.key not in self._ended]

    def end_answer(self, key: str, *, delivered: bool, empty: bool = False) -> None:
        """A call that made a purchase has its answer, or has left without it. An `empty` one, that
        nothing came of, is not given again."""
        with self._gate:
            if delivered:
                self._delivered.add(key)
            self._making[key] -= 1
            if self._making[key] > 0:
                return  # another call goes on with it
            del self._making[key]
            over = key in self._ended and key in self._delivered
        try:
            if over and empty:
                super().close_run(key)
            elif over:
                self.hand_over(key)
            else:
                super().release(key)
        finally:
            with self._gate:
                if key not in self._making:  # nobody has taken it up meanwhile
                    for kept in (self._submitted, self._ended, self._delivered):
                        kept.discard(key)

    def mark_read(self, *keys: str) -> None:
        """The answers of these purchases were read: the same request buys anew."""
        now = self._clock()
        self._read |= dict.fromkeys(keys, now)
        self._read = {key: when for key, when in self._read.items() if when > now - UNREAD}

    def _find_open(
        self, db: sqlite3.Connection, identity: str, read: Collection[str] = ()
    ) -> Run | None:
        return super()._find_open(db, identity, self._read)

    def _settle(self, key: str, cost: int | None) -> None:
        with self._gate:
            if cost is not None and key in self._counted:
                self._total += cost - self._counted[key]
                self._counted[key] = cost
