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
    """The tables. All but `change` and `close` must be called inside `with memory.change():`."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        try:
            if path is None:
                db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            else:
                db = connect(path, patience=30.0)
            self.execute = db.execute
            # Closes the file of a sandbox that nobody holds any more.
            self.close = weakref.finalize(self, db.close)
            # A power cut may cost the last seconds of a sandbox; speed is worth more here.
            db.execute("PRAGMA synchronous=OFF")
            with self.change():
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                made = "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT * FROM secret)"
                db.execute(made, (secrets.token_hex(32),))
                self.secret = bytes.fromhex(db.execute("SELECT value FROM secret").fetchone()[0])
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            advice = (
                "Set CIVITAI_SKILL_HOME to a folder that can be written to, or move the file away."
            )
            text = f"The sandbox's state in {path} can't be used: {reason}."
            raise ConfigError(text, advice=advice) from None

    @contextmanager
    def change(self) -> Iterator[None]:
        """One short transaction; rolled back when an exception leaves it."""
        with self._lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has rolled it back already
                    self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")

    def records(self, where: str, *values: Any) -> Iterator[Record]:
        """The records of a table, such as those of `workflows WHERE user = ? ORDER BY created`."""
        rows = self.execute(f"SELECT record FROM {where}", values)
        return (json.loads(row[0]) for row in rows)

    def record(self, where: str, *values: Any) -> Record | None:
        """The first of them."""
        return next(self.records(where, *values), None)

    def keep(self, table: str, record: Record, **columns: Any) -> None:
        """Write a record and its columns, in place of what has the same first column."""
        row = {**columns, "record": json.dumps(record)}
        key, names, marks = next(iter(row)), ", ".join(row), ", ".join("?" * len(row))
        changes = ", ".join(f"{name} = excluded.{name}" for name in row)
        self.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) "
            f"ON CONFLICT({key}) DO UPDATE SET {changes}",
            tuple(row.values()),
        )

    def workflow(self, user: int, id: str, *, deleted: bool = False) -> Record | None:
        """A workflow of this account; one that was deleted only when that is asked for."""
        record = self.record("workflows WHERE id = ? AND user = ?", id, user)
        return None if record is None or (record["deleted"] and not deleted) else record

    def faults(self) -> list[tuple[int, Record]]:
        """The scripted faults with their numbers, oldest first."""
        rows = self.execute("SELECT id, record FROM faults ORDER BY id").fetchall()
        return [(id, json.loads(text)) for id, text in rows]
