"""What the ledger keeps when ends are odd, processes fork, and files were there before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from civitai_skill.batch.names import PictureNames, format_stem
from civitai_skill.client.history import parse_since
from civitai_skill.errors import BudgetUsedUp, ConfigError, RequestInvalid
from civitai_skill.errors.next_steps import RaiseBudget
from civitai_skill.ledger.budget import Budget, read_budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.storage import locks
from tests.support.ledger import run

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
    ledger.record_submitted("k", "w", 5)
    ledger.record_finished("k", "failed", None, "why")
    assert (kept(ledger, "k").cost, ledger.used_buzz(DAY)) == (5, 5)
    ledger.record_finished("k", "failed", 0, "why")
    assert (kept(ledger, "k").cost, ledger.used_buzz(DAY)) == (0, 0)


def test_a_workflow_that_is_gone_still_counts_and_changes_no_good_end(tmp_path: Path) -> None:
    now = [1_000_000.0]
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: now[0])
    for key in ("lost", "good"):
        ledger.begin(run(key, identity=key, reserved=4), again=True, budget=None)
        ledger.record_submitted(key, f"w-{key}", 4)
    ledger.record_finished("good", "succeeded", 4, None)
    ledger.close_run("good")
    now[0] += 25 * 3600
    for key in ("lost", "good"):
        ledger.record_missing(key)
    assert [(kept(ledger, k).status, kept(ledger, k).cost) for k in ("lost", "good")] == [
        ("gone", 4),
        ("succeeded", 4),
    ]
    assert ledger.used_buzz(Budget(100, 7 * 86400.0, "week")) == 8


def test_days_are_those_of_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: 86400.0 * 3 + 60)
        ledger.begin(run("k"), again=True, budget=None)
        assert [row["name"] for row in ledger.spend(by="day")] == ["1970-01-04"]
        assert parse_since("2026-11-01") == "2026-11-01T00:00:00Z"
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
        parse_since(text)


# -- what is certain -------------------------------------------------------------------------------
def test_a_submit_that_tells_no_price_leaves_what_was_known(ledger: Ledger) -> None:
    ledger.begin(run("k", reserved=7), again=True, budget=None)
    ledger.record_submitted("k", "w", 5)
    ledger.record_submitted("k", "w", None)
    assert (kept(ledger, "k").cost, ledger.used_buzz(DAY)) == (5, 5)


def test_a_submit_after_all_counts_what_was_reserved(ledger: Ledger) -> None:
    ledger.begin(run("k", reserved=7), again=True, budget=None)
    assert ledger.drop("k", "no connection")
    ledger.record_submitted("k", "w", None)
    assert (kept(ledger, "k").state, ledger.used_buzz(DAY), ledger.spend()[0]["buzz"]) == (
        "open",
        7,
        7,
    )


@pytest.mark.parametrize("kind", [Ledger, SessionLedger])
def test_what_was_dropped_meanwhile_is_counted_anew_before_it_is_sent(
    tmp_path: Path, kind: type[Ledger]
) -> None:
    ledger = kind(tmp_path / "ledger.sqlite3")
    ledger.begin(run("k", reserved=6), again=True, budget=DAY)
    ledger.drop("k", "refused")
    ledger.begin(run("l", identity="l", reserved=5), again=True, budget=DAY)
    with pytest.raises(BudgetUsedUp):
        ledger.take_up("k", DAY)
    assert (kept(ledger, "k").state, ledger.used_buzz(DAY)) == ("dropped", 5)

    mine = ledger.take_up("k", Budget(11, 86400.0, "day"))
    assert (mine.state, mine.cost, ledger.used_buzz(DAY)) == ("open", None, 11)
    if isinstance(ledger, SessionLedger):
        assert ledger.spent == 11


def test_what_another_call_of_this_process_took_up_is_not_dropped(ledger: Ledger) -> None:
    ledger.begin(run("k", reserved=6), again=True, budget=None)
    ledger.take_up("k")
    assert not ledger.drop("k", "the first call was refused")
    assert (kept(ledger, "k").state, ledger.used_buzz(DAY)) == ("open", 6)


def test_a_purchase_that_the_file_does_not_hold_is_refused_in_words(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="does not hold the purchase k") as caught:
        ledger.take_up("k")
    assert caught.value.spent == "no"


def test_a_second_try_is_known_though_the_clock_was_set_back(tmp_path: Path) -> None:
    now = [1_000_000.0]
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: now[0])
    for key in ("first", "second"):
        ledger.begin(run(key), again=True, budget=None)
        ledger.record_finished(key, "failed", 0, "why")
        ledger.close_run(key)
        now[0] -= 3600
    assert [r.key for r in ledger.failed()] == ["second"]


def test_a_clock_that_was_set_back_frees_no_budget(tmp_path: Path) -> None:
    now = [1_000_000.0]
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: now[0])
    ledger.begin(run("k", reserved=6), again=True, budget=DAY)
    now[0] -= 10 * 86400
    with pytest.raises(BudgetUsedUp):
        ledger.begin(run("l", identity="l", reserved=5), again=True, budget=DAY)


def test_a_budget_of_a_day_is_what_was_spent_since_1d(tmp_path: Path) -> None:
    now = datetime(2026, 11, 2, 0, 30, tzinfo=UTC)
    path = tmp_path / "ledger.sqlite3"
    for hours in (0, 1, 23, 25):
        moment = (now - timedelta(hours=hours)).timestamp()
        Ledger(path, lambda at=moment: at).begin(
            run(f"k{hours}", identity=f"k{hours}"), again=True, budget=None
        )
    ledger = Ledger(path, clock=now.timestamp)
    day = datetime.fromisoformat(parse_since("1d", now) or "").timestamp()
    assert ledger.spend(day) == [{"name": "all", "runs": 3, "buzz": 9}]
    assert ledger.used_buzz(DAY) == 9
    midnight = datetime.fromisoformat(parse_since("2026-11-01") or "").timestamp()
    by_day = {row["name"]: row["buzz"] for row in ledger.spend(midnight, "day")}
    assert by_day == {"2026-11-01": 6, "2026-11-02": 3}


def test_a_budget_that_is_used_up_says_how_to_raise_it(ledger: Ledger) -> None:
    with pytest.raises(BudgetUsedUp) as caught:
        ledger.begin(run("k", reserved=6), again=True, budget=read_budget("5/week"))
    assert "CIVITAI_BUDGET" in caught.value.hint
    assert caught.value.next == (RaiseBudget("week"),)


# -- killed in the middle --------------------------------------------------------------------------
_KILLED = """
import os, signal, sys
from pathlib import Path
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.ledger.session_budget import SessionLedger

path, what, moment = sys.argv[1:]

def die(statement):
    if statement.startswith(moment):
        os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger(Path(path))
with ledger._storage.transaction() as db:
    db.set_trace_callback(lambda statement: armed and die(statement))
    armed = False
armed = True
budget = Budget(10, 86400.0, "day")
if what == "begin":
    ledger.begin(Run("k", "k", "test", b"{}", 1, 6), again=True, budget=budget)
else:
    ledger.take_up("k", budget)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(ledger: Ledger, what: str, moment: str) -> None:
    """Another process that is killed when it comes to a statement, or else right after."""
    words = [sys.executable, "-c", _KILLED, str(ledger.path), what, moment]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("moment", "used"), [("SELECT", 0), ("INSERT", 0), ("COMMIT", 0), ("nothing", 6)]
)
def test_a_process_that_is_killed_in_begin_leaves_the_budget_right(
    ledger: Ledger, moment: str, used: int
) -> None:
    ledger.setting("made")
    killed(ledger, "begin", moment)
    assert ledger.used_buzz(DAY) == used
    assert [r.key for r in ledger.unfinished()] == ["k"] * bool(used)
    if used:
        with pytest.raises(BudgetUsedUp):
            ledger.begin(run("l", identity="l", reserved=5), again=True, budget=DAY)
    else:
        assert ledger.begin(run("l", identity="l", reserved=10), again=True, budget=DAY).fresh


@pytest.mark.parametrize(("moment", "used"), [("UPDATE", 0), ("COMMIT", 0), ("nothing", 6)])
def test_a_process_that_is_killed_in_take_up_leaves_the_budget_right(
    ledger: Ledger, moment: str, used: int
) -> None:
    old = Ledger(ledger.path, clock=lambda: time.time() - 2 * 86400)
    old.begin(run("k", reserved=6), again=True, budget=None)
    old.release("k")
    killed(ledger, "take_up", moment)
    assert ledger.used_buzz(DAY) == used
    assert [r.key for r in ledger.unfinished()] == ["k"]
    assert ledger.take_up("k", DAY).key == "k"
    assert ledger.used_buzz(DAY) == 6


# -- who lives -------------------------------------------------------------------------------------
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_forked_child_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from civitai_skill.storage.locks import process_name
        folder = Path(sys.argv[1])
        parent = process_name(folder)
        if os.fork():
            os._exit(0)
        print(parent, process_name(folder), flush=True)
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
        assert (locks.is_alive(tmp_path, parent), locks.is_alive(tmp_path, child)) == (False, True)
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
    found = {format_stem("{id}-{key}-{n}", {**facts, "key": f"k{i}", "n": 0}) for i in range(50)}
    assert len(found) == 50
    assert {len(name) for name in found} == {120}


def test_a_long_name_ends_with_a_digest_that_many_machines_can_share() -> None:
    facts = {"row": 1, "engine": "e", "variant": "v", "seed": 7, "batch": "b", "key": "k", "n": 0}
    name = format_stem("{id}", {**facts, "id": "x" * 200})
    assert len(name.rpartition("-")[2]) == 16, "in eight digits, 100,000 names would meet"


def test_a_brace_that_is_meant_is_no_field() -> None:
    assert PictureNames("{{key}}-{n}").fields == {"n"}
    assert PictureNames("{key}-{n:03}").fields == {"key", "n"}
