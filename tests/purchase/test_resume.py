"""What was left open is taken up, and never bought twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import (
    AsyncCivitai,
    BadRequest,
    Civitai,
    Forbidden,
    ImageRequest,
    NotFound,
    RequestInvalid,
    StillRunning,
    TransportFailed,
    build_workflow,
)
from civitai_skill.adapters.cli import main
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import MIGRATIONS
from civitai_skill.purchase.events import Resumed, Submitted, Submitting
from civitai_skill.purchase.identity import next_attempt
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.storage.sqlite import Storage
from tests.support.ledger import RETRY, client, left_by_a_dead_process, run
from tests.support.sandbox import net_charged


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "home" / "ledger.sqlite3")


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05)


Over = Callable[[Civitai], None]


@pytest.fixture(params=["its process died", "its call is over"])
def over(request: pytest.FixtureRequest) -> Over:
    """What became of whoever began a purchase."""

    def dead(buyer: Civitai) -> None:
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)

    return dead if request.param == "its process died" else lambda buyer: None


def test_a_lost_answer_is_taken_up_by_the_same_request(
    box: Sandbox, tmp_path: Path, over: Over
) -> None:
    box.script(Fault("submit", "reset", committed=True, times=3))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox", out=tmp_path / "out")
        over(buyer)
        events: list[Any] = []
        result = buyer.generate("a fox", out=tmp_path / "out", tell=events.append)

    assert any(isinstance(e, Resumed) for e in events)
    assert (result.resumed, len(result.paths), net_charged(box)) == (True, 1, 3)
    assert result.as_dict()["resumed"] is True


def test_a_run_that_gave_up_waiting_is_taken_up(box: Sandbox, tmp_path: Path, over: Over) -> None:
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as caught:
            buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=0.1)
        over(buyer)
        result = buyer.generate("a fox [sandbox:slow=1]", out=tmp_path / "out", timeout=10)

    assert result.id == caught.value.workflow_id
    assert (result.resumed, net_charged(box)) == (True, 3)


def test_a_broken_download_is_taken_up_and_only_what_is_missing_is_fetched(
    box: Sandbox, tmp_path: Path, over: Over
) -> None:
    box.script(Fault("blob", "short", skip=1, times=None))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox", quantity=2, out=tmp_path / "out")
        box.clear()
        first = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
        over(buyer)
        result = buyer.generate("a fox", quantity=2, out=tmp_path / "out")

    assert (len(first), len(result.paths), net_charged(box)) == (1, 2, 5)
    assert all(p.stat().st_mtime_ns == when for p, when in first.items())
    assert [p.width for p in result.pictures] == [1024, 1024]


@pytest.mark.parametrize("moment", [Submitting, Submitted])
def test_an_interrupted_call_is_taken_up(
    box: Sandbox, tmp_path: Path, over: Over, moment: type
) -> None:
    def interrupt(event: Any) -> None:
        if isinstance(event, moment):
            raise KeyboardInterrupt

    with client(box, tmp_path) as buyer:
        with pytest.raises(KeyboardInterrupt):
            buyer.generate("a fox", out=tmp_path / "out", tell=interrupt)
        over(buyer)
        assert buyer.ledger is not None
        assert len(buyer.ledger.unfinished()) == 1
        result = buyer.generate("a fox", out=tmp_path / "out")

    assert (result.resumed, len(result.paths), net_charged(box)) == (True, 1, 3)


async def test_a_canceled_task_leaves_its_purchase_to_the_next(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("submit", "stall", committed=True, seconds=30.0, times=1))
    async with AsyncCivitai(sandbox=box, home=tmp_path, retry=RETRY) as buyer:
        sent = asyncio.Event()

        def tell(event: Any) -> None:
            if isinstance(event, Submitting):
                sent.set()

        first = asyncio.ensure_future(buyer.generate("a fox", out=tmp_path / "out", tell=tell))
        await sent.wait()
        await asyncio.sleep(0.1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        result = await buyer.generate("a fox", out=tmp_path / "out")

    assert (result.resumed, len(result.paths), net_charged(box)) == (True, 1, 3)


def test_a_body_of_ones_own_whose_answer_was_lost_is_taken_up(
    box: Sandbox, tmp_path: Path, over: Over
) -> None:
    body = build_workflow(ImageRequest(prompt="a fox", seed=7))
    box.script(Fault("submit", "reset", committed=True, times=3))
    with client(box, tmp_path) as buyer:
        with pytest.raises(TransportFailed) as lost:
            buyer.submit(WorkflowBody(body))
        over(buyer)
        assert buyer.submit(WorkflowBody(body)).id

    assert lost.value.resumable
    assert (box.accounts()[0]["workflows"], net_charged(box)) == (1, 3)


def test_a_moderated_prompt_is_not_sent_again_to_learn_what_became_of_it(
    box: Sandbox, tmp_path: Path
) -> None:
    with client(box, tmp_path) as buyer:
        buyer.generate("a hare", out=tmp_path)  # from now on its price is known
        box.script(Fault("submit", "reset", times=1))
        with pytest.raises(BadRequest) as refused:
            buyer.generate("a fox [sandbox:refused]", out=tmp_path)
        assert buyer.ledger is not None
        left_by_a_dead_process(buyer.ledger)
        row = buyer.ledger.history()[0]

        assert buyer.ledger.unfinished() == buyer.ledger.failed() == []
    assert refused.value.spent == "unknown"
    assert (row["state"], row["status"]) == ("closed", "blocked")


def test_a_finished_run_is_simply_bought_again(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        first = buyer.generate("a fox", out=tmp_path / "out")
        second = buyer.generate("a fox", out=tmp_path / "out")

    assert (first.id != second.id, second.resumed, net_charged(box)) == (True, False, 6)


def test_again_buys_anew_whatever_is_open(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        for _ in range(2):
            with pytest.raises(StillRunning):
                buyer.generate("a fox [sandbox:stuck]", out=tmp_path, timeout=0.1, again=True)
            assert buyer.ledger is not None
            left_by_a_dead_process(buyer.ledger)

    assert net_charged(box) == 6


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

    assert ledger.look_up("r1:a")[0] is not None
    assert later.look_up("r1:a")[0] is None


def test_a_clock_that_jumps_back_still_finds_the_open_run(ledger: Ledger) -> None:
    ledger.begin(run("k"), again=False, budget=None)
    earlier = Ledger(ledger.path, clock=lambda: time.time() - 9000)

    assert earlier.look_up("r1:a")[0] is not None


def test_one_key_is_for_one_request(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        first = buyer.generate("a fox", external_id="order-7", out=tmp_path / "out")
        same = buyer.generate("a fox", external_id="order-7", out=tmp_path / "out")
        with pytest.raises(RequestInvalid, match="used for another request"):
            buyer.generate("an owl", external_id="order-7", out=tmp_path / "out")

    assert (same.id, same.resumed, net_charged(box)) == (first.id, True, 3)


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
    assert (len(result.paths), net_charged(box)) == (1, 3)


def test_attempts_are_counted_on() -> None:
    assert [next_attempt(k) for k in ("cs-1", "cs-1-a2", "cs-1-a9", "cs-a-ax")] == [
        "cs-1-a2",
        "cs-1-a3",
        "cs-1-a10",
        "cs-a-ax-a2",
    ]


def test_a_run_whose_workflow_the_service_does_not_know_is_not_made_a_second_time(
    box: Sandbox, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"out": tmp_path / "out", "timeout": 10}
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning):
            buyer.generate("a fox [sandbox:slow=1]", **{**asked, "timeout": 0.1})
        box.script(Fault("get", "status", status=404))
        with pytest.raises(NotFound, match="does not know workflow") as unknown:
            buyer.generate("a fox [sandbox:slow=1]", **asked)
        result = buyer.generate("a fox [sandbox:slow=1]", **asked)

    assert "Nothing was bought now" in unknown.value.hint
    assert (result.resumed, len(result.paths), net_charged(box)) == (True, 1, 3)


def test_an_old_run_that_the_service_forgot_is_closed(ledger: Ledger) -> None:
    ledger.begin(run("young"), again=True, budget=None)
    old = Ledger(ledger.path, clock=lambda: time.time() - 31 * 86400)
    old.begin(run("old"), again=True, budget=None)
    for key in ("young", "old"):
        ledger.record_missing(key)

    assert [r["state"] for r in ledger.history()] == ["open", "closed"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_run_of_another_account_is_never_made_with_this_one(
    box: Sandbox, tmp_path: Path, answered: bool
) -> None:
    fault = Fault("get", "reset", times=None) if answered else Fault("submit", "reset", times=3)
    box.script(fault)
    with Civitai("first", sandbox=box, home=tmp_path, retry=RETRY) as buyer:
        with pytest.raises(TransportFailed):
            buyer.generate("a fox [sandbox:slow=1]", out=tmp_path)
        assert buyer.ledger is not None
        (left,) = buyer.ledger.unfinished()
    box.clear()
    paid = net_charged(box)
    with Civitai("second", sandbox=box, home=tmp_path, retry=RETRY) as other:
        with pytest.raises(NotFound if answered else RequestInvalid):
            other.resume(left)
        if not answered:
            with pytest.raises(RequestInvalid, match="another key"):
                other.settle(left.key)

    assert net_charged(box) == paid


def test_resume_leaves_alone_what_another_key_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIVITAI_SKILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CIVITAI_API_KEY", "first")
    words = ["generate", "a fox [sandbox:slow=1]", "--timeout", "0", "--out", str(tmp_path)]
    assert main([*words, "--sandbox"]) == StillRunning.exit_code
    id = json.loads(capsys.readouterr().out)["id"]

    monkeypatch.setenv("CIVITAI_API_KEY", "second")
    assert main(["resume", "--sandbox"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "resumed": [],
        "left_alone": [id],
        "unfetched": [],
        "sandbox": True,
    }
    monkeypatch.setenv("CIVITAI_API_KEY", "first")
    assert main(["resume", "--sandbox"]) == 0
    assert [r["id"] for r in json.loads(capsys.readouterr().out)["resumed"]] == [id]


def test_what_the_service_refused_can_not_be_settled(box: Sandbox, tmp_path: Path) -> None:
    box.script(Fault("submit", "status", status=403))
    with client(box, tmp_path) as buyer:
        with pytest.raises(Forbidden):
            buyer.generate("a fox", external_id="mine", out=tmp_path)
        with pytest.raises(RequestInvalid, match="whose fate is open"):
            buyer.settle("mine")

    assert net_charged(box) == 0


def test_a_ledger_of_an_earlier_form_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Storage(path, MIGRATIONS[:1]).transaction() as db:
        db.execute(
            "INSERT INTO runs (key, identity, purpose, body, wanted, reserved, owner, created)"
            " VALUES ('k', 'r1:a', 'python', x'7b7d', 1, 3, 'gone', 0)"
        )
    (left,) = Ledger(path).unfinished()

    assert (left.key, left.account) == ("k", "")
