"""What releasing a picture that was held back counts in the ledger and in the budget."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import Civitai, CivitaiError
from civitai_skill.errors import BudgetUsedUp
from civitai_skill.errors.next_steps import Look
from civitai_skill.ledger.budget import PERIODS, Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.ledger import RETRY
from tests.support.sandbox import net_charged

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
DAY = Budget(10**6, PERIODS["day"], "day")


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(seconds_per_job=0.02, balance={"blue": 1000, "yellow": 1000})


@pytest.fixture
def client(box: Sandbox, tmp_path: Path) -> Iterator[Civitai]:
    with Civitai(sandbox=box, retry=RETRY, home=tmp_path / "home") as client:
        yield client


@pytest.fixture
def held(client: Civitai, tmp_path: Path) -> str:
    """A workflow whose mature picture is held back."""
    with pytest.raises(CivitaiError) as caught:
        client.generate("a fox [sandbox:mature]", out=tmp_path, allow_mature_content=False, **SIZE)
    return str(caught.value.result.id)


def book(client: Civitai) -> Ledger:
    assert client.ledger is not None
    return client.ledger


def test_a_purchase_of_the_same_day_is_counted_once(
    client: Civitai, held: str, box: Sandbox
) -> None:
    price = net_charged(box)
    book(client).keep_setting("budget", str(price))  # no room for a second one
    client.release(held)
    assert net_charged(box) == book(client).used_buzz(DAY) == price > 0
    [run] = book(client).history()
    assert (run["workflow"], run["cost"]) == (held, price)


def test_what_was_bought_before_the_period_is_counted_when_it_is_released(
    client: Civitai, held: str, box: Sandbox
) -> None:
    price = net_charged(box)
    ledger = client.ledger = Ledger(book(client).path, clock=lambda: time.time() + 2 * 86400)
    assert ledger.used_buzz(DAY) == 0
    ledger.keep_setting("budget", str(price - 1))
    with pytest.raises(BudgetUsedUp):
        client.release(held)
    assert ledger.used_buzz(DAY) == 0

    ledger.keep_setting("budget", str(price))
    client.release(held)
    assert ledger.used_buzz(DAY) == net_charged(box) == price


def test_what_was_bought_elsewhere_is_counted_when_it_is_released(
    client: Civitai, held: str, box: Sandbox, tmp_path: Path
) -> None:
    price = net_charged(box)
    with Civitai(sandbox=box, retry=RETRY, home=tmp_path / "other") as other:
        book(other).keep_setting("budget", str(price - 1))
        with pytest.raises(BudgetUsedUp):
            other.release(held)
        assert book(other).history() == []

        book(other).keep_setting("budget", str(price))
        other.release(held)
        [run] = book(other).history()
        assert (run["purpose"], run["workflow"], run["cost"]) == ("release", held, price)
        assert (book(other).used_buzz(DAY), book(other).unfinished()) == (price, [])
        assert len(other.download(held, tmp_path / "pictures").paths) == 1
        assert book(other).history()[0]["pictures"] == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_what_the_service_refuses_is_not_counted(
    elsewhere: bool, client: Civitai, held: str, box: Sandbox, tmp_path: Path
) -> None:
    home = tmp_path / ("other" if elsewhere else "home")
    box.script(Fault("cancel", "status", status=403))
    with Civitai(sandbox=box, retry=RETRY, home=home) as other:
        before = book(other).history()
        with pytest.raises(CivitaiError) as refused:
            other.release(held)
        assert (refused.value.spent, book(other).history()) == ("no", before)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_refused_release_takes_nothing_of_another_one_away(
    elsewhere: bool, client: Civitai, held: str, box: Sandbox, tmp_path: Path
) -> None:
    home = tmp_path / ("other" if elsewhere else "home")
    with Civitai(sandbox=box, retry=RETRY, home=home) as other:
        ledger = other.ledger = Ledger(book(other).path, clock=lambda: time.time() + 2 * 86400)
        held_run = Run("release-x", "x", "release", b"", 1, net_charged(box), workflow=held)
        first = ledger.renew(held_run, None)
        other.release(held)
        ledger.put_back(held_run, first)
        assert ledger.used_buzz(DAY) == net_charged(box)


def test_a_release_whose_answer_was_lost_is_counted(
    client: Civitai, held: str, box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("cancel", "reset", committed=True, times=None))
    with Civitai(sandbox=box, retry=RETRY, home=tmp_path / "other") as other:
        with pytest.raises(CivitaiError) as lost:
            other.release(held)
        assert (lost.value.spent, book(other).used_buzz(DAY)) == ("unknown", net_charged(box))


@pytest.mark.parametrize("told", ["nothing", "a page"])
def test_a_release_that_no_look_shows_is_not_said_to_be_done(
    client: Civitai, held: str, box: Sandbox, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    answer = (
        httpx.Response(204)
        if told == "nothing"
        else httpx.Response(200, text="<html>sign in", headers={"Content-Type": "text/html"})
    )
    real = Sandbox.handle

    def handle(self: Sandbox, request: httpx.Request) -> Any:
        return answer if request.method == "PUT" else (yield from real(self, request))

    monkeypatch.setattr(Sandbox, "handle", handle)
    with pytest.raises(CivitaiError) as ended:
        client.release(held)
    assert ended.value.spent == "unknown"
    assert Look(held) in ended.value.next
    monkeypatch.setattr(Sandbox, "handle", real)
    assert client.get(held).allow_mature_content is False
    assert client.release(held).allow_mature_content is True
    assert net_charged(box) == book(client).used_buzz(DAY)
