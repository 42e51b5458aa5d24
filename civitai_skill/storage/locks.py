"""Does the process that started something still live?

Each process holds a lock on a file of its own for as long as it lives; the system lets go of it
however the process ends, SIGKILL included. A process id would not do: ids are used again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Bare descriptors: a file object still open when the interpreter ends draws a ResourceWarning.
_OWN_LOCKS: dict[tuple[int, Path], tuple[str, int]] = {}
_GUARD = threading.Lock()

_TRIES = 100


def process_name(folder: Path) -> str:
    """The name of this process, made and locked on first use. Raises OSError."""
    with _GUARD:
        place = (os.getpid(), Path(os.path.realpath(folder)))
        if place not in _OWN_LOCKS:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(OSError):  # one that was there before and is not ours
                folder.chmod(0o700)
            _remove_stale(folder)
            _OWN_LOCKS[place] = _make_lock_file(folder)
        return _OWN_LOCKS[place][0]


def _release_after_fork() -> None:
    """A forked child shares its parent's locks, and would seem to be the parent after its end."""
    global _GUARD
    _GUARD = threading.Lock()  # another thread of the parent may have held it
    for _, descriptor in _OWN_LOCKS.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _OWN_LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_after_fork)


def _make_lock_file(folder: Path) -> tuple[str, int]:
    """A file of this process's own, by its name and descriptor.

    Until it is locked, another process may take it for one of the dead and remove it, or hold it
    for the moment of looking: then another one is made.
    """
    for _ in range(_TRIES):
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        path = folder / f"{name}.alive"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(OSError):
            if lock(descriptor) and os.path.samestat(path.stat(), os.fstat(descriptor)):
                return name, descriptor
        os.close(descriptor)
        path.unlink(missing_ok=True)
    raise OSError("no lock file can be kept there")


def is_mine(name: str) -> bool:
    """Is it this very process?"""
    with _GUARD:
        return any(
            held == name for (pid, _), (held, _f) in _OWN_LOCKS.items() if pid == os.getpid()
        )


def is_alive(folder: Path, name: str) -> bool:
    """Does the process of that name still live?"""
    return is_mine(name) or is_locked(folder / f"{name}.alive")


def is_locked(path: Path) -> bool:
    """Is the lock file held by a living process?"""
    try:
        with path.open("r+b") as file:
            return not lock(file.fileno(), shared=True)
    except OSError:
        return False


def _remove_stale(folder: Path) -> None:
    """Remove what dead processes left, so that the folder does not grow."""
    for path in folder.glob("*.alive"):
        with contextlib.suppress(OSError):
            with path.open("r+b") as file:
                if not lock(file.fileno(), shared=True):
                    continue
                # Removed while it is held here, so that nobody can lock it in between. Windows
                # removes no open file, which keeps the living ones safe there.
                if sys.platform != "win32":
                    path.unlink()
                    continue
            path.unlink()


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the file for as long as it is open here; False when another process has it. Two who look
    at once take it `shared`, and do not take each other for its holder."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
