"""Does the process that started something still live?

Each process holds a lock on a file of its own for as long as it lives; the system lets go of it
however the process ends, SIGKILL included. A process id would not do: ids are used again.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from pathlib import Path

# Bare descriptors: a file object still open when the interpreter ends draws a ResourceWarning.
_HELD: dict[tuple[int, Path], tuple[str, int]] = {}
_GUARD = threading.Lock()


def owner(folder: Path) -> str:
    """The name of this process, made and locked on first use. Raises OSError."""
    with _GUARD:
        place = (os.getpid(), folder.resolve())
        if place not in _HELD:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            name = f"{os.getpid()}-{secrets.token_hex(8)}"
            held = os.open(folder / f"{name}.alive", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            if not lock(held):
                raise OSError("a fresh lock file is locked already")
            _HELD[place] = (name, held)
        return _HELD[place][0]


def is_mine(name: str) -> bool:
    """Is it this very process?"""
    with _GUARD:
        return any(held == name for (pid, _), (held, _f) in _HELD.items() if pid == os.getpid())


def lives(folder: Path, name: str) -> bool:
    """Does the process of that name still live?"""
    if is_mine(name):
        return True
    try:
        with (folder / f"{name}.alive").open("r+b") as file:
            return not lock(file.fileno())
    except OSError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what dead processes left, so that the folder does not grow."""
    for path in folder.glob("*.alive"):
        if not lives_at(path):
            path.unlink(missing_ok=True)


def lives_at(path: Path) -> bool:
    """Is the lock file held by a living process?"""
    try:
        with path.open("r+b") as file:
            return not lock(file.fileno())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> bool:
        """Take the file for as long as it is open here; False when another process has it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def lock(descriptor: int) -> bool:
        """Take the file for as long as it is open here; False when another process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
