"""What the sandbox remembers: accounts, workflows, blobs, reusable outputs, scripted faults.

One SQLite file may serve several servers and commands at once: every transaction is short, and
none is open while a request waits. Records are JSON documents; columns exist for what is searched.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from civitai_skill.errors import ConfigError
from civitai_skill.sandbox.wire import Record
from civitai_skill.storage.sqlite import connect

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secret(value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts(
    key TEXT PRIMARY KEY, user INTEGER NOT NULL UNIQUE, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS workflows(
    id TEXT PRIMARY KEY, user INTEGER NOT NULL, created REAL NOT NULL, external TEXT,
    due REAL, record TEXT NOT NULL, UNIQUE(user, external));
CREATE INDEX IF NOT EXISTS workflows_by_time ON workflows(user, created);
CREATE INDEX IF NOT EXISTS workflows_by_due ON workflows(user, due);
CREATE TABLE IF NOT EXISTS blobs(
    id TEXT PRIMARY KEY, user INTEGER NOT NULL, record TEXT NOT NULL, data BLOB);
CREATE TABLE IF NOT EXISTS reusable(
    user INTEGER NOT NULL, digest TEXT NOT NULL, workflow TEXT NOT NULL, step INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reusable_by_digest ON reusable(user, digest);
CREATE TABLE IF NOT EXISTS faults(id INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL);
"""


class Memory:
    """The tables. Everything but `change` must be called inside `with memory.change():`."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        try:
            self._open(path)
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"The sandbox's state in {path} can't be used: {reason}.",
                advice="Set CIVITAI_SKILL_HOME to a folder that can be written to, or move the "
                "file away.",
            ) from None

    def _open(self, path: Path | None) -> None:
        self._db = (
            sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            if path is None
            else connect(path, patience=30.0)
        )
        # Closes the file of a sandbox that nobody holds any more.
        self.close = weakref.finalize(self, self._db.close)
        # A power cut may cost the last seconds of a sandbox; speed is worth more here.
        self._db.execute("PRAGMA synchronous=OFF")
        with self.change():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(
                "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT * FROM secret)",
                (secrets.token_hex(32),),
            )
            self.secret = bytes.fromhex(self._one("SELECT value FROM secret"))

    @contextmanager
    def change(self) -> Iterator[None]:
        """One short transaction; rolled back when an exception leaves it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # -- accounts --------------------------------------------------------------------------------
    def account(self, key: str) -> Record | None:
        """The account of a key's digest."""
        return _read(self._one("SELECT record FROM accounts WHERE key = ?", key))

    def accounts(self) -> list[Record]:
        """Every account, in the order in which they came."""
        return list(self._records("SELECT record FROM accounts ORDER BY rowid"))

    def keep_account(self, account: Record) -> None:
        """Write an account."""
        self._db.execute(
            "INSERT INTO accounts VALUES (?, ?, ?) "
            "ON CONFLICT(key) DO UPDATE SET record = excluded.record",
            (account["key"], account["user"], json.dumps(account)),
        )

    # -- workflows -------------------------------------------------------------------------------
    def workflow(self, user: int, id: str, *, deleted: bool = False) -> Record | None:
        """A workflow of this account; one that was deleted only when that is asked for."""
        query = "SELECT record FROM workflows WHERE id = ? AND user = ?"
        record = _read(self._one(query, id, user))
        return None if record is None or (record["deleted"] and not deleted) else record

    def by_external(self, user: int, external: str) -> Record | None:
        """The workflow that an idempotency key belongs to, deleted or not."""
        query = "SELECT record FROM workflows WHERE user = ? AND external = ?"
        return _read(self._one(query, user, external))

    def keep_workflow(self, record: Record, due: float | None) -> None:
        """Write a workflow; `due` is when its money must be settled, None when it is."""
        columns = (record[name] for name in ("id", "user", "created", "external"))
        self._db.execute(
            "INSERT INTO workflows VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT(id) DO UPDATE SET due = excluded.due, record = excluded.record",
            (*columns, due, json.dumps(record)),
        )

    def due(self, user: int, now: float) -> list[Record]:
        """The workflows that ended since and are not settled yet."""
        query = "SELECT record FROM workflows WHERE user = ? AND due <= ? ORDER BY due"
        return list(self._records(query, user, now))

    def unfinished(self, user: int) -> int:
        """How many workflows of an account have money that is not settled yet."""
        query = "SELECT COUNT(*) FROM workflows WHERE user = ? AND due IS NOT NULL"
        return int(self._one(query, user))

    def workflows(self, user: int, ascending: bool) -> Iterator[Record]:
        """Every workflow of an account that was not deleted, by age."""
        order = "ASC" if ascending else "DESC"
        query = f"SELECT record FROM workflows WHERE user = ? ORDER BY created {order}"
        return (record for record in self._records(query, user) if not record["deleted"])

    def externals(self, user: int) -> list[str]:
        """The idempotency keys of an account, oldest first."""
        rows = self._db.execute(
            "SELECT external FROM workflows WHERE user = ? AND external IS NOT NULL "
            "ORDER BY created",
            (user,),
        )
        return [row[0] for row in rows]

    # -- blobs -----------------------------------------------------------------------------------
    def blob(self, id: str) -> Record | None:
        """A blob's record, whoever owns it."""
        return _read(self._one("SELECT record FROM blobs WHERE id = ?", id))

    def blob_data(self, id: str) -> bytes | None:
        """The bytes of an uploaded blob; None for one that is drawn on demand."""
        data: bytes | None = self._one("SELECT data FROM blobs WHERE id = ?", id)
        return data

    def add_blob(self, record: Record, data: bytes | None = None) -> None:
        """Write a new blob."""
        row = (record["id"], record["user"], json.dumps(record), data)
        self._db.execute("INSERT INTO blobs VALUES (?, ?, ?, ?)", row)

    # -- reusable outputs ------------------------------------------------------------------------
    def reusable(self, user: int, digest: str) -> list[tuple[str, int]]:
        """Workflow and place of every identical step, oldest first."""
        query = "SELECT workflow, step FROM reusable WHERE user = ? AND digest = ? ORDER BY rowid"
        return self._db.execute(query, (user, digest)).fetchall()

    def add_reusable(self, user: int, digest: str, workflow: str, step: int) -> None:
        """Remember a step whose outputs an identical one may have."""
        self._db.execute("INSERT INTO reusable VALUES (?, ?, ?, ?)", (user, digest, workflow, step))

    # -- faults ----------------------------------------------------------------------------------
    def faults(self) -> list[tuple[int, Record]]:
        """The scripted faults, oldest first."""
        rows = self._db.execute("SELECT id, record FROM faults ORDER BY id").fetchall()
        return [(id, json.loads(text)) for id, text in rows]

    def keep_fault(self, record: Record, id: int | None = None) -> None:
        """Write a fault, or script one more."""
        row = (id, json.dumps(record))
        self._db.execute("INSERT OR REPLACE INTO faults VALUES (?, ?)", row)

    def drop_faults(self, id: int | None = None) -> None:
        """Forget one fault, or all of them."""
        self._db.execute("DELETE FROM faults WHERE id = coalesce(?, id)", (id,))

    # -- rows ------------------------------------------------------------------------------------
    def _one(self, query: str, *values: Any) -> Any:
        """The only column of the first row, None where there is none."""
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _records(self, query: str, *values: Any) -> Iterator[Record]:
        return (json.loads(row[0]) for row in self._db.execute(query, values))


def _read(text: str | None) -> Record | None:
    return None if text is None else json.loads(text)
