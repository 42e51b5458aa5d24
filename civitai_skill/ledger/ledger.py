"""What was about to be paid for, and what became of it: one SQLite file, safe for many processes.

A run is written before the first byte of its submit leaves: key, body, purpose, price. Then
submitted (id), finished (status, cost, reason), each picture saved. A run that is not closed can
always be taken up again: the same key and body can't pay twice.

Two things are decided here in one transaction each, because two processes may ask at once: whether
a run of the same identity is open already, and whether the budget has room for one more.

    open      written, perhaps submitted; the answer, the end or the pictures are missing
    closed    everything was brought home, or it ended and there is nothing to bring
    dropped   it is certain that the service did not take it; its Buzz is free again
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from civitai_skill.ledger.budget import Budget, read_budget
from civitai_skill.ledger.reports import JOINABLE as JOINABLE
from civitai_skill.ledger.reports import LedgerReports
from civitai_skill.ledger.run import HOLDS_SOURCES, Run, forget_sources
from civitai_skill.storage import locks

#: Seconds in which the same request gets an answer that its caller may not have read.
UNREAD = 600.0
#: Seconds for which a price rule counts as confirmed.
CONFIRMED = 24 * 3600.0
#: Seconds that a look waits to write down what it saw; the next one sees it again.
LOOK_PATIENCE = 0.2


def current_budget(text: str | None, ledger: Ledger) -> Budget | None:
    """The budget in force: the environment's, else the one kept in the ledger, else none."""
    if text:
        return read_budget(text, "CIVITAI_BUDGET")
    kept = ledger.setting("budget")
    return read_budget(kept) if kept else None


@dataclass(frozen=True)
class BeginResult:
    """What asking for a run came to: a new one (`run` is the caller's own), or an earlier one."""

    run: Run
    fresh: bool


class Ledger(LedgerReports):
    """One ledger file. Every method is one short transaction; raises ConfigError when it fails.

    Where no `budget` is given, the one that is kept in the ledger counts, as it is at that moment.
    """

    #: What `Run.handed` is until an answer is handed over; None: nobody tells that here.
    untold: float | None = None
    #: Answers that were certainly read, by key, and when that was known.
    _read: Mapping[str, float] = MappingProxyType({})

    def begin(
        self, run: Run, *, again: bool, budget: Budget | None, confirmed: str | None = None
    ) -> BeginResult:
        """Write a run down before it is submitted, unless one of its identity is open already.

        `again` buys anew whatever is open. A key that is known already stays what it is, unless it
        was dropped. `confirmed` is a price rule that the service confirmed just now. Raises
        OverBudget when the budget has no room.
        """
        with self._transaction(writes=True) as db:
            if confirmed is not None:
                _keep_setting(db, f"confirmed {confirmed}", str(self._clock()))
            me = locks.process_name(self._owners)
            known = "SELECT * FROM runs WHERE key = ? AND state != 'dropped'"
            if (row := db.execute(known, (run.key,)).fetchone()) is not None:
                return BeginResult(Run(**row), fresh=False)
            earlier = None if again else self._find_open(db, run.identity)[0]
            if earlier is not None:
                return BeginResult(earlier, fresh=False)
            self._admit(db, run, budget)
            new = replace(run, owner=me, created=self._clock(), state="open",
                          workflow=None, status=None, cost=None, reason=None, taken=0,
                          handed=self.untold)  # fmt: skip
            db.execute(_INSERT, vars(new))
            _forget_sources(db, _OLD, self._clock() - JOINABLE)
            return BeginResult(new, fresh=True)

    def look_up(
        self, identity: str = "", rule: str | None = None, key: str | None = None
    ) -> tuple[Run | None, Run | None, bool]:
        """The run of this identity that a new request should go on with; where there is none, the
        newest that is open and too old for that; and whether the service confirmed a documented
        price rule within a day. With `key` the run of that key counts alone."""
        with self._transaction() as db:
            setting = "SELECT value FROM settings WHERE name = ?"
            row = db.execute(setting, (f"confirmed {rule}",)).fetchone()
            confirmed = row is not None and abs(self._clock() - float(row["value"])) < CONFIRMED
            if key is None:
                return *self._find_open(db, identity), confirmed
            row = db.execute("SELECT * FROM runs WHERE key = ?", (key,)).fetchone()
            return None if row is None else Run(**row), None, confirmed

    def run(self, key: str) -> Run | None:
        """One run by its key."""
        return self.look_up(key=key)[0]

    def take_up(self, key: str, budget: Budget | None = None) -> Run:
        """Make this process the owner of an open run.

        One that was perhaps never sent is bought now: when its period is over, or when it was
        dropped meanwhile, it is counted in this one. Raises OverBudget when the budget has no room.
        """
        with self._transaction(writes=True) as db:
            me = locks.process_name(self._owners)
            row = db.execute("SELECT * FROM runs WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise self._file_error(LookupError(f"it does not hold the purchase {key} any more"))
            run = Run(**row)
            if run.workflow is None:
                if not run.is_whole:
                    raise self._file_error(LookupError(f"{key} is over, its pictures not kept"))
                since = None if run.state == "dropped" else run.created
                if self._admit(db, run, budget, since):
                    db.execute(
                        "UPDATE runs SET created = ?, cost = NULL,"
                        " state = iif(state = 'dropped', 'open', state) WHERE key = ?",
                        (self._clock(), key),
                    )
            db.execute(
                "UPDATE runs SET owner = ?, taken = taken + 1,"
                " state = iif(handed > 0, 'open', state), handed = ? WHERE key = ?",
                (me, self.untold, key),
            )
            return Run(**db.execute("SELECT * FROM runs WHERE key = ?", (key,)).fetchone())

    def _admit(
        self, db: sqlite3.Connection, run: Run, budget: Budget | None, since: float | None = None
    ) -> bool:
        """Count a purchase now; False where it counts already, having been written down at `since`
        and perhaps never sent. Raises BudgetUsedUp when there is no room for it."""
        budget = _in_force(db, budget)
        if since is not None and (budget is None or since >= self._clock() - budget.period):
            return False
        if budget is not None:
            budget.check(self._used_buzz(db, budget), run.reserved)
        return True

    def renew(self, run: Run, budget: Budget | None) -> Run | None:
        """Count a workflow now: what it cost when it was bought comes back, and is paid once more.

        Gives the run that the workflow was bought under, as it was; where there is none, `run` is
        written. Raises OverBudget when the budget has no room.
        """
        now = self._clock()
        with self._transaction(writes=True) as db:
            found = "SELECT * FROM runs WHERE workflow = ? LIMIT 1"
            row = db.execute(found, (run.workflow,)).fetchone()
            earlier = None if row is None else Run(**row)
            price = run.reserved if earlier is None else max(run.reserved, earlier.buzz)
            budget = _in_force(db, budget)
            if budget is not None:
                used = self._used_buzz(db, budget)
                if earlier is not None and earlier.created >= now - budget.period:
                    used -= earlier.buzz
                budget.check(used, price)
            if earlier is None:
                db.execute(_INSERT, vars(replace(run, created=now, taken=1)))
            else:
                db.execute(
                    "UPDATE runs SET created = ?, cost = ?, taken = taken + 1 WHERE key = ?",
                    (now, price, earlier.key),
                )
            return earlier

    def put_back(self, run: Run, earlier: Run | None) -> None:
        """Undo `renew`, which gave `earlier`: the service certainly did not take the change. Where
        another call has renewed it since, that one's stays."""
        with self._transaction(writes=True) as db:
            if earlier is None:
                db.execute("DELETE FROM runs WHERE key = ? AND taken = 1", (run.key,))
            else:
                db.execute(
                    "UPDATE runs SET created = ?, cost = ? WHERE key = ? AND taken = ?",
                    (earlier.created, earlier.cost, earlier.key, earlier.taken + 1),
                )

    def release(self, *keys: str) -> None:
        """The call that worked on open runs has ended; whoever asks next may go on with them."""
        with self._transaction(writes=True) as db:
            me = locks.process_name(self._owners)
            db.executemany(
                "UPDATE runs SET owner = '' WHERE key = ? AND owner = ? AND state = 'open'",
                [(key, me) for key in keys],
            )

    def record_submitted(self, key: str, workflow: str | None, cost: int | None) -> None:
        """The service took it; the price it told, if it told one, replaces the reservation."""
        with self._transaction(writes=True) as db:
            db.execute(
                "UPDATE runs SET workflow = ?,"
                " cost = coalesce(?, iif(state = 'dropped', NULL, cost)),"
                " state = iif(state = 'dropped', 'open', state) WHERE key = ?",
                (workflow, cost, key),
            )

    def record_finished(
        self,
        key: str,
        status: str,
        cost: int | None,
        reason: str | None,
        *,
        close: bool = False,
        patience: float | None = None,
    ) -> None:
        """It ended; the cost is what was kept in the end. Where the end tells no figure, what was
        told before counts on: a refund that nobody told is not assumed. With `close` nothing is
        left to do. Whoever only looks has little `patience` (seconds)."""
        with self._transaction(patience, writes=True) as db:
            db.execute(
                "UPDATE runs SET status = ?, cost = coalesce(?, cost), reason = ? WHERE key = ?",
                (status, cost, reason, key),
            )
            if close:
                db.execute("UPDATE runs SET state = 'closed' WHERE key = ?", (key,))
            _forget_sources(db, _OVER, key)

    def record_picture(self, key: str, n: int, path: Path, size: int, sha256: str) -> None:
        """A picture is on disk."""
        with self._transaction(writes=True) as db:
            db.execute(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)",
                (key, n, str(path.absolute()), size, sha256, self._clock()),
            )

    def record_missing(self, key: str) -> None:
        """The service does not know its workflow. A young one stays open: it may be found yet.
        What it cost counts on: it was taken once, and nothing tells that it came back."""
        with self._transaction(writes=True) as db:
            db.execute(
                "UPDATE runs SET state = 'closed', status = 'gone'"
                " WHERE key = ? AND state = 'open' AND created < ?",
                (key, self._clock() - JOINABLE),
            )

    def close_run(self, *keys: str, empty: bool = False, patience: float | None = None) -> None:
        """Nothing is left to do for these; of an `empty` one nothing came (see SessionLedger)."""
        with self._transaction(patience, writes=True) as db:
            for key in keys:
                db.execute("UPDATE runs SET state = 'closed' WHERE key = ?", (key,))
                _forget_sources(db, _OVER, key)

    def hand_over(self, key: str) -> None:
        """Nothing is left to do, and the answer was handed to a caller who may not have read it:
        for a while the same request gets the same answer."""
        with self._transaction(writes=True) as db:
            db.execute(
                "UPDATE runs SET state = 'closed', owner = '', handed = ?"
                " WHERE key = ? AND state = 'open'",
                (self._clock(), key),
            )
            _forget_sources(db, _OVER, key)

    def drop(self, key: str, reason: str) -> bool:
        """The service certainly did not take it. False where another call has taken it up since, or
        has sent it: then it stays as it is."""
        with self._transaction(writes=True) as db:
            me = locks.process_name(self._owners)
            changed = db.execute(
                "UPDATE runs SET state = 'dropped', cost = 0, reason = ?"
                " WHERE key = ? AND owner = ? AND taken = 0 AND workflow IS NULL",
                (reason, key, me),
            )
            return changed.rowcount > 0

    def keep_setting(self, name: str, value: str | None) -> None:
        """Keep a value in the ledger; None forgets it."""
        with self._transaction(writes=True) as db:
            _keep_setting(db, name, value)

    def confirm(self, rule: str, *, holds: bool = True) -> None:
        """The service confirmed a documented price rule just now; or it charged more, and is asked
        before the next purchase."""
        at = str(self._clock()) if holds else None
        self.keep_setting(f"confirmed {rule}", at)

    def _find_open(self, db: sqlite3.Connection, identity: str) -> tuple[Run | None, Run | None]:
        """What a request goes on with: the newest that nobody works on any more, else the newest
        that somebody does; where there is none, the newest that is open and too old for that.

        One whose caller, who lives, has everything already is over. Answers that may not have been
        read count as open.
        """
        now = self._clock()
        rows = db.execute(
            "SELECT * FROM runs WHERE identity = ? AND (state = 'open' OR handed >= ?)"
            " ORDER BY created DESC",
            (identity, now - UNREAD),
        ).fetchall()
        worked_on: list[Run] = []
        old: list[Run] = []
        for run in (Run(**row) for row in rows):
            if run.state == "open" and run.created < now - JOINABLE:
                old.append(run)
            elif run.handed and run.key in self._read:
                continue
            elif not self.is_worked_on(run):
                return run, None
            elif run.handed is not None or not run.is_delivered:
                worked_on.append(run)
        if worked_on:
            return worked_on[0], None
        return None, old[0] if old else None


def _in_force(db: sqlite3.Connection, budget: Budget | None) -> Budget | None:
    """The budget that is given, else the one that is kept."""
    if budget is not None:
        return budget
    kept = db.execute("SELECT value FROM settings WHERE name = 'budget'").fetchone()
    return None if kept is None else read_budget(kept["value"])


_INSERT = (
    f"INSERT OR REPLACE INTO runs ({', '.join(Run.__dataclass_fields__)})"
    f" VALUES ({', '.join(f':{name}' for name in Run.__dataclass_fields__)})"
)


#: Purchases whose body is not sent again: what failed may be tried once more for a while. Files of
#: older versions kept every picture; some are cleared with each purchase.
_OVER = "key = ? AND state = 'closed' AND status NOT IN ('failed', 'expired')"
_OLD = "created < ? ORDER BY created LIMIT 10"


def _forget_sources(db: sqlite3.Connection, which: str, value: str | float) -> None:
    """Keep digests of the source pictures of purchases that are over."""
    sql = f"SELECT key, body FROM runs WHERE {HOLDS_SOURCES} AND {which}"
    for key, body in db.execute(sql, (value,)).fetchall():
        db.execute("UPDATE runs SET body = ? WHERE key = ?", (forget_sources(body), key))


def _keep_setting(db: sqlite3.Connection, name: str, value: str | None) -> None:
    if value is None:
        db.execute("DELETE FROM settings WHERE name = ?", (name,))
    else:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
