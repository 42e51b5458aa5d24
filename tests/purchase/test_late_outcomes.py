"""What is learned later counts: ends that free a budget, limits that hold when going on."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import (
    BadRequest,
    Civitai,
    CivitaiError,
    OverBudget,
    RequestInvalid,
    StillRunning,
)
from civitai_skill.client.functions import get_image
from civitai_skill.errors import BudgetUsedUp, ConfigError, WorkflowFailed
from civitai_skill.errors.next_steps import Look
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.purchase.events import Submitting
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.ledger import client, file_of, left_by_a_dead_process, run
from tests.support.sandbox import KLEIN, net_charged

DAY = Budget(3, 86400.0, "day")


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05)


def never_sent(buyer: Civitai, out: Path, **asked: Any) -> None:
    """A purchase that was written down and killed before its first byte left."""

    def kill(event: Any) -> None:
        if isinstance(event, Submitting):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        buyer.generate("a fox", out=out, tell=kill, **asked)
    assert buyer.ledger is not None
    left_by_a_dead_process(buyer.ledger)


# -- ends --------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["get", "wait", "get_image", "download"])
def test_a_failure_that_is_learned_later_frees_the_budget(
    box: Sandbox, tmp_path: Path, how: str
) -> None:
    with client(box, tmp_path) as buyer:
        workflow = buyer.submit("a fox [sandbox:failed]")
        assert buyer.ledger is not None
        assert buyer.ledger.used_buzz(DAY) == 3
        time.sleep(0.3)
        if how == "get":
            buyer.get(workflow.id or "")
        elif how == "wait":
            buyer.wait(workflow.id or "", timeout=5)
        else:
            look = buyer.download if how == "download" else partial(get_image, client=buyer)
            with pytest.raises(WorkflowFailed):
                look(workflow.id or "", out=tmp_path)
        (row,) = buyer.ledger.history()

        assert (row["status"], row["state"], row["cost"]) == ("failed", "closed", 0)
        assert buyer.ledger.used_buzz(DAY) == 0
        assert [r.key for r in buyer.ledger.failed()] == [row["key"]]


def test_a_refund_that_comes_after_the_end_frees_the_budget(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        workflow = buyer.submit("a fox [sandbox:failed]")
        buyer.wait(workflow, timeout=5)
        assert buyer.ledger is not None
        (row,) = buyer.ledger.history()
        buyer.ledger.record_finished(row["key"], "failed", 3, "it was not back yet")
        assert buyer.ledger.used_buzz(DAY) == 3
        buyer.get(workflow.id or "")
        assert buyer.ledger.used_buzz(DAY) == 0


def test_a_ledger_that_fails_after_the_purchase_does_not_hide_it(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*told: object) -> None:
        raise ConfigError("The disk is full.")

    with client(box, tmp_path) as buyer:
        never_sent(buyer, tmp_path)
        assert buyer.ledger is not None
        (left,) = buyer.ledger.unfinished()
        monkeypatch.setattr(buyer.ledger, "record_submitted", full)
        assert buyer.settle(left.key).id
    assert net_charged(box) == 3


def test_a_cancel_frees_the_budget_and_the_request(box: Sandbox, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"out": tmp_path, "timeout": 0.1, "purpose": "tools"}
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning) as running:
            buyer.generate("a fox [sandbox:slow=30]", **asked)
        buyer.cancel(running.value.workflow_id or "")
        assert buyer.ledger is not None
        assert buyer.ledger.used_buzz(DAY) == 0
        with pytest.raises(StillRunning) as second:
            buyer.generate("a fox [sandbox:slow=30]", **asked)

    assert second.value.workflow_id != running.value.workflow_id


def test_a_cancel_that_was_taken_says_so_though_nobody_tells_what_came_back(
    box: Sandbox, tmp_path: Path
) -> None:
    with client(box, tmp_path) as buyer:
        bought = buyer.submit("a fox [sandbox:slow=30]").id or ""
        box.script(Fault("get", "status", status=500, skip=1, times=None))
        with pytest.raises(CivitaiError, match="The cancel was taken") as told:
            buyer.cancel(bought)
    assert (told.value.spent, net_charged(box)) == ("unknown", 0)
    assert told.value.next == (Look(bought),)


def test_pictures_of_a_finishing_step_do_not_stand_in_for_missing_ones(
    box: Sandbox, tmp_path: Path
) -> None:
    made = {**KLEIN, "prompt": "a fox [sandbox:partial]", "quantity": 2}
    output = {"format": "png", "hideMetadata": False}
    converted = {"image": "https://example.com/a.png", "output": output}
    steps = [
        {"$type": "imageGen", "input": made},
        {"$type": "convertImage", "input": converted},
    ]
    with client(box, tmp_path) as buyer, pytest.raises(WorkflowFailed, match="2 of 3") as short:
        buyer.generate(WorkflowBody({"steps": steps}), out=tmp_path / "out")
    assert len(short.value.result.paths) == 2


def test_a_purse_gets_back_what_a_submitted_purchase_did_not_keep(tmp_path: Path) -> None:
    purse = SessionLedger(tmp_path / "ledger.sqlite3", 3)
    purse.begin(run("k"), again=True, budget=None)
    purse.record_submitted("k", "w", 3)
    purse.close_run("k")
    assert purse.spent == 3
    purse.record_finished("k", "failed", 0, None)
    assert purse.spent == 0


# -- going on ----------------------------------------------------------------------------
def test_what_was_never_sent_is_held_against_todays_limit(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path) as buyer:
        never_sent(buyer, tmp_path)
        with pytest.raises(OverBudget, match="limit is 1"):
            buyer.generate("a fox", out=tmp_path, max_buzz=1)
        assert net_charged(box) == 0
        assert buyer.generate("a fox", out=tmp_path).resumed


def test_what_was_never_sent_counts_in_the_period_in_which_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    old = Ledger(path, clock=lambda: time.time() - 2 * 86400)
    for key in ("a", "b"):
        old.begin(run(key, identity=f"r1:{key}"), again=True, budget=None)
    ledger = Ledger(path)
    ledger.take_up("a", DAY)
    assert ledger.used_buzz(DAY) == 3
    with pytest.raises(BudgetUsedUp):
        ledger.take_up("b", DAY)
    ledger.record_submitted("b", "w", 3)
    ledger.take_up("b", DAY)
    assert ledger.used_buzz(DAY) == 3, "what was sent is paid already"


def test_the_same_folder_spelled_otherwise_is_the_same(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with client(box, tmp_path) as buyer:
        never_sent(buyer, tmp_path / "out")
        made = buyer.generate("a fox", out=tmp_path / "link" / ".." / "out")

    assert (made.resumed, net_charged(box)) == (True, 3)


def test_a_key_that_another_request_took_meanwhile_is_refused(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(box, tmp_path) as buyer:
        buyer.submit("a fox", external_id="mine")
        # Both asked before either was written down.
        monkeypatch.setattr(Ledger, "run", lambda ledger, key: None)
        with pytest.raises(RequestInvalid, match="another request"):
            buyer.submit("an owl", external_id="mine")

    assert net_charged(box) == 3


def test_a_prompt_that_is_refused_when_going_on_is_not_sent_again(
    box: Sandbox, tmp_path: Path
) -> None:
    with client(box, tmp_path) as buyer:
        never_sent(buyer, tmp_path)
        assert buyer.ledger is not None
        (left,) = buyer.ledger.unfinished()
        refused = replace(left, body=left.body.replace(b"a fox", b"a fox [sandbox:refused]"))
        with file_of(buyer.ledger.path) as db:
            db.execute("UPDATE runs SET body = ?", (refused.body,))
        with pytest.raises(BadRequest):
            buyer.resume(refused)

        assert buyer.ledger.unfinished() == []
