"""What the ledger tells: runs, their pictures, what was spent. Changes nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from civitai_skill.errors import ConfigError, preview
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.run import MIGRATIONS, Run, read_prompt
from civitai_skill.storage import locks
from civitai_skill.storage.sqlite import Storage

#: Seconds in which the same request goes on with an open run instead of buying anew.
JOINABLE = 24 * 3600.0
#: Seconds in which the service is known to have a workflow, whatever a look answers.
JUST_BOUGHT = 600.0
#: Seconds for which the service keeps a workflow and its files.
KEPT = 30 * 24 * 3600.0

# The last two: a name that is no text, a number that no file of SQLite's holds.
_UNUSABLE = (sqlite3.Error, OSError, ValueError, OverflowError)

#: What a run counts: its cost once known, else what was reserved for it.
_BUZZ = "max(coalesce(cost, reserved), 0)"


class LedgerReports:
    """The readable side of one ledger file; raises ConfigError where it can't be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._storage = Storage(path, MIGRATIONS)
        self._owners = path.parent / "owners"

    def find_by_workflow(self, workflow: str) -> Run | None:
        """The run that a workflow belongs to."""
        found = self._runs("workflow = ?", workflow)
        return found[0] if found else None

    def is_paid(self, workflow: str) -> bool:
        """Is Buzz committed for a workflow, as far as this ledger knows?"""
        run = self.find_by_workflow(workflow)
        return run is not None and run.buzz > 0

    def is_just_bought(self, workflow: str) -> bool:
        """Was a workflow bought so lately that the service may not show it everywhere yet?"""
        run = self.find_by_workflow(workflow)
        return run is not None and abs(self._clock() - run.created) < JUST_BOUGHT

    def unfinished(self) -> list[Run]:
        """Open runs that nobody works on any more, oldest first, whatever account they are of."""
        return [run for run in self._runs("state = 'open'") if not self.is_worked_on(run)]

    def failed(self) -> list[Run]:
        """Runs of the last 24 hours that failed or expired and were not tried again since, whatever
        account they are of."""
        since = self._clock() - JOINABLE
        return self._runs(
            # Rows are numbered as they come, whatever the clock says.
            "state = 'closed' AND status IN ('failed', 'expired') AND created >= ?"
            " AND NOT EXISTS (SELECT 1 FROM runs later WHERE later.identity = r.identity"
            " AND later.rowid > r.rowid AND later.state != 'dropped')",
            since,
        )

    def unfetched(self) -> list[Run]:
        """Runs of the last 30 days, for which the service keeps files, that were handed over before
        they ended and of which no picture was saved; oldest first, whatever account they are of."""
        since = self._clock() - KEPT
        return self._runs(
            "state = 'closed' AND workflow IS NOT NULL AND wanted > 0"
            " AND (status IS NULL OR status = 'succeeded') AND created >= ?"
            " AND NOT EXISTS (SELECT 1 FROM pictures p WHERE p.key = r.key)",
            since,
        )

    def _runs(self, where: str, *values: Any) -> list[Run]:
        """Runs, oldest first."""
        with self._transaction() as db:
            rows = db.execute(f"SELECT * FROM runs r WHERE {where} ORDER BY created", values)
            return [Run(**row) for row in rows]

    def history(self, since: float = 0.0, limit: int = 100) -> list[dict[str, Any]]:
        """Runs with their prompt and the paths of their saved pictures, newest first."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT key, created, purpose, engine, variant, workflow, state, status, reserved,"
                " cost, reason, wanted, out, body FROM runs"
                " WHERE created >= ? ORDER BY created DESC LIMIT ?",
                (since, limit),
            ).fetchall()
            saved = "SELECT path FROM pictures WHERE key = ? ORDER BY n"
            paths = [[p["path"] for p in db.execute(saved, (row["key"],))] for row in rows]
        return [
            {
                **{name: row[name] for name in row.keys() if name != "body"},  # noqa: SIM118
                "prompt": read_prompt(row["body"]),
                "pictures": len(saved_paths),
                "paths": saved_paths,
            }
            for row, saved_paths in zip(rows, paths, strict=True)
        ]

    def pictures(self, key: str) -> list[dict[str, Any]]:
        """The saved pictures of a run."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM pictures WHERE key = ? ORDER BY n", (key,)).fetchall()
        return [dict(row) for row in rows]

    def saved_paths(self, workflows: Sequence[str]) -> dict[str, list[str]]:
        """Where the pictures of each workflow were saved; one that is not known here has none."""
        query = (
            "SELECT path FROM pictures JOIN runs ON pictures.key = runs.key"
            " WHERE workflow = ? ORDER BY n"
        )
        with self._transaction() as db:
            return {id: [row["path"] for row in db.execute(query, (id,))] for id in workflows}

    def find_picture(self, sha256: str) -> tuple[Run, int] | None:
        """The purchase of a picture by the digest of its file, and its number in it."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT key, n FROM pictures WHERE sha256 = ? ORDER BY saved LIMIT 1", (sha256,)
            ).fetchone()
            if row is None:
                return None
            run = db.execute("SELECT * FROM runs WHERE key = ?", (row["key"],)).fetchone()
            return None if run is None else (Run(**run), int(row["n"]))

    def spend(self, since: float = 0.0, by: Literal["engine", "day"] | None = None) -> list[Any]:
        """Buzz spent since a moment: (name, runs, Buzz) by engine or day (UTC), or one row in all.

        Runs that are still open count at their reservation.
        """
        name = {"engine": "coalesce(engine, '?')", "day": "date(created, 'unixepoch')",
                None: "'all'"}[by]  # fmt: skip
        with self._transaction() as db:
            rows = db.execute(
                f"SELECT {name} AS name, count(*) AS runs, sum({_BUZZ}) AS buzz FROM runs"
                " WHERE created >= ? AND state != 'dropped' GROUP BY 1 ORDER BY 3 DESC, 1",
                (since,),
            ).fetchall()
        return [dict(row) for row in rows]

    def is_worked_on(self, run: Run) -> bool:
        """Does the process that works on this run still live, and not let go of it?"""
        return bool(run.owner) and locks.is_alive(self._owners, run.owner)

    def setting(self, name: str) -> str | None:
        """A value kept in the ledger."""
        with self._transaction() as db:
            row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            return None if row is None else str(row["value"])

    def used_buzz(self, budget: Budget) -> int:
        """Buzz reserved and spent in the budget's current period."""
        with self._transaction() as db:
            return self._used_buzz(db, budget)

    def left_buzz(self, budget: Budget | None) -> int | None:
        """Buzz that may still be reserved; None where nothing limits it."""
        return None if budget is None else max(0, budget.limit - self.used_buzz(budget))

    def _used_buzz(self, db: sqlite3.Connection, budget: Budget) -> int:
        # What a clock that was wrong then dated later than now counts too: that is the safe side.
        row = db.execute(
            f"SELECT coalesce(sum({_BUZZ}), 0) AS buzz FROM runs"
            " WHERE state != 'dropped' AND created >= ?",
            (self._clock() - budget.period,),
        ).fetchone()
        return int(row["buzz"])

    @contextmanager
    def _transaction(
        self, patience: float | None = None, *, writes: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """One transaction; raises ConfigError where the file can't be used."""
        try:
            with self._storage.transaction(patience, writes=writes) as db:
                yield db
        except _UNUSABLE as error:
            raise self._file_error(error) from None

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._storage.close()

    def _file_error(self, error: Exception) -> ConfigError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, UnicodeEncodeError):
            reason = f"it keeps text, and {preview(error.object)} is none"
        return ConfigError(
            f"The ledger {self.path} can't be used: {reason}.",
            advice="Nothing is bought without it. Free the disk or the file, name another "
            "ledger, or move a broken one away.",
        )
