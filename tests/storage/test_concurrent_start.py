"""Processes that start at the same moment on a new folder: all of them get in, all are known."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.storage import locks, sqlite
from civitai_skill.storage.sqlite import connect

_EACH = """
import sys, time
from pathlib import Path
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.storage.locks import process_name

folder, start = Path(sys.argv[1]), float(sys.argv[2])
ledger = Ledger(folder / "ledger.sqlite3")
while time.time() < start:
    pass
ledger.keep_setting("a", "b")
Memory(folder / "sandbox.sqlite3")
print(process_name(folder / "owners"), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("turn", range(3))
def test_nobody_is_turned_away_and_nobody_is_taken_for_dead(tmp_path: Path, turn: int) -> None:
    start = str(time.time() + 1.0)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _EACH, str(tmp_path), start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    try:
        names = [process.stdout.readline().strip() for process in running]  # type: ignore[union-attr]
        living = [bool(name) and locks.is_alive(tmp_path / "owners", name) for name in names]
    finally:
        told = [process.communicate("\n")[1] for process in running]
    assert told == [""] * 5
    assert living == [True] * 5
    assert len(set(names)) == 5


class _Busy:
    """A connection that is told "locked" so many times, as SQLite does without waiting."""

    def __init__(self, times: int, code: int) -> None:
        self.left, self.code = times, code

    def execute(self, statement: str) -> None:
        if self.left:
            self.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error


def test_a_log_that_is_being_turned_on_elsewhere_is_waited_for() -> None:
    db: Any = _Busy(3, sqlite3.SQLITE_BUSY)
    sqlite._enable_wal(db, patience=5.0)
    assert db.left == 0


def test_it_is_not_waited_for_longer_than_that_nor_for_anything_else() -> None:
    for times, code, patience in ((10**9, sqlite3.SQLITE_BUSY, 0.05), (1, sqlite3.SQLITE_FULL, 5)):
        db: Any = _Busy(times, code)
        with pytest.raises(sqlite3.OperationalError):
            sqlite._enable_wal(db, patience=patience)


def test_a_shared_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "home" / "x.sqlite3"
    connect(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_lock_file_that_another_one_sweeps_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = locks.lock, []

    def late(descriptor: int, *, shared: bool = False) -> bool:
        if not swept:
            swept.extend(tmp_path.glob("*.alive"))
            locks._remove_stale(tmp_path)
        return lock(descriptor, shared=shared)

    monkeypatch.setattr(locks, "lock", late)
    name = locks.process_name(tmp_path)
    (left,) = tmp_path.glob("*.alive")
    assert swept != [left]
    assert left.stem == name
    # Another descriptor finds it locked, so another process does.
    assert locks.is_locked(left)


def test_two_who_look_at_once_do_not_take_each_other_for_the_living(tmp_path: Path) -> None:
    dead = tmp_path / "1-dead.alive"
    dead.touch()
    with dead.open("r+b") as looking:
        assert locks.lock(looking.fileno(), shared=True)
        assert not locks.is_locked(dead)
