"""Texts that are kept on disk for a while. What can't be kept is no error: it is asked for anew."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from civitai_skill.storage.sqlite import Storage

_MIGRATIONS = ("CREATE TABLE kept (name TEXT PRIMARY KEY, at REAL NOT NULL, text TEXT NOT NULL)",)

#: Seconds that it waits for another process: asking anew is no great loss.
_PATIENCE = 1.0


class Cache(Storage):
    """Texts by name, each for so many `seconds`; threads and processes share the file."""

    def __init__(self, path: Path, seconds: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, _MIGRATIONS)
        self._seconds = seconds
        self._clock = clock

    def get(self, name: str) -> str | None:
        """The text, None where there is none or it is too old."""
        with suppress(sqlite3.Error, OSError), self.transaction(_PATIENCE, writes=False) as db:
            row = db.execute("SELECT at, text FROM kept WHERE name = ?", (name,)).fetchone()
            if row is not None and 0 <= self._clock() - row["at"] < self._seconds:
                text: str = row["text"]
                return text
        return None

    def put(self, name: str, text: str) -> None:
        """Keep a text, and forget what is too old."""
        now = self._clock()
        with suppress(sqlite3.Error, OSError), self.transaction(_PATIENCE) as db:
            db.execute("DELETE FROM kept WHERE at < ?", (now - self._seconds,))
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (name, now, text))
