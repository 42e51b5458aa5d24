"""What one server may spend in its life, counted over the ledger.

A ledger's own budget is for everything that this user buys, in a period. A session's is for what
the server buys from its start on: a purchase is counted before its first byte leaves, so that calls
at the same time can't pass together. What the service did not take is given back. When the server
is about to end, nothing is bought any more.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from civitai_skill.errors import BudgetUsedUp, Stopping
from civitai_skill.errors.next_steps import RaiseBudget
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import BeginResult, Ledger
from civitai_skill.ledger.run import Run


class SessionLedger(Ledger):
    """A ledger that refuses what would take its purchases above `limit` (Buzz; None for no end)."""

    def __init__(
        self, path: Path, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(path, clock)
        self.limit = limit
        self._gate = threading.Lock()
        self._total = 0
        self._counted: dict[str, int] = {}
        #: What counted before, for a purchase that is just being written down.
        self._pending: dict[str, int] = {}
        #: Is it over? Nothing is bought then, and what has begun comes to its end.
        self.over: Callable[[], bool] = lambda: False

    @property
    def spent(self) -> int:
        """Buzz reserved and spent in this session."""
        return self._total

    # -- what costs --------------------------------------------------------------------------
    def begin(
        self, run: Run, *, again: bool, budget: Budget | None, confirmed: str | None = None
    ) -> BeginResult:
        """See Ledger.begin. Raises BudgetUsedUp when the session has no room either, and Stopping
        when it is over."""
        with self._counting(run.key):
            return super().begin(run, again=again, budget=budget, confirmed=confirmed)

    def take_up(self, key: str, budget: Budget | None = None) -> Run:
        """See Ledger.take_up. A run that was perhaps never sent is bought here and now."""
        with self._counting(key):
            return super().take_up(key, budget)

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
        super().record_submitted(key, workflow, cost)

    def record_finished(
        self, key: str, status: str, cost: int | None, reason: str | None, **how: Any
    ) -> None:
        """See Ledger.record_finished."""
        self._settle(key, cost)
        super().record_finished(key, status, cost, reason, **how)

    def drop(self, key: str, reason: str) -> bool:
        """See Ledger.drop."""
        dropped = super().drop(key, reason)
        if dropped:
            self._settle(key, 0)
        return dropped

    def _settle(self, key: str, cost: int | None) -> None:
        with self._gate:
            if cost is not None and key in self._counted:
                self._total += cost - self._counted[key]
                self._counted[key] = cost
