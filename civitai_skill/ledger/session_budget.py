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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civitai_skill.errors import BudgetUsedUp, Stopping
from civitai_skill.errors.next_steps import RaiseBudget
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import UNREAD, BeginResult, Ledger
from civitai_skill.ledger.run import Run


@dataclass
class _Made:
    """A purchase that somebody waits for."""

    #: How many calls make it, and have no answer yet.
    calls: int = 0
    #: Does the service have it?
    submitted: bool = False
    #: Does it need nothing any more but its answer?
    ended: bool = False
    #: Has one call its answer?
    delivered: bool = False


class SessionLedger(Ledger):
    """A ledger that refuses what would take its purchases above `limit` (Buzz; None for no end)."""

    untold = 0.0

    def __init__(
        self, path: Path, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(path, clock)
        self.limit = limit
        self._gate = threading.Lock()
        #: Buzz reserved and spent, by key; and what counted before, for a purchase that is just
        #: being written down.
        self._counted: dict[str, int] = {}
        self._before: dict[str, int | None] = {}
        self._made: dict[str, _Made] = {}
        #: Is it over? Nothing is bought then, and what has begun comes to its end.
        self.over: Callable[[], bool] = lambda: False

    @property
    def spent(self) -> int:
        """Buzz reserved and spent in this session."""
        with self._gate:
            return sum(self._counted.values())

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
            with self._gate:
                self._made.setdefault(run.key, _Made()).calls += 1
        return begun

    def take_up(self, key: str, budget: Budget | None = None) -> Run:
        """See Ledger.take_up. A run that was perhaps never sent is bought here and now."""
        with self._counting(key):
            run = super().take_up(key, budget)
        with self._gate:
            made = self._made.setdefault(key, _Made())
            made.calls += 1
            made.submitted |= run.workflow is not None
        return run

    def _admit(
        self, db: sqlite3.Connection, run: Run, budget: Budget | None, since: float | None = None
    ) -> bool:
        counts = since is not None and run.key in self._counted
        if self.over() and not counts:
            raise Stopping(spent="no" if since is None else "unknown")
        anew = super()._admit(db, run, budget, since)
        if counts:
            return anew
        with self._gate:
            before: int | None = self._counted.get(run.key)
            others = sum(self._counted.values()) - (before or 0)
            if self.limit is not None and others + run.reserved > self.limit:
                left = max(0, self.limit - others)
                raise BudgetUsedUp(
                    f"This server may spend {self.limit} Buzz in all; {others} are used or "
                    f"reserved, {left} are left, and this costs about {run.reserved}.",
                    price=run.reserved,
                    limit=left,
                    next=[RaiseBudget()],
                )
            self._counted[run.key] = run.reserved
            self._before[run.key] = before
        return anew

    @contextmanager
    def _counting(self, key: str) -> Iterator[None]:
        """Count within; what was counted for a purchase that is not written down is given back."""
        try:
            yield
        except BaseException:
            with self._gate:
                if key in self._before:
                    del self._counted[key]
                    if (before := self._before[key]) is not None:
                        self._counted[key] = before
            raise
        finally:
            with self._gate:
                self._before.pop(key, None)

    # -- what it came to ---------------------------------------------------------------------
    def record_submitted(self, key: str, workflow: str | None, cost: int | None) -> None:
        """See Ledger.record_submitted."""
        with self._gate:
            if cost is not None and key in self._counted:
                self._counted[key] = cost
            if key in self._made:
                self._made[key].submitted = True
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
        """See Ledger.record_finished, and `close_run`."""
        with self._gate:
            if cost is not None and key in self._counted:
                self._counted[key] = cost
            made = self._made.get(key)
            if close and made is not None and made.submitted:
                made.ended, close = True, False
        super().record_finished(key, status, cost, reason, close=close, **how)

    def close_run(self, *keys: str, empty: bool = False, patience: float | None = None) -> None:
        """See Ledger.close_run. What waits for its answer is closed when that is handed over."""
        over = []
        for key in keys:
            made = self._made.get(key)
            if empty or made is None or not made.submitted:
                over.append(key)
            else:
                made.ended = True
        if over:
            super().close_run(*over, patience=patience)

    def drop(self, key: str, reason: str) -> bool:
        """See Ledger.drop."""
        dropped = super().drop(key, reason)
        with self._gate:
            if dropped and key in self._counted:
                self._counted[key] = 0
        return dropped

    # -- who has the answer ------------------------------------------------------------------
    def release(self, *keys: str) -> None:
        """See Ledger.release. What has ended waits for its answer; whoever brings home what has not
        may close it."""
        left = [key for key in keys if not self._awaits_answer(key)]
        with self._gate:
            for made in (self._made[key] for key in left if key in self._made):
                made.submitted &= made.calls > 1  # another call still owes its answer
        if left:
            super().release(*left)

    def let_go(self, key: str) -> None:
        """Let the same request go on with a purchase that is still being made for somebody who has
        left."""
        super().release(key)

    def is_worked_on(self, run: Run) -> bool:
        """See Ledger.is_worked_on. What only waits for its answer may be answered to others too."""
        return not self._awaits_answer(run.key) and super().is_worked_on(run)

    def unfinished(self) -> list[Run]:
        """See Ledger.unfinished."""
        return [run for run in super().unfinished() if not self._awaits_answer(run.key)]

    def _awaits_answer(self, key: str) -> bool:
        made = self._made.get(key)
        return made is not None and made.ended

    def end_answer(self, key: str, *, delivered: bool, empty: bool = False) -> None:
        """A call that made a purchase has its answer, or has left without it. An `empty` one, that
        nothing came of, is not given again."""
        with self._gate:
            made = self._made.setdefault(key, _Made())
            made.delivered |= delivered
            made.calls -= 1
            if made.calls > 0:
                return  # another call goes on with it
        try:
            if not (made.ended and made.delivered):
                super().release(key)
            elif empty:
                super().close_run(key)
            else:
                self.hand_over(key)
        finally:
            with self._gate:
                if made.calls < 1:  # nobody has taken it up meanwhile
                    self._made.pop(key, None)

    def mark_read(self, *keys: str) -> None:
        """The answers of these purchases were read: the same request buys anew."""
        now = self._clock()
        read = {**self._read, **dict.fromkeys(keys, now)}
        self._read = {key: when for key, when in read.items() if when > now - UNREAD}
