"""What a server may spend in its life."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from civitai_skill import ConfigError, OverBudget
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.ledger.session_budget import SessionLedger


def run(key: str, price: int) -> Run:
    return Run(key=key, identity=key, purpose="test", body=b"{}", wanted=1, reserved=price)


@pytest.fixture
def session(tmp_path: Path) -> SessionLedger:
    return SessionLedger(tmp_path / "ledger.sqlite3", 10)


def test_what_would_go_above_the_limit_is_refused_and_costs_nothing(session: SessionLedger) -> None:
    session.begin(run("a", 7), again=True, budget=None)
    with pytest.raises(OverBudget, match="3 are left") as caught:
        session.begin(run("b", 4), again=True, budget=None)
    assert (caught.value.price, caught.value.limit) == (4, 3)
    assert session.spent == 7
    assert session.run("b") is None
    session.begin(run("c", 3), again=True, budget=None)
    assert session.spent == 10


def test_threads_at_the_same_time_do_not_pass_together(session: SessionLedger) -> None:
    def buy(n: int) -> bool:
        try:
            return session.begin(run(f"k{n}", 3), again=True, budget=None).fresh
        except OverBudget:
            return False

    with ThreadPoolExecutor(16) as pool:
        bought = list(pool.map(buy, range(60)))
    assert (sum(bought), session.spent) == (3, 9)


def test_the_real_price_replaces_what_was_reserved(session: SessionLedger) -> None:
    session.begin(run("a", 8), again=True, budget=None)
    session.record_submitted("a", "w-1", 5)
    assert session.spent == 5
    session.record_finished("a", "failed", 0, "refunded")
    assert session.spent == 0


def test_what_comes_back_after_the_end_is_given_back_too(session: SessionLedger) -> None:
    session.begin(run("a", 8), again=True, budget=None)
    session.record_submitted("a", "w-1", 8)
    session.record_finished("a", "failed", 8, "no refund yet")
    session.record_finished("a", "failed", None, "no figure")
    session.close_run("a")
    assert session.spent == 8
    session.record_finished("a", "failed", 0, "refunded")
    assert session.spent == 0


def test_what_the_service_did_not_take_is_given_back(session: SessionLedger) -> None:
    session.begin(run("a", 10), again=True, budget=None)
    session.drop("a", "refused")
    assert session.spent == 0
    session.begin(run("a", 10), again=True, budget=None)
    assert session.spent == 10


def test_a_purchase_that_was_not_made_anew_is_not_counted(session: SessionLedger) -> None:
    session.begin(run("a", 6), again=True, budget=None)
    assert not session.begin(run("a", 4), again=True, budget=None).fresh
    assert session.spent == 6
    with pytest.raises(OverBudget):
        session.begin(run("b", 4), again=True, budget=Budget(7, 60.0, "hour"))
    assert session.spent == 6, "refused by the other budget"


def test_an_earlier_purchase_counts_when_it_may_be_sent_only_now(tmp_path: Path) -> None:
    before = Ledger(tmp_path / "ledger.sqlite3")
    before.begin(run("unsent", 6), again=True, budget=None)
    before.begin(run("sent", 6), again=True, budget=None)
    before.record_submitted("sent", "w-1", 6)
    session = SessionLedger(tmp_path / "ledger.sqlite3", 10)
    session.take_up("sent")
    assert session.spent == 0
    session.take_up("unsent")
    session.take_up("unsent")
    assert session.spent == 6
    before.begin(run("another", 6), again=True, budget=None)
    with pytest.raises(OverBudget):
        session.take_up("another")


def test_what_could_not_be_written_down_counts_once_it_is(
    session: SessionLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("civitai_skill.ledger.ledger._INSERT", "INSERT INTO nowhere VALUES (:key)")
        with pytest.raises(ConfigError):
            session.begin(run("a", 6), again=True, budget=None)
    assert session.spent == 0
    Ledger(session.path).begin(run("a", 6), again=True, budget=None)
    session.take_up("a")
    assert session.spent == 6


def test_a_key_that_comes_back_after_it_was_dropped_is_counted_anew(session: SessionLedger) -> None:
    session.begin(run("a", 6), again=True, budget=None)
    session.begin(run("b", 4), again=True, budget=None)
    session.drop("a", "refused")
    session.begin(run("c", 5), again=True, budget=None)
    with pytest.raises(OverBudget):
        session.begin(run("a", 6), again=True, budget=None)
    assert session.spent == 9


def test_a_purchase_that_goes_on_is_not_dropped_for_another_call(session: SessionLedger) -> None:
    session.begin(run("a", 6), again=True, budget=None)
    session.record_submitted("a", "w-1", 6)
    assert not session.drop("a", "another call was refused")
    assert session.spent == 6


def test_a_run_that_can_t_be_taken_up_keeps_nothing_back(tmp_path: Path) -> None:
    before = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: 0.0)
    before.begin(run("a", 4), again=True, budget=None)
    session = SessionLedger(tmp_path / "ledger.sqlite3", 10)
    with pytest.raises(OverBudget):
        session.take_up("a", Budget(3, 60.0, "hour"))
    assert session.spent == 0
    with pytest.raises(OverBudget):
        SessionLedger(tmp_path / "ledger.sqlite3", 3).take_up("a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(session.take_up, ["a"] * 16))
    assert session.spent == 4


def test_a_call_that_fails_does_not_close_what_another_still_answers(
    session: SessionLedger,
) -> None:
    session.begin(run("a", 8), again=True, budget=None)
    session.record_submitted("a", "w-1", 8)
    session.take_up("a")  # a second call for the same
    session.release("a")  # the first breaks off
    session.record_finished("a", "succeeded", 8, None, close=True)
    kept = session.run("a")
    assert kept is not None
    assert kept.state == "open", "its answer is not out yet"
    session.end_answer("a", delivered=False)
    session.end_answer("a", delivered=True)
    over = session.run("a")
    assert over is not None
    assert over.state == "closed"
