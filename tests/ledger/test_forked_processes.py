"""A process that forks while its ledger is open: nothing that the child buys is forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from civitai_skill.ledger.ledger import Ledger

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")

_START = """
    import os, signal, sys, threading
    from pathlib import Path
    from civitai_skill.ledger.ledger import Ledger
    from civitai_skill.ledger.run import Run

    def buy(ledger, key):
        ledger.begin(Run(key, key, "test", b"{}", 1, 3), again=True, budget=None)

    path = Path(sys.argv[1])
    one, two = Ledger(path), Ledger(path)
    buy(one, "a")
    buy(two, "b")
    """


def ran(path: Path, script: str) -> list[str]:
    """What a process of its own prints, word by word; it is not waited for any longer than 60 s."""
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        textwrap.dedent(_START) + textwrap.dedent(script),
        str(path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_what_a_child_buys_after_its_parent_closed_the_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ran(
        path,
        """
        ready, told = os.pipe()
        closed, tell = os.pipe()
        child = os.fork()
        if child == 0:
            buy(one, "c")
            os.write(told, b"x")
            os.read(closed, 1)
            buy(one, "d")
            os._exit(0)
        os.read(ready, 1)
        one.close()
        two.close()
        os.write(tell, b"x")
        os.waitpid(child, 0)
        """,
    )
    assert {row["key"] for row in Ledger(path).history()} == {"a", "b", "c", "d"}


def test_a_child_is_not_held_up_by_a_thread_that_it_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    told = ran(
        path,
        """
        over = threading.Event()

        def busy():
            number = 0
            while not over.is_set():
                buy(one, f"t{number}")
                number += 1

        thread = threading.Thread(target=busy)
        thread.start()
        for number in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                buy(one, f"c{number}")
                os._exit(0)
            print(os.waitpid(child, 0)[1])
        over.set()
        thread.join()
        """,
    )
    assert told == ["0"] * 5
    bought = {row["key"] for row in Ledger(path).history(limit=100_000)}
    assert {f"c{number}" for number in range(5)} < bought
