"""While others write: whoever looks goes on, and only a purchase waits for its turn."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from civitai_skill import AsyncCivitai
from civitai_skill.errors import ConfigError
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger, current_budget
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.sandbox import Sandbox
from tests.support.ledger import RETRY, client, run

#: Seconds within which a look is back, on a busy machine too. PATIENCE is 10.
AT_ONCE = 3.0


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process that writes, and does not end."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield other
    finally:
        other.close()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_reading_waits_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = Ledger(path)
    writer.begin(run("k"), again=True, budget=None)
    writer.record_submitted("k", "w-1", 3)
    writer.keep_setting("budget", "50/day")
    for ledger in (writer, Ledger(path)):  # one that has the file open, and one that has not
        with locked(path), within(AT_ONCE):
            assert ledger.run("k") is not None
            assert ledger.is_paid("w-1")
            assert ledger.look_up("r1:a")[0] is not None
            assert len(ledger.history()) == len(ledger.spend()) == 1
            assert str(current_budget(None, ledger)) == "50 Buzz per day"
            assert ledger.used_buzz(Budget(9, 86400.0, "day")) == 3
            with pytest.raises(ConfigError, match="locked"):
                ledger.record_finished("k", "succeeded", 3, None, patience=0.1)


def test_a_thread_that_waits_to_buy_holds_up_nobody_who_looks(tmp_path: Path) -> None:
    ledger = SessionLedger(tmp_path / "ledger.sqlite3", 10)
    ledger.begin(run("a"), again=True, budget=None)
    bought = []

    def buy() -> None:
        bought.append(ledger.begin(run("b"), again=True, budget=None))

    with locked(ledger.path) as other:
        buyer = threading.Thread(target=buy)
        buyer.start()
        time.sleep(0.2)
        with within(AT_ONCE):
            assert ledger.run("a") is not None
            assert ledger.spent == 3
            with pytest.raises(ConfigError, match="locked"):
                ledger.record_finished("a", "failed", 0, None, patience=0.1)
        assert bought == []
        other.execute("ROLLBACK")
        buyer.join()
    assert [result.fresh for result in bought] == [True]
    assert ledger.spent == 3


def test_a_look_and_a_cancel_do_not_wait_for_the_ledger(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.05)
    with client(box, tmp_path) as buyer:
        bought = buyer.submit("a fox")
        assert buyer.ledger is not None
        with locked(buyer.ledger.path), within(AT_ONCE):
            assert buyer.wait(bought.id or "", timeout=10).status == "succeeded"
            assert buyer.get(bought.id or "").status == "succeeded"
            assert buyer.cancel(bought.id or "").was_done
        assert buyer.ledger.find_by_workflow(bought.id or "").status is None  # type: ignore[union-attr]
        buyer.get(bought.id or "")
        assert buyer.ledger.find_by_workflow(bought.id or "").status == "succeeded"  # type: ignore[union-attr]


async def test_an_event_loop_does_not_stand_still_for_the_ledger(tmp_path: Path) -> None:
    import asyncio

    box = Sandbox(seconds_per_job=0.05)
    async with AsyncCivitai(sandbox=box, home=tmp_path, retry=RETRY) as buyer:
        await buyer.generate("a fox", out=tmp_path)
        assert buyer.ledger is not None
        with locked(buyer.ledger.path) as other:
            buying = asyncio.ensure_future(buyer.generate("another", out=tmp_path))
            longest = 0.0
            for _ in range(20):
                began = time.monotonic()
                await asyncio.sleep(0.02)
                longest = max(longest, time.monotonic() - began)
            assert longest < AT_ONCE
            other.execute("ROLLBACK")
        assert (await buying).status == "succeeded"
