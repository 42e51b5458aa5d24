"""What the ledger keeps when ends are odd, processes fork, and files were there before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from civitai_skill import alive
from civitai_skill.batch.names import Names, fields_of, stem
from civitai_skill.budget import Budget, read_budget
from civitai_skill.errors import BudgetUsedUp, ConfigError, RequestInvalid
from civitai_skill.history import since
from civitai_skill.ledger import Ledger, Run
from tests.books import run

DAY = Budget(10, 86400.0, "day")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "home" / "ledger.sqlite3")


def kept(ledger: Ledger, key: str) -> Run:
    found = ledger.run(key)
    assert found is not None
    return found


# -- what it cost ----------------------------------------------------------------------------------
def test_an_end_without_a_figure_leaves_the_one_that_was_told(ledger: Ledger) -> None:
    ledger.begin(run("k", reserved=7), again=True, budget=None)
    ledger.submitted("k", "w", 5)
    ledger.finished("k", "failed", None, "why")
    assert (kept(ledger, "k").cost, ledger.used(DAY)) == (5, 5)
    ledger.finished("k", "failed", 0, "why")
    assert (kept(ledger, "k").cost, ledger.used(DAY)) == (0, 0)


def test_a_workflow_that_is_gone_still_counts_and_changes_no_good_end(tmp_path: Path) -> None:
    now = [1_000_000.0]
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: now[0])
    for key in ("lost", "good"):
        ledger.begin(run(key, identity=key, reserved=4), again=True, budget=None)
        ledger.submitted(key, f"w-{key}", 4)
    ledger.finished("good", "succeeded", 4, None)
    ledger.closed("good")
    now[0] += 25 * 3600
    for key in ("lost", "good"):
        ledger.gone(key)
    assert [(kept(ledger, k).status, kept(ledger, k).cost) for k in ("lost", "good")] == [
        ("gone", 4),
        ("succeeded", 4),
    ]
    assert ledger.used(Budget(100, 7 * 86400.0, "week")) == 8


def test_days_are_those_of_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: 86400.0 * 3 + 60)
        ledger.begin(run("k"), again=True, budget=None)
        assert [row["name"] for row in ledger.spend(by="day")] == ["1970-01-04"]
        assert since("2026-11-01") == "2026-11-01T00:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["9" * 5000, "1" * 13, "-1", "\uff11\uff12", "5/year"], ids=lambda t: t[:9]
)
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a budget"):
        read_budget(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+05:00", "9999-12-31T23:00-05:00", "99999d"])
def test_a_time_beyond_all_calendars_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid, match="since"):
        since(text)


def test_a_process_that_is_killed_in_the_middle_leaves_the_budget_right(ledger: Ledger) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from civitai_skill.budget import Budget
        from civitai_skill.ledger import Ledger, Run
        ledger = Ledger(Path(sys.argv[1]))
        told = ledger._used
        def killed(db, budget):
            used = told(db, budget)
            if sys.argv[2] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            return used
        ledger._used = killed
        run = Run("k", "k", "test", b"{}", 1, 6)
        ledger.begin(run, again=True, budget=Budget(10, 86400.0, "day"))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    for moment, used in (("before", 0), ("after", 6)):
        done = subprocess.run([sys.executable, "-c", script, ledger.path, moment], check=False)
        assert done.returncode == -signal.SIGKILL
        assert ledger.used(DAY) == used
    with pytest.raises(BudgetUsedUp):
        ledger.begin(run("l", identity="l", reserved=5), again=True, budget=DAY)


# -- who lives -------------------------------------------------------------------------------------
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_forked_child_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from civitai_skill.alive import owner
        folder = Path(sys.argv[1])
        parent = owner(folder)
        if os.fork():
            os._exit(0)
        print(parent, owner(folder), flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        parent, child = process.stdout.readline().split()
        assert parent != child
        process.wait(10)
        assert (alive.lives(tmp_path, parent), alive.lives(tmp_path, child)) == (False, True)
        process.communicate("")


# -- files -----------------------------------------------------------------------------------------
def test_files_that_were_there_before_are_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.touch(mode=0o644)
    ledger = Ledger(path)
    ledger.begin(run("k"), again=True, budget=None)
    for found in (*tmp_path.glob("ledger.sqlite3*"), tmp_path / "owners"):
        assert found.stat().st_mode & 0o077 == 0, found
    ledger.close()


# -- names -----------------------------------------------------------------------------------------
def test_long_names_keep_what_tells_them_apart() -> None:
    facts = {"row": 1, "id": "x" * 300, "engine": "e", "variant": "v", "seed": 7, "batch": "b"}
    found = {stem("{id}-{key}-{n}", {**facts, "key": f"k{i}", "n": 0}) for i in range(50)}
    assert len(found) == 50
    assert {len(name) for name in found} == {120}


def test_a_brace_that_is_meant_is_no_field() -> None:
    assert fields_of("{{key}}-{n}") == {"n"}
    assert fields_of(Names("{key}-{n:03}")._template) == {"key", "n"}
