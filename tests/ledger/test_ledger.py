"""What was bought is written down first: the file, the owners, the budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, OverBudget, StillRunning, TransportFailed
from civitai_skill.errors import ConfigError
from civitai_skill.errors.next_steps import BuyAgain
from civitai_skill.ledger.budget import Budget, read_budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.purchase.events import Priced, Submitted
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.storage.locks import is_alive, process_name
from tests.support.ledger import (
    client,
    file_of,
    held_by_a_living_process,
    left_by_a_dead_process,
    run,
)
from tests.support.sandbox import net_charged


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "home" / "ledger.sqlite3")


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05)


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
        assert [row["state"] for row in book.history()] == ["open"], "does its caller have it?"
        buyer.confirm()
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


@pytest.mark.parametrize("spoil", [lambda data: b"spoilt", lambda data: data[:-1] + b"?"],
                         ids=["another length", "the same length"])  # fmt: skip
def test_a_picture_that_was_spoilt_on_the_disk_is_fetched_again(
    box: Sandbox, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    box.script(Fault("blob", "short", skip=1, times=None))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox", quantity=2, out=tmp_path / "out")
        box.clear()
        (path,) = (tmp_path / "out").iterdir()
        whole = path.read_bytes()
        path.write_bytes(spoil(whole))
        result = buyer.generate("a fox", quantity=2, out=tmp_path / "out")

    assert (len(result.paths), net_charged(box)) == (2, 5)
    assert whole in [p.read_bytes() for p in result.paths]


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

    assert "name another ledger" in caught.value.hint
    assert net_charged(box) == 0


def test_a_newer_ledger_is_not_touched(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)
    with file_of(ledger.path) as db:
        db.execute("PRAGMA user_version = 99")

    with pytest.raises(ConfigError, match="newer version"):
        Ledger(ledger.path).history()
    with pytest.raises(ConfigError, match="newer version"):
        ledger.begin(run("l"), again=True, budget=None)


def test_without_a_ledger_nothing_is_written(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path / "home", ledger=False) as buyer:
        buyer.generate("a fox", out=tmp_path / "out")

    assert list((tmp_path / "home").glob("*ledger*")) == []


def test_the_sandbox_keeps_books_of_its_own(tmp_path: Path) -> None:
    with Civitai("k", home=tmp_path) as real, Civitai(sandbox=True, home=tmp_path) as play:
        assert real.ledger is not None
        assert play.ledger is not None
        assert real.ledger.path != play.ledger.path


# -- other processes ---------------------------------------------------------------------
@pytest.mark.parametrize("purpose", ["generate", "tools", "python", "rest"])
def test_the_same_request_while_another_process_makes_it_is_reported_and_not_bought(
    box: Sandbox, tmp_path: Path, purpose: str
) -> None:
    asked: dict[str, Any] = {"out": tmp_path / "out", "timeout": 0.1, "purpose": purpose}
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as first:
            buyer.generate("a fox [sandbox:stuck]", **asked)
        assert buyer.ledger is not None
        with held_by_a_living_process(buyer.ledger), pytest.raises(StillRunning) as second:
            buyer.generate("a fox [sandbox:stuck]", **asked)

    assert first.value.workflow_id in str(second.value)
    assert "nothing was bought" in str(second.value)
    assert BuyAgain() in second.value.next
    assert net_charged(box) == 3


@pytest.mark.parametrize(("purpose", "bought"), [("generate", 1), ("tools", 1), ("python", 2)])
def test_the_same_request_while_this_process_makes_it_is_two_only_for_a_program(
    box: Sandbox, tmp_path: Path, purpose: str, bought: int
) -> None:
    asked: dict[str, Any] = {"out": tmp_path / "out", "purpose": purpose}
    second: list[Any] = []

    def tell(event: Any) -> None:
        if isinstance(event, Submitted):
            try:
                second.append(buyer.generate("a fox", **asked))
            except StillRunning as error:
                second.append(error)

    with client(box, tmp_path) as buyer:
        first = buyer.generate("a fox", tell=tell, **asked)

    assert len(first.paths) == 1
    assert net_charged(box) == 3 * bought
    if bought == 1:
        assert first.id in str(second[0])
    else:
        assert second[0].id != first.id


def test_two_callers_who_both_found_nothing_open_buy_once(box: Sandbox, tmp_path: Path) -> None:
    looked = threading.Barrier(2, timeout=30)

    def tell(event: Any) -> None:
        if isinstance(event, Priced):  # after the look, before the purchase is written down
            looked.wait()

    def buy(_: int) -> None:
        with client(box, tmp_path) as buyer, pytest.raises(StillRunning):
            buyer.generate(
                "a fox [sandbox:stuck]", out=tmp_path, timeout=0.1, purpose="generate", tell=tell
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(buy, range(2)))

    assert (box.accounts()[0]["workflows"], net_charged(box)) == (1, 3)


def test_what_a_dead_process_left_is_taken_up_though_a_newer_one_is_being_made(
    box: Sandbox, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"out": tmp_path / "out", "timeout": 0.1}
    taken_up: list[StillRunning] = []

    def tell(event: Any) -> None:
        if isinstance(event, Submitted):
            with pytest.raises(StillRunning) as caught:
                buyer.generate("a fox [sandbox:stuck]", **asked)
            taken_up.append(caught.value)

    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as left:
            buyer.generate("a fox [sandbox:stuck]", **asked)
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        with pytest.raises(StillRunning) as newer:
            buyer.generate("a fox [sandbox:stuck]", again=True, tell=tell, **asked)

    assert [error.workflow_id for error in taken_up] == [left.value.workflow_id]
    assert newer.value.workflow_id != left.value.workflow_id
    assert net_charged(box) == 6


def test_a_process_is_known_to_live_until_it_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from civitai_skill.storage.locks import process_name
        print(process_name(Path({str(tmp_path)!r})), flush=True)
        time.sleep(60)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert is_alive(tmp_path, name)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not is_alive(tmp_path, name)
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert is_alive(tmp_path, process_name(tmp_path))
    assert not is_alive(tmp_path, "../../etc/passwd")


# -- the budget --------------------------------------------------------------------------
DAY = Budget(10, 86400.0, "day")


def test_a_budget_is_reserved_settled_and_released(ledger: Ledger) -> None:
    ledger.begin(run("a", identity="r1:a", reserved=6), again=False, budget=DAY)
    with pytest.raises(OverBudget) as caught:
        ledger.begin(run("b", identity="r1:b", reserved=5), again=False, budget=DAY)
    assert (caught.value.price, caught.value.limit) == (5, 4)

    ledger.record_submitted("a", "w", 4)
    ledger.begin(run("b", identity="r1:b", reserved=5), again=False, budget=DAY)
    assert ledger.used_buzz(DAY) == 9

    ledger.record_finished("a", "failed", 0, "it broke")
    assert ledger.used_buzz(DAY) == 5
    ledger.drop("b", "refused")
    assert ledger.used_buzz(DAY) == 0


def test_a_budget_is_counted_back_from_now(ledger: Ledger) -> None:
    ledger.begin(run("a", reserved=6), again=False, budget=DAY)
    tomorrow = Ledger(ledger.path, clock=lambda: time.time() + 86400 + 1)

    assert (ledger.used_buzz(DAY), tomorrow.used_buzz(DAY)) == (6, 0)


def test_a_budget_holds_for_every_door(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_BUDGET", "5/day")
    with client(box, tmp_path) as buyer:
        buyer.submit("a fox")
        with pytest.raises(OverBudget, match="5 Buzz per day"):
            buyer.submit("an owl")

    assert net_charged(box) == 3


@pytest.mark.parametrize("text", ["", "x", "5/year", "-5", "5.5/day", "/day"])
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a budget"):
        read_budget(text)


def test_what_was_spent_is_summed_by_engine_and_day(ledger: Ledger) -> None:
    for key, cost in (("a", 4), ("b", 6)):
        ledger.begin(run(key), again=True, budget=None)
        ledger.record_submitted(key, key, cost)
    ledger.begin(run("c", reserved=7), again=True, budget=None)
    ledger.begin(run("d", reserved=50), again=True, budget=None)
    ledger.drop("d", "refused")

    assert ledger.spend() == [{"name": "all", "runs": 3, "buzz": 17}]
    assert ledger.spend(by="engine") == [{"name": "?", "runs": 3, "buzz": 17}]
    assert [r["buzz"] for r in ledger.spend(by="day")] == [17]
    assert ledger.spend(since=time.time() + 60) == []
