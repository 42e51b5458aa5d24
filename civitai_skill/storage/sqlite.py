"""One SQLite file behind two connections: short transactions, which threads and processes share.

One connection writes and one reads. They stay open between transactions: closing the last one makes
SQLite write its log back to the file, which costs more than the transaction. They are opened anew
after an error, after a fork, and where the file was replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds that one process waits for another's transaction.
PATIENCE = 10.0


def connect(path: Path, *, patience: float | None = None) -> sqlite3.Connection:
    """Open a file that several processes share, readable by its owner only; transactions are said.

    Raises sqlite3.Error and OSError.
    """
    patience = PATIENCE if patience is None else patience
    if path.name == ":memory:":
        raise OSError(errno.EINVAL, "that name keeps nothing")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise OSError(errno.EINVAL, f"it is {what}")
    path.touch(mode=0o600)  # SQLite gives its other files the mode of this one
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        _enable_wal(db, patience)
        # Only now is it known for a database and not for a file that was named by mistake.
        for name in ("", "-wal", "-shm"):
            file = Path(os.path.realpath(path) + name)
            with contextlib.suppress(OSError):  # one that is not ours stays as its owner wants it
                if file.stat().st_mode & 0o077:
                    file.chmod(0o600)
    except BaseException:
        db.close()
        raise
    return db


def _enable_wal(db: sqlite3.Connection, patience: float) -> None:
    """Turn on the write-ahead log.

    SQLite's own timeout does not hold for this one step: of two processes that open a new file at
    once, one is refused on the spot. So it is tried again here.
    """
    give_up_at = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= give_up_at:
                raise
            time.sleep(0.01)


_CONNECTIONS: weakref.WeakSet[_Connection] = weakref.WeakSet()
_LIST = threading.Lock()
_RESTING: list[_Connection] = []


def _before_fork() -> None:
    """Before a fork: close every file. A child inherits what SQLite notes about its locks, but not
    the locks: it would write to a log that others take for nobody's and remove."""
    _LIST.acquire()
    for connection in list(_CONNECTIONS):
        if connection.turn.acquire(timeout=PATIENCE):
            _RESTING.append(connection)
            connection.drop()


def _after_fork_in_parent() -> None:
    """After a fork, in the parent."""
    while _RESTING:
        _RESTING.pop().turn.release()
    _LIST.release()


def _after_fork_in_child() -> None:
    """After a fork, in the child: the threads that held these locks are not there any more."""
    global _LIST
    _RESTING.clear()
    for connection in _CONNECTIONS:
        connection.turn = threading.Lock()
    _LIST = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


class Storage:
    """A file and its migrations. Raises sqlite3.Error and OSError as they come.

    Whoever reads waits for nobody who writes: not for another process, and not for a thread here.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._writer = _Connection(path, migrations)
        self._reader = _Connection(path, migrations)
        with _LIST:
            _CONNECTIONS.update((self._writer, self._reader))

    @contextmanager
    def transaction(
        self, patience: float | None = None, *, writes: bool = True
    ) -> Iterator[sqlite3.Connection]:
        """One transaction; nothing of it stays when the body raises. One that writes waits for
        others to end theirs, at most `patience` seconds."""
        patience = PATIENCE if patience is None else patience
        connection = self._writer if writes else self._reader
        if not connection.turn.acquire(timeout=patience):
            raise sqlite3.OperationalError("database is locked")
        try:
            db = connection.connect()
            try:
                db.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
                db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                if db.execute("PRAGMA user_version").fetchone()[0] > len(connection.migrations):
                    raise sqlite3.DatabaseError(_NEWER)  # a newer program came since it was opened
                yield db
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                connection.drop()
                raise
        finally:
            connection.turn.release()

    def close(self) -> None:
        """Close both connections; the next transaction opens another."""
        for connection in (self._writer, self._reader):
            with connection.turn:
                connection.drop()


@dataclass(eq=False)
class _Connection:
    """One connection to the file, used by one thread at a time."""

    path: Path
    migrations: Sequence[str]
    #: SQLite lets waiting threads starve each other; here they take turns.
    turn: threading.Lock = field(default_factory=threading.Lock)
    #: With the process that opened it, and the file's number on its disk.
    opened: tuple[sqlite3.Connection, int, int] | None = None

    def drop(self) -> None:
        """Close it."""
        if self.opened is not None:
            db, pid, _ = self.opened
            self.opened = None
            if pid == os.getpid():  # a parent's connection is the parent's to close
                db.close()

    def connect(self) -> sqlite3.Connection:
        """The open connection, or a new one where it is of another process or another file."""
        if self.opened is not None:
            db, pid, file = self.opened
            with contextlib.suppress(OSError):
                if pid == os.getpid() and self.path.stat().st_ino == file:
                    return db
            self.drop()
        db = connect(self.path)
        try:
            db.row_factory = sqlite3.Row
            # What is about to be paid for must be on the disk itself before it is paid for.
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] != len(self.migrations):
                _migrate(db, self.migrations)
            self.opened = (db, os.getpid(), self.path.stat().st_ino)
        except BaseException:
            db.close()
            raise
        return db

    __del__ = drop


_NEWER = "it was written by a newer version"


def _migrate(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Apply what is missing, once, whichever process comes first."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise sqlite3.DatabaseError(_NEWER)
        if version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise sqlite3.DatabaseError("it holds something else")
        for statements in migrations[version:]:
            for statement in statements.split(";"):
                if statement.strip():
                    db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
            db.execute("ROLLBACK")
        raise
