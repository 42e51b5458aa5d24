"""What was bought is written down first, and what was left open is never bought twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, OverBudget, RequestInvalid, StillRunning, TransportFailed
from civitai_skill.alive import lives, owner
from civitai_skill.errors import ConfigError
from civitai_skill.exchange import Retry
from civitai_skill.generation import Resumed
from civitai_skill.ledger import Budget, Ledger, Run, read_budget
from civitai_skill.resumption import next_attempt
from civitai_skill.sandbox import Fault, Sandbox

RETRY = Retry(first=0.005, cap=0.02, tries=3)


def run(key: str, *, identity: str = "r1:a", reserved: int = 3) -> Run:
    return Run(key, identity, "python", b"{}", 1, reserved)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "home" / "ledger.sqlite3")


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05)


def charged(box: Sandbox) -> int:
    return sum(a["charged"] - a["refunded"] for a in box.accounts())


def client(box: Sandbox, home: Path, **given: Any) -> Civitai:
    return Civitai(sandbox=box, home=home, retry=RETRY, **given)


def left_by_a_dead_process(ledger: Ledger) -> None:
    """Make every open run look as if its process had died."""
    with sqlite3.connect(ledger.path) as db:
        db.execute("UPDATE runs SET owner = 'gone' WHERE state = 'open'")


# -- the file ----------------------------------------------------------------------------
def test_a_purchase_is_written_before_its_first_byte_leaves(box: Sandbox, tmp_path: Path) -> None:
    seen: list[Any] = []
    with client(box, tmp_path) as buyer:
        assert buyer.ledger is not None
        book = buyer.ledger

        def tell(event: Any) -> None:
            if type(event).__name__ == "Submitting":
                seen.append(book.run(event.key))

        buyer.generate("a fox", out=tmp_path / "out", tell=tell)
        (row,) = book.history()
        (picture,) = book.pictures(row["key"])

    assert [(r.state, r.workflow, r.reserved) for r in seen] == [("open", None, 3)]
    assert b'"externalId"' in seen[0].body
    assert (row["state"], row["status"], row["cost"], row["pictures"]) == (
        "closed",
        "succeeded",
        3,
        1,
    )
    assert len(picture["sha256"]) == 64


def test_the_ledger_is_for_its_owner_only(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)

    assert ledger.path.stat().st_mode & 0o077 == 0


def test_the_key_of_the_account_is_nowhere_in_it(box: Sandbox, tmp_path: Path) -> None:
    with Civitai("s3cret-key", sandbox=box, home=tmp_path) as buyer:
        buyer.generate("a fox", out=tmp_path / "out")

    stored = b"".join(p.read_bytes() for p in tmp_path.glob("*ledger*"))
    assert b"a fox" in stored
    assert b"s3cret-key" not in stored


def test_a_broken_ledger_stops_the_purchase_and_says_what_to_do(
    box: Sandbox, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"not a database" * 100)

    with client(box, tmp_path, ledger=broken) as buyer, pytest.raises(ConfigError) as caught:
        buyer.generate("a fox", out=tmp_path)

    assert "--ledger FILE" in caught.value.hint
    assert charged(box) == 0


def test_a_newer_ledger_is_not_touched(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version = 99")

    with pytest.raises(ConfigError, match="newer version"):
        Ledger(ledger.path).history()


def test_without_a_ledger_nothing_is_written(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path / "home", ledger=False) as buyer:
        buyer.generate("a fox", out=tmp_path / "out")

    assert list((tmp_path / "home").glob("*ledger*")) == []


def test_the_sandbox_keeps_books_of_its_own(tmp_path: Path) -> None:
    with Civitai("k", home=tmp_path) as real, Civitai(sandbox=True, home=tmp_path) as play:
        assert real.ledger is not None
        assert play.ledger is not None
        assert real.ledger.path != play.ledger.path


# -- going on ----------------------------------------------------------------------------
def test_a_lost_answer_is_taken_up_by_the_same_request(box: Sandbox, tmp_path: Path) -> None:
    box.script(Fault("submit", "reset", committed=True, times=3))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox", out=tmp_path / "out")
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        events: list[Any] = []
        result = buyer.generate("a fox", out=tmp_path / "out", tell=events.append)

    assert any(isinstance(e, Resumed) for e in events)
    assert (result.resumed, len(result.paths), charged(box)) == (True, 1, 3)
    assert result.as_dict()["resumed"] is True


def test_a_run_that_gave_up_waiting_is_taken_up(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as caught:
            buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=0.1)
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        result = buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=10)

    assert result.id == caught.value.workflow_id
    assert (result.resumed, charged(box)) == (True, 3)


def test_a_broken_download_is_taken_up_and_only_what_is_missing_is_fetched(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("blob", "short", skip=1, times=None))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox", quantity=2, out=tmp_path / "out")
        box.clear()
        first = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        result = buyer.generate("a fox", quantity=2, out=tmp_path / "out")

    assert (len(first), len(result.paths), charged(box)) == (1, 2, 5)
    assert all(p.stat().st_mtime_ns == when for p, when in first.items())
    assert [p.width for p in result.pictures] == [1024, 1024]


def test_a_finished_run_is_simply_bought_again(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        first = buyer.generate("a fox", out=tmp_path / "out")
        second = buyer.generate("a fox", out=tmp_path / "out")

    assert (first.id != second.id, second.resumed, charged(box)) == (True, False, 6)


def test_again_buys_anew_whatever_is_open(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        for _ in range(2):
            with pytest.raises(StillRunning):
                buyer.generate("a fox [sandbox:stuck]", out=tmp_path, timeout=0.1, again=True)
            assert buyer.ledger is not None
            left_by_a_dead_process(buyer.ledger)

    assert charged(box) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 5},
        {"quality": "draft"},
        {"out": "elsewhere"},
        {"tags": ["t"]},
        {"prompt": "an owl [sandbox:stuck]"},
    ],
)
def test_another_request_is_another_purchase(
    box: Sandbox, tmp_path: Path, change: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"prompt": "a fox [sandbox:stuck]", "out": "here"}
    with client(box, tmp_path) as buyer:
        for given in (asked, {**asked, **change}):
            said = dict(given)
            prompt, out = said.pop("prompt"), tmp_path / said.pop("out")
            with pytest.raises(StillRunning) as caught:
                buyer.generate(prompt, out=out, timeout=0.1, **said)
            assert not caught.value.result.resumed
            assert buyer.ledger is not None
            left_by_a_dead_process(buyer.ledger)

    assert box.accounts()[0]["workflows"] == 2


def test_a_source_counts_by_its_content_and_not_by_its_name(box: Sandbox, tmp_path: Path) -> None:
    from PIL import Image

    for name, colour in (("a.png", 10), ("b.png", 10), ("c.png", 99)):
        Image.new("RGB", (512, 512), (colour, 0, 0)).save(tmp_path / name)
    with client(box, tmp_path) as buyer:
        for name in ("a.png", "b.png", "c.png"):
            with pytest.raises(StillRunning):
                buyer.generate(
                    "winter [sandbox:stuck]", images=[str(tmp_path / name)], out=tmp_path,
                    timeout=0.1,
                )  # fmt: skip
            assert buyer.ledger is not None
            left_by_a_dead_process(buyer.ledger)

    assert box.accounts()[0]["workflows"] == 2


def test_after_a_day_an_open_run_is_not_joined_any_more(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)
    later = Ledger(ledger.path, clock=lambda: time.time() + 24 * 3600 + 60)

    assert ledger.open_run("r1:a") is not None
    assert later.open_run("r1:a") is None


def test_a_clock_that_jumps_back_still_finds_the_open_run(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)
    earlier = Ledger(ledger.path, clock=lambda: time.time() - 9000)

    assert earlier.open_run("r1:a") is not None


def test_one_key_is_for_one_request(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        first = buyer.generate("a fox", external_id="order-7", out=tmp_path / "out")
        same = buyer.generate("a fox", external_id="order-7", out=tmp_path / "out")
        with pytest.raises(RequestInvalid, match="used for another request"):
            buyer.generate("an owl", external_id="order-7", out=tmp_path / "out")

    assert (same.id, same.resumed, charged(box)) == (first.id, True, 3)


def test_a_certain_refusal_closes_the_purchase_and_frees_its_buzz(
    box: Sandbox, tmp_path: Path
) -> None:
    with client(box, tmp_path) as buyer:
        box.script(Fault("submit", "status", status=400))
        with pytest.raises(Exception, match="refused"):
            buyer.generate("a fox", out=tmp_path)
        assert buyer.ledger is not None
        (row,) = buyer.ledger.history()

    assert (row["state"], row["cost"]) == ("dropped", 0)


def test_a_second_try_carries_its_number_in_the_key(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        box.script(Fault("submit", "fate", fate="failed"))
        with pytest.raises(Exception, match="ended as failed"):
            buyer.generate("a fox", out=tmp_path / "out")
        assert buyer.ledger is not None
        (failed,) = buyer.ledger.failed()
        result = buyer.resume(failed)

        assert buyer.ledger.failed() == []
    assert result.workflow.external_id is not None
    assert result.workflow.external_id.endswith(f"{failed.key}-a2")
    assert (len(result.paths), charged(box)) == (1, 3)


def test_attempts_are_counted_on() -> None:
    assert [next_attempt(k) for k in ("cs-1", "cs-1-a2", "cs-1-a9", "cs-a-ax")] == [
        "cs-1-a2",
        "cs-1-a3",
        "cs-1-a10",
        "cs-a-ax-a2",
    ]


# -- other processes ---------------------------------------------------------------------
def test_the_same_request_of_a_living_process_is_reported_and_not_bought(
    box: Sandbox, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"out": tmp_path / "out", "timeout": 0.1, "purpose": "generate"}
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as first:
            buyer.generate("a fox [sandbox:stuck]", **asked)
        with pytest.raises(StillRunning) as second:
            buyer.generate("a fox [sandbox:stuck]", **asked)

    assert first.value.workflow_id in str(second.value)
    assert "nothing was bought" in str(second.value)
    assert "--again" in second.value.hint
    assert charged(box) == 3


def test_a_process_is_known_to_live_until_it_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from civitai_skill.alive import owner
        print(owner(Path({str(tmp_path)!r})), flush=True)
        time.sleep(60)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert lives(tmp_path, name)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not lives(tmp_path, name)
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert lives(tmp_path, owner(tmp_path))
    assert not lives(tmp_path, "../../etc/passwd")


# -- the budget --------------------------------------------------------------------------
DAY = Budget(10, 86400.0, "day")


def test_a_budget_is_reserved_settled_and_released(ledger: Ledger) -> None:
    ledger.begin(run("a", identity="r1:a", reserved=6), again=False, budget=DAY)
    with pytest.raises(OverBudget) as caught:
        ledger.begin(run("b", identity="r1:b", reserved=5), again=False, budget=DAY)
    assert (caught.value.price, caught.value.limit) == (5, 4)

    ledger.submitted("a", "w", 4)
    ledger.begin(run("b", identity="r1:b", reserved=5), again=False, budget=DAY)
    assert ledger.used(DAY) == 9

    ledger.finished("a", "failed", 0, "it broke")
    assert ledger.used(DAY) == 5
    ledger.dropped("b", "refused")
    assert ledger.used(DAY) == 0


def test_a_budget_is_counted_back_from_now(ledger: Ledger) -> None:
    ledger.begin(run("a", reserved=6), again=False, budget=DAY)
    tomorrow = Ledger(ledger.path, clock=lambda: time.time() + 86400 + 1)

    assert (ledger.used(DAY), tomorrow.used(DAY)) == (6, 0)


def test_a_budget_holds_for_every_door(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_BUDGET", "5/day")
    with client(box, tmp_path) as buyer:
        buyer.submit("a fox")
        with pytest.raises(OverBudget, match="5 Buzz per day"):
            buyer.submit("an owl")

    assert charged(box) == 3


@pytest.mark.parametrize("text", ["", "x", "5/year", "-5", "5.5/day", "/day"])
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a budget"):
        read_budget(text)


def test_what_was_spent_is_summed_by_engine_and_day(ledger: Ledger) -> None:
    for key, cost in (("a", 4), ("b", 6)):
        ledger.begin(run(key), again=True, budget=None)
        ledger.submitted(key, key, cost)
    ledger.begin(run("c", reserved=7), again=True, budget=None)
    ledger.begin(run("d", reserved=50), again=True, budget=None)
    ledger.dropped("d", "refused")

    assert ledger.spend() == [{"name": "all", "runs": 3, "buzz": 17}]
    assert ledger.spend(by="engine") == [{"name": "?", "runs": 3, "buzz": 17}]
    assert [r["buzz"] for r in ledger.spend(by="day")] == [17]
    assert ledger.spend(since=time.time() + 60) == []


def test_a_run_whose_workflow_the_service_forgot_is_made_under_its_own_key(
    box: Sandbox, tmp_path: Path
) -> None:
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning):
            buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=0.1)
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        box.script(Fault("get", "status", status=404))
        result = buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=10)

    assert (result.resumed, len(result.paths), charged(box)) == (True, 1, 3)
