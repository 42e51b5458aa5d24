"""What a server may spend in its life, and work that outlives its callers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from civitai_skill import AsyncCivitai, CivitaiError, OverBudget, TransportFailed
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.purchase.events import Submitting
from civitai_skill.sandbox import Sandbox
from civitai_skill.servers.session import Caller, ServerSession
from tests.support.rest_server import fresh_sandbox


def run(key: str, price: int) -> Run:
    return Run(key=key, identity=key, purpose="test", body=b"{}", wanted=1, reserved=price)


@pytest.fixture
def purse(tmp_path: Path) -> SessionLedger:
    return SessionLedger(tmp_path / "ledger.sqlite3", 10)


def test_what_would_go_above_the_limit_is_refused_and_costs_nothing(purse: SessionLedger) -> None:
    purse.begin(run("a", 7), again=True, budget=None)
    with pytest.raises(OverBudget, match="3 are left") as caught:
        purse.begin(run("b", 4), again=True, budget=None)
    assert (caught.value.price, caught.value.limit) == (4, 3)
    assert purse.spent == 7
    assert purse.run("b") is None
    purse.begin(run("c", 3), again=True, budget=None)
    assert purse.spent == 10


def test_threads_at_the_same_time_do_not_pass_together(purse: SessionLedger) -> None:
    def buy(n: int) -> bool:
        try:
            return purse.begin(run(f"k{n}", 3), again=True, budget=None).fresh
        except OverBudget:
            return False

    with ThreadPoolExecutor(16) as pool:
        bought = list(pool.map(buy, range(60)))
    assert (sum(bought), purse.spent) == (3, 9)


def test_the_real_price_replaces_what_was_reserved(purse: SessionLedger) -> None:
    purse.begin(run("a", 8), again=True, budget=None)
    purse.record_submitted("a", "w-1", 5)
    assert purse.spent == 5
    purse.record_finished("a", "failed", 0, "refunded")
    assert purse.spent == 0


def test_what_comes_back_after_the_end_is_given_back_too(purse: SessionLedger) -> None:
    purse.begin(run("a", 8), again=True, budget=None)
    purse.record_submitted("a", "w-1", 8)
    purse.record_finished("a", "failed", 8, "no refund yet")
    purse.record_finished("a", "failed", None, "no figure")
    purse.close_run("a")
    assert purse.spent == 8
    purse.record_finished("a", "failed", 0, "refunded")
    assert purse.spent == 0


def test_what_the_service_did_not_take_is_given_back(purse: SessionLedger) -> None:
    purse.begin(run("a", 10), again=True, budget=None)
    purse.drop("a", "refused")
    assert purse.spent == 0
    purse.begin(run("a", 10), again=True, budget=None)
    assert purse.spent == 10


def test_a_purchase_that_was_not_made_anew_is_not_counted(purse: SessionLedger) -> None:
    purse.begin(run("a", 6), again=True, budget=None)
    assert not purse.begin(run("a", 4), again=True, budget=None).fresh
    assert purse.spent == 6
    with pytest.raises(OverBudget):
        purse.begin(run("b", 4), again=True, budget=Budget(7, 60.0, "hour"))
    assert purse.spent == 6, "refused by the other budget"


def test_an_earlier_purchase_counts_when_it_may_be_sent_only_now(tmp_path: Path) -> None:
    before = Ledger(tmp_path / "ledger.sqlite3")
    before.begin(run("unsent", 6), again=True, budget=None)
    before.begin(run("sent", 6), again=True, budget=None)
    before.record_submitted("sent", "w-1", 6)
    purse = SessionLedger(tmp_path / "ledger.sqlite3", 10)
    purse.take_up("sent")
    assert purse.spent == 0
    purse.take_up("unsent")
    purse.take_up("unsent")
    assert purse.spent == 6
    before.begin(run("another", 6), again=True, budget=None)
    with pytest.raises(OverBudget):
        purse.take_up("another")


# -- the desk --------------------------------------------------------------------------------------
@pytest.fixture
def sandbox() -> Sandbox:
    return fresh_sandbox()


@pytest.fixture
async def desk(sandbox: Sandbox, tmp_path: Path) -> ServerSession:
    return ServerSession(AsyncCivitai(sandbox=sandbox, home=tmp_path))


async def test_kept_work_ends_though_its_caller_left(desk: ServerSession) -> None:
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    caller = asyncio.ensure_future(desk.run_to_end(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert ended == []
    await desk.close()
    assert ended == [True]


@pytest.mark.parametrize(
    ("error", "reported"),
    [(ZeroDivisionError("a defect"), True), (TransportFailed("the service's trouble"), False)],
)
async def test_a_defect_in_kept_work_is_reported_though_its_caller_left(
    desk: ServerSession, error: Exception, reported: bool
) -> None:
    begun, left, told = asyncio.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context.get("exception")))

    async def work() -> None:
        begun.set()
        await left.wait()
        raise error

    caller = asyncio.ensure_future(desk.run_to_end(work()))
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    left.set()
    await desk.close()
    assert told == ([error] if reported else [])


async def test_the_end_waits_for_kept_work_only_so_long(desk: ServerSession) -> None:
    desk.grace = 0.05
    caller = asyncio.ensure_future(desk.run_to_end(asyncio.sleep(60)))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(desk.close(), 5)
    with pytest.raises(TransportFailed, match="ended before") as caught:
        await caller
    assert caught.value.spent == "no"


async def test_the_end_tells_what_may_have_been_sent(desk: ServerSession) -> None:
    customer = Caller(desk)
    assert customer.stopped_error().spent == "no"
    customer(Submitting("key"))
    cut_short = customer.stopped_error()
    assert (cut_short.spent, cut_short.resumable) == ("unknown", True)
    desk.grace = 0.05
    caller = asyncio.ensure_future(desk.run_to_end(asyncio.sleep(60), customer.stopped_error))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(desk.close(), 5)
    with pytest.raises(TransportFailed, match="ended before") as caught:
        await caller
    assert caught.value.spent == "unknown"


async def test_work_that_only_looks_is_dropped_at_the_end(desk: ServerSession) -> None:
    looking = asyncio.ensure_future(desk.run_until_stopped(asyncio.sleep(60, "seen")))
    await asyncio.sleep(0.01)
    desk.stop()
    assert await asyncio.wait_for(looking, 5) is None
    await desk.close()


async def test_work_that_is_done_first_gives_its_outcome_or_its_error(desk: ServerSession) -> None:
    async def fail() -> None:
        raise TransportFailed("no")

    assert await desk.run_until_stopped(asyncio.sleep(0, "seen")) == "seen"
    with pytest.raises(CivitaiError):
        await desk.run_until_stopped(fail())
    with pytest.raises(CivitaiError):
        await desk.run_to_end(fail())
    await desk.close()


def test_a_key_that_comes_back_after_it_was_dropped_is_counted_anew(purse: SessionLedger) -> None:
    purse.begin(run("a", 6), again=True, budget=None)
    purse.begin(run("b", 4), again=True, budget=None)
    purse.drop("a", "refused")
    purse.begin(run("c", 5), again=True, budget=None)
    with pytest.raises(OverBudget):
        purse.begin(run("a", 6), again=True, budget=None)
    assert purse.spent == 9


def test_a_purchase_that_goes_on_is_not_dropped_for_another_call(purse: SessionLedger) -> None:
    purse.begin(run("a", 6), again=True, budget=None)
    purse.record_submitted("a", "w-1", 6)
    assert not purse.drop("a", "another call was refused")
    assert purse.spent == 6


def test_a_run_that_can_t_be_taken_up_keeps_nothing_back(tmp_path: Path) -> None:
    before = Ledger(tmp_path / "ledger.sqlite3", clock=lambda: 0.0)
    before.begin(run("a", 4), again=True, budget=None)
    purse = SessionLedger(tmp_path / "ledger.sqlite3", 10)
    with pytest.raises(OverBudget):
        purse.take_up("a", Budget(3, 60.0, "hour"))
    assert purse.spent == 0
    with pytest.raises(OverBudget):
        SessionLedger(tmp_path / "ledger.sqlite3", 3).take_up("a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(purse.take_up, ["a"] * 16))
    assert purse.spent == 4
