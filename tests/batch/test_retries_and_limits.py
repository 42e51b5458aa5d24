"""What a batch and a second try hold to: the pace, prices, limits, and words that are true."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from civitai_skill import Civitai, OverBudget, RequestInvalid, run_batch, run_sweep
from civitai_skill.api.drivers import adrive
from civitai_skill.api.service import Flow
from civitai_skill.batch.limiter import AdaptiveLimiter, ThrottledClient
from civitai_skill.batch.report import Report
from civitai_skill.errors import CivitaiError, ConfigError, Unauthorized, WorkflowFailed
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.purchase.events import Quoted, Submitted
from civitai_skill.purchase.identity import attempt_of, first_attempt
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.steps import price
from civitai_skill.storage.files import remove_stale
from tests.support.ledger import client, left_by_a_dead_process
from tests.support.sandbox import net_charged

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
DEAR: dict[str, Any] = {"prompt": "a", "engine": "flux2", "variant": "dev", "quantity": 4}


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.02)


def made(box: Sandbox, tmp_path: Path, rows: Any, **more: Any) -> Report:
    with client(box, tmp_path / "home") as buyer:
        return run_batch(rows, client=buyer, **{"out": tmp_path / "out", "name": "many", **more})


def rows(*prompts: str) -> list[dict[str, Any]]:
    return [{"prompt": prompt, **SIZE} for prompt in prompts]


def priced_otherwise(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    """The service asks so much more than is documented, or less."""
    known = price.price_of

    def other(*given: Any) -> Any:
        price = known(*given)
        return replace(price, buzz=price.buzz + more)

    monkeypatch.setattr(price, "price_of", other)


# -- the pace --------------------------------------------------------------------------------------
async def test_a_request_that_waits_for_its_turn_is_not_late() -> None:
    def flow() -> Flow[httpx.Response]:
        request = httpx.Request("GET", "http://x/", extensions={"seconds": 0.2, "limit": 99})
        return (yield request)

    async def answered(request: httpx.Request) -> httpx.Response:
        await anyio.sleep(0.05)
        return httpx.Response(200, content=b"ok")

    tempo = AdaptiveLimiter(1)
    found = []

    async def one() -> None:
        found.append((await adrive(flow(), http)).status_code)

    async with (
        ThrottledClient(tempo, transport=httpx.MockTransport(answered)) as http,
        anyio.create_task_group() as group,
    ):
        for _ in range(10):
            group.start_soon(one)
    assert found == [200] * 10


async def test_an_answer_that_does_not_end_is_still_given_up() -> None:
    def flow() -> Flow[httpx.Response]:
        return (yield httpx.Request("GET", "http://x/", extensions={"seconds": 0.1, "limit": 99}))

    async def never(request: httpx.Request) -> httpx.Response:
        await anyio.sleep(60)
        raise AssertionError

    began = time.monotonic()
    async with ThrottledClient(AdaptiveLimiter(1), transport=httpx.MockTransport(never)) as http:
        with pytest.raises(httpx.TransportError):
            await adrive(flow(), http)
    assert time.monotonic() - began < 30


# -- prices ----------------------------------------------------------------------------------------
def test_a_service_that_asks_less_than_is_documented_is_bought_from(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced_otherwise(monkeypatch, -20)
    assert made(box, tmp_path, [DEAR]).good


def test_a_second_try_is_priced_anew_and_tells_what_it_buys(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    with client(box, tmp_path / "home") as buyer:
        fields = {name: value for name, value in DEAR.items() if name != "prompt"}
        box.script(Fault("submit", "fate", fate="failed"))
        with pytest.raises(WorkflowFailed):
            buyer.generate("a", out=tmp_path / "out", **fields)
        assert buyer.ledger is not None
        (run,) = buyer.ledger.failed()
        priced_otherwise(monkeypatch, 7)
        with pytest.raises(OverBudget) as refused:
            buyer.resume(run, max_buzz=run.reserved)
        assert refused.value.price == run.reserved + 7
        again = buyer.resume(run, tell=events.append)
        assert len(again.paths) == 4
        assert buyer.ledger.failed() == []
    assert Quoted(run.reserved + 7, 300, teller="simulated by the sandbox") in events
    assert [e.workflow.id for e in events if isinstance(e, Submitted)] == [again.id]


def test_a_second_try_that_was_refused_bars_no_further_one(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path / "home") as buyer:
        box.script(Fault("submit", "fate", fate="failed"))
        with pytest.raises(WorkflowFailed):
            buyer.generate("a", out=tmp_path / "out", **SIZE)
        assert buyer.ledger is not None
        (run,) = buyer.ledger.failed()
        box.script(Fault("submit", "status", status=400))
        with pytest.raises(CivitaiError):
            buyer.resume(run)
        assert [one.key for one in buyer.ledger.failed()] == [run.key]
        assert buyer.resume(run).paths


def test_what_went_well_is_not_resumed(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path / "home") as buyer:
        buyer.generate("a", out=tmp_path / "out", **SIZE)
        buyer.confirm()
        assert buyer.ledger is not None
        run = buyer.ledger.run(buyer.ledger.history()[0]["key"])
        assert run is not None
        with pytest.raises(RequestInvalid, match="it succeeded"):
            buyer.resume(run)
    assert net_charged(box) == 1


# -- words that are true ---------------------------------------------------------------------------
def test_a_refusal_to_go_on_does_not_deny_the_purchase(box: Sandbox, tmp_path: Path) -> None:
    box.script(Fault("submit", "reset", committed=True, times=3))
    with client(box, tmp_path / "home") as buyer:
        with pytest.raises(CivitaiError):
            buyer.generate("a", out=tmp_path / "out", **SIZE)
        with pytest.raises(OverBudget) as refused:
            buyer.generate("a", out=tmp_path / "out", max_buzz=0, **SIZE)
    assert (refused.value.spent, net_charged(box)) == ("unknown", 1)


def test_rows_that_were_not_begun_do_not_carry_another_row_s_fate(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("submit", "reset", committed=True, times=3))
    box.script(Fault("submit", "status", status=401, times=None))
    report = made(box, tmp_path, rows("a", "b", "c", "d"), in_flight=1)
    assert [r.status for r in report.results] == ["unfinished", "unfinished", "unsent", "unsent"]
    assert (report.results[1].error or {})["code"] == Unauthorized.code
    for result in report.results[2:]:
        assert (result.error, result.cost) == (None, 0)
        assert "the batch was stopped" in (result.reason or "")


def test_a_row_cut_off_in_its_submit_is_not_said_to_be_unsent(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02)
    box.script(Fault("submit", "stall", seconds=0.5, committed=True, skip=1))

    def interrupt(event: Any) -> None:
        if hasattr(event, "under_way"):
            raise ZeroDivisionError

    with client(box, tmp_path / "home", ledger=False) as buyer, pytest.raises(ExceptionGroup):
        run_batch(rows("a", "b"), client=buyer, out=tmp_path / "out", tell=interrupt, in_flight=2)
    told = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["status"] for line in told} == {"succeeded", "unfinished"}


# -- what is said ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "field"), [({"max_buz": 0}, "max_buz"), ({"timeout": float("nan")}, "timeout")]
)
def test_settings_that_mean_nothing_are_refused(
    box: Sandbox, tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        made(box, tmp_path, rows("a"), **settings)
    assert (refused.value.field, net_charged(box)) == (field, 0)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"seeds": 3, "fields": {"seed": 5}}, "seeds"),
        ({"sets": {"a": ["b"], "engine": ["sdxl"]}, "fields": {"engine": "sd1"}}, "set engine"),
        ({"sets": {"a": ["b"], "prompt": ["c"]}}, "set prompt"),
    ],
)
def test_a_sweep_drops_nothing_that_was_said(
    tmp_path: Path, more: dict[str, Any], field: str
) -> None:
    with Civitai(sandbox=True, home=tmp_path) as buyer, pytest.raises(RequestInvalid) as refused:
        run_sweep("x {a}", **{"sets": {"a": ["b"]}, **more}, client=buyer, dry_run=True)
    assert refused.value.field == field


# -- files -----------------------------------------------------------------------------------------
def test_only_files_of_our_own_are_swept(tmp_path: Path) -> None:
    for name in (".movie.part", ".0123456789ab.part"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (0, 0))
    remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".movie.part"]


@pytest.mark.parametrize("key", ["k-a²", "k-a" + "9" * 5000])
def test_a_key_that_only_looks_like_a_later_try_is_a_first_one(key: str) -> None:
    assert (first_attempt(key), attempt_of(key)) == (key, 1)


def test_a_dead_process_s_row_is_not_denied_by_a_locked_ledger(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(box, tmp_path, rows("x [sandbox:slow=5]"), timeout=0).statuses == {"running": 1}
    left_by_a_dead_process(Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3"))

    def locked(*given: Any) -> None:
        raise ConfigError("The ledger can't be used: locked.")

    monkeypatch.setattr(Ledger, "take_up", locked)
    (row,) = made(box, tmp_path, rows("x [sandbox:slow=5]")).results
    assert (row.status, (row.error or {})["spent"]) == ("unfinished", "yes")
