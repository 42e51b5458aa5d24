"""What the tests of the ledger share: a buyer over a sandbox, and the look of a dead process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from civitai_skill import Civitai
from civitai_skill.api.service import Retry
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.sandbox import Sandbox

RETRY = Retry(first=0.005, cap=0.02, tries=3)


def run(key: str, *, identity: str = "r1:a", reserved: int = 3, **more: Any) -> Run:
    """A run that was not begun yet."""
    return replace(Run(key, identity, "python", b"{}", 1, reserved), **more)


def client(box: Sandbox, home: Path, **given: Any) -> Civitai:
    """A client of the sandbox with short pauses."""
    return Civitai(sandbox=box, home=home, retry=RETRY, **given)


@contextmanager
def file_of(path: Path) -> Iterator[sqlite3.Connection]:
    """The database in a file, for one transaction."""
    with closing(sqlite3.connect(path)) as db, db:
        yield db


@contextmanager
def held_by_a_living_process(ledger: Ledger) -> Iterator[None]:
    """Make every open run look as if another process, which lives, worked on it."""
    script = (
        "import sys; from pathlib import Path; "
        "from civitai_skill.storage.locks import process_name"
        "; print(process_name(Path(sys.argv[1])), flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(ledger.path.parent / "owners")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        with file_of(ledger.path) as db:
            db.execute("UPDATE runs SET owner = ? WHERE state = 'open'", (name,))
        yield
        other.communicate("\n")


def left_by_a_dead_process(ledger: Ledger) -> None:
    """Make every open run look as if its process had died."""
    with file_of(ledger.path) as db:
        db.execute("UPDATE runs SET owner = 'gone' WHERE state = 'open'")
