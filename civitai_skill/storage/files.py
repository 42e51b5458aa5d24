"""Files that are whole or not there: written under a temporary name, then renamed or linked.

A temporary file is locked while it is written, so that the next run can tell one that a killed run
left behind from one that somebody is writing now.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from civitai_skill.storage import locks

_SUFFIX = ".part"
_OURS = re.compile(r"\.[0-9a-f]{12}\.part")

#: Seconds; between being made and being locked, a file of the living looks like one of the dead.
_YOUNG = 1.0


@contextmanager
def write_temporary(folder: Path, data: bytes) -> Iterator[Path]:
    """The data in a temporary file of the folder, on the disk itself; gone when left behind.

    Raises OSError.
    """
    part = folder / f".{secrets.token_hex(6)}{_SUFFIX}"
    try:
        with part.open("wb") as file:
            locks.lock(file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # An open file can't be renamed on Windows; elsewhere the lock is kept to the end.
            if sys.platform == "win32":
                file.close()
            yield part
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole, over what was there. Raises OSError."""
    with write_temporary(path.parent, data) as part:
        part.replace(path)


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that killed runs left."""
    for path in folder.glob(f".*{_SUFFIX}"):
        if not _OURS.fullmatch(path.name):
            continue
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _YOUNG and not locks.is_locked(path):
                path.unlink()
