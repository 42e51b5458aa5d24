"""What one server may spend in its life, counted over the ledger.

A ledger's own budget is for everything that this user buys, in a period. A purse is for what goes
through it, from its making on: a purchase is counted before its first byte leaves, so that calls at
the same time can't pass together. What the service did not take is given back. When the server
is about to end, nothing is bought any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from civitai_skill.errors import BudgetUsedUp, Stopping
from civitai_skill.ledger import Budget, Ledger, Opened, Run


class Purse(Ledger):
    """A ledger that refuses what would take its purchases above `limit` (Buzz; None for no end)."""

    def __init__(
        self, path: Path, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(path, clock)
        self.limit = limit
        self._gate = threading.Lock()
        self._total = 0
        self._counted: dict[str, int] = {}
        #: Is its life over? Nothing is bought then, and what has begun comes to its end.
        self.over: Callable[[], bool] = lambda: False

    @property
    def spent(self) -> int:
        """Buzz reserved and spent through this purse."""
        return self._total

    # -- what costs --------------------------------------------------------------------------
    def begin(self, run: Run, *, again: bool, budget: Budget | None) -> Opened:
        """See Ledger.begin. Raises BudgetUsedUp when the purse has no room either, and Stopping
        when its life is over."""
        if self.over():
            raise Stopping
        self._reserve(run.reserved)
        fresh = False
        try:
            opened = super().begin(run, again=again, budget=budget)
            fresh = opened.fresh
        finally:
            with self._gate:
                if fresh:
                    self._counted[run.key] = run.reserved
                else:
                    self._total -= run.reserved
        return opened

    def take_up(self, key: str, budget: Budget | None = None) -> Run:
        """See Ledger.take_up. A run that was perhaps never sent is bought here and now."""
        run = self.run(key)
        if run is not None and run.workflow is None and key not in self._counted:
            if self.over():
                raise Stopping(spent="unknown")  # an earlier process may have sent it
            self._reserve(run.reserved)
            with self._gate:
                self._counted[key] = run.reserved
        return super().take_up(key, budget)

    def _reserve(self, price: int) -> None:
        with self._gate:
            if self.limit is not None and self._total + price > self.limit:
                left = max(0, self.limit - self._total)
                raise BudgetUsedUp(
                    f"This server may spend {self.limit} Buzz in all; {self._total} are used or "
                    f"reserved, {left} are left, and this costs about {price}.",
                    price=price,
                    limit=left,
                    hint="Start the server with a higher --budget.",
                )
            self._total += price

    # -- what it came to ---------------------------------------------------------------------
    def submitted(self, key: str, workflow: str | None, cost: int | None) -> None:
        """See Ledger.submitted."""
        self._settle(key, cost)
        super().submitted(key, workflow, cost)

    def finished(self, key: str, status: str, cost: int | None, reason: str | None) -> None:
        """See Ledger.finished."""
        self._settle(key, cost)
        with self._gate:
            self._counted.pop(key, None)  # its price stays in the total
        super().finished(key, status, cost, reason)

    def dropped(self, key: str, reason: str) -> None:
        """See Ledger.dropped."""
        self._settle(key, 0)
        super().dropped(key, reason)

    def _settle(self, key: str, cost: int | None) -> None:
        with self._gate:
            if cost is not None and key in self._counted:
                self._total += cost - self._counted[key]
                self._counted[key] = cost
