"""What a batch may spend: asked first, let in in order, counted as soon as it is charged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from civitai_skill import OverBudget, run_batch
from civitai_skill.adapters.cli import main
from civitai_skill.batch.plan import plan_rows
from civitai_skill.batch.report import BatchPlan, Report, Surprise
from civitai_skill.batch.rows import read_values
from civitai_skill.batch.spending import Spending
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.state import money
from civitai_skill.sandbox.workflows import responses, submit
from tests.support.ledger import client
from tests.support.sandbox import net_charged, submits

Run = Callable[..., Report]
Say = Callable[[Callable[[dict[str, Any]], int | None]], None]


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.02, balance={"blue": 100_000})


@pytest.fixture
def run(box: Sandbox, tmp_path: Path) -> Run:
    def one(given: Any, budget: str | None = None, **more: Any) -> Report:
        with client(box, tmp_path / "home") as buyer:
            assert buyer.ledger is not None
            buyer.ledger.keep_setting("budget", budget)
            return run_batch(given, client=buyer, out=tmp_path / "out", name="many", **more)

    return one


@pytest.fixture
def charge(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Lets the service ask and charge what it is told for a record; None: what is documented."""
    known = money.price

    def say(price: Callable[[dict[str, Any]], int | None]) -> None:
        def priced(record: dict[str, Any]) -> int:
            other = price(record)
            return known(record) if other is None else other

        monkeypatch.setattr(money, "price", priced)

    return say


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that the service was asked the price of."""
    seen: list[str] = []
    pay = submit._pay

    def noted(context: Any, account: Any, record: Any, template: Any) -> None:
        if record["whatif"]:
            seen.append(template.given["steps"][0]["input"]["prompt"])
        pay(context, account, record, template)

    monkeypatch.setattr(submit, "_pay", noted)
    return seen


def rows(number: int, **more: Any) -> list[dict[str, Any]]:
    """So many rows of 3 Buzz."""
    return [{"prompt": f"fox {i}", **more} for i in range(number)]


# -- what is charged -------------------------------------------------------------------------------
def test_a_charge_above_the_limit_is_canceled_and_stops_the_batch_at_once(
    run: Run, box: Sandbox, charge: Say
) -> None:
    charge(lambda record: None if record["whatif"] else 200)
    events: list[Any] = []
    given = [{"prompt": "fox [sandbox:slow=9]"}, *rows(29)]
    report = run(given, max_buzz=100, tell=events.append)

    assert (net_charged(box), submits(box)) == (0, 1)
    assert report.statuses == {"canceled": 1, "unsent": 29}
    error = report.results[0].error or {}
    assert (error["code"], error["exit_code"], error["spent"]) == ("over_budget", 4, "yes")
    assert "charged 200 Buzz" in error["message"]
    assert report.results[29].reason == "not sent: the batch was stopped at row 1"
    assert [e for e in events if isinstance(e, Surprise)] == [Surprise(1, 3, 200)]
    assert report.as_dict()["warnings"] == ["Row 1 was charged 200 Buzz where 3 were expected."]


def test_what_was_delivered_at_a_charge_above_the_limit_is_brought_home(
    run: Run, box: Sandbox, charge: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(lambda record: None if record["whatif"] else 200)
    box.script(Fault("cancel", "status", status=409, times=None))
    report = run(rows(30), max_buzz=100)
    assert (net_charged(box), submits(box)) == (200, 1)
    assert report.statuses in ({"succeeded": 1, "unsent": 29}, {"unfinished": 1, "unsent": 29})
    assert (report.over_limit, (report.results[0].error or {})["exit_code"]) == (True, 4)
    assert run(rows(30)[:1]).good


def test_a_charge_that_was_not_expected_is_expected_of_the_rows_that_follow(
    run: Run, box: Sandbox, charge: Say
) -> None:
    charge(
        lambda record: (
            None if record["whatif"] else 200 * int(record["steps"][0]["input"]["quantity"])
        )
    )
    given = [{"prompt": "an owl"}, *rows(4, quantity=2)]
    report = run(given, max_buzz=1000)

    assert net_charged(box) == 1000, "200 and twice 400, not 12 each"
    assert [r.status for r in report.results] == ["succeeded"] * 3 + ["refused", "unsent"]
    assert not report.over_limit


def test_a_price_that_rises_in_the_middle_stops_what_is_not_sent_yet(
    run: Run, box: Sandbox, charge: Say
) -> None:
    sent: set[str] = set()

    def price(record: dict[str, Any]) -> int:
        sent.update(() if record["whatif"] else (record["id"],))
        return 3 if len(sent) <= 5 else 200

    charge(price)
    report = run(rows(30), max_buzz=100, in_flight=3)

    assert report.results[4].status == "succeeded"
    assert net_charged(box) <= 5 * 3 + 3 * 200, "what was in flight, no more"
    assert report.statuses["unsent"] >= 20


def test_what_is_let_in_already_is_not_sent_after_a_charge_above_the_limit(
    run: Run, box: Sandbox, charge: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Ledger.begin

    def slow(ledger: Ledger, run: Any, **more: Any) -> Any:
        time.sleep(1.0 if run.engine == "sdxl" else 0.0)
        return begin(ledger, run, **more)

    monkeypatch.setattr(Ledger, "begin", slow)
    charge(lambda record: None if record["whatif"] else 200)
    given = [{"prompt": "fox [sandbox:slow=9]"}, {"prompt": "owl", "engine": "sdxl"}]
    assert run(given, max_buzz=100).statuses == {"canceled": 1, "unsent": 1}
    assert submits(box) == 1
    assert run(given[1:], dry_run=True).plan.new == 1, "nothing is reserved for it"


def test_a_row_whose_submit_failed_shows_no_price_and_holds_up_no_other(
    run: Run, box: Sandbox, charge: Say
) -> None:
    charge(lambda record: None if record["whatif"] else 200)
    box.script(Fault("submit", "status", status=400, times=1))
    given = [{"prompt": f"fox {i} [sandbox:slow=9]"} for i in range(10)]
    report = run(given, max_buzz=100)
    assert (submits(box), report.statuses) == (2, {"canceled": 1, "refused": 1, "unsent": 8})


async def test_rows_do_not_fail_one_by_one_where_the_service_takes_none() -> None:
    spending = Spending(100, None, 0, 0, lambda event: None)
    (planned,) = plan_rows(read_values(["a"]), "many")
    under_way, beside = 0, []

    async def fail(number: int) -> None:
        nonlocal under_way
        with suppress(ZeroDivisionError):
            async with spending.admit(replace(planned, number=number)):
                beside.append(under_way)
                under_way += 1
                await anyio.sleep(0.01)
                under_way -= 1
                raise ZeroDivisionError

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(fail, number)
    assert beside == [0, 0, 0, *range(7)]


def test_what_came_back_is_free_for_other_rows(run: Run, box: Sandbox) -> None:
    box.script(Fault("submit", "fate", fate="failed", times=2))
    report = run(rows(5), "10/day", in_flight=1)
    assert report.statuses == {"failed": 2, "succeeded": 3}


def test_the_command_ends_with_4_and_tells_the_surprise_once(
    charge: Say, tmp_path: Path, clean_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    charge(lambda record: None if record["whatif"] else 200)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    words = ["batch", str(file), "--sandbox", "--out", str(tmp_path / "out"), "--max-buzz"]
    assert main([*words, "100"]) == 4
    told = capsys.readouterr()
    sums = json.loads(told.out)
    assert (sums["cost"], sums["refunded"]) == (0, 200), "it was canceled"
    assert told.err.count("civitai-skill: Row 1 was charged 200 Buzz") == 1
    file.write_text(json.dumps(rows(1)[0]))
    assert main([*words, "100", "--name", "one"]) == 4, "though nothing was left to stop"


# -- what is asked ---------------------------------------------------------------------------------
def test_the_price_is_asked_once_for_all_rows_of_a_rule(
    run: Run, box: Sandbox, asked: list[str]
) -> None:
    given = [*rows(25), *rows(10, engine="sdxl", width=64, height=64)]
    assert run(given, max_buzz=1000).good
    assert len(asked) == 2
    assert not set(asked) & {row["prompt"] for row in given}, "a price depends on no words"


def test_a_rule_that_was_confirmed_is_not_asked_again_within_a_day(
    run: Run, asked: list[str]
) -> None:
    assert run(rows(3)).good
    assert run(rows(5)).good
    assert len(asked) == 1


def test_a_price_that_is_not_documented_is_asked_once_for_each_shape(
    run: Run, asked: list[str]
) -> None:
    given = [{"prompt": f"{i}", "engine": "grok", "quantity": 1 + i % 2} for i in range(6)]
    report = run(given, max_buzz=10_000, dry_run=True)
    assert (len(asked), report.plan.unpriced) == (2, 0)


def test_a_rule_that_the_service_does_not_follow_is_asked_for_by_shape_before_buying(
    run: Run, box: Sandbox, charge: Say, asked: list[str]
) -> None:
    charge(lambda record: 200 if record["steps"][0]["input"]["quantity"] == 2 else 100)
    given = [*rows(10), *rows(10, quantity=2)]
    with pytest.raises(OverBudget) as refused:
        run(given, max_buzz=2999)
    assert (refused.value.price, len(asked), submits(box)) == (3000, 3, 0)
    assert run(given, max_buzz=3000).good


def test_a_service_that_tells_no_price_is_believed_as_documented(run: Run, box: Sandbox) -> None:
    box.script(Fault("whatif", "status", status=503, times=None))
    assert run(rows(3)).good


def test_a_dry_run_asks_nothing_of_cheap_rows(run: Run, asked: list[str]) -> None:
    assert run(rows(3), dry_run=True).plan.price == 9
    assert asked == []


# -- what is left ----------------------------------------------------------------------------------
def test_a_dry_run_compares_with_the_limit_and_what_is_left_of_the_budget(run: Run) -> None:
    run(rows(2), "100/day")
    given = [{"prompt": f"owl {i}"} for i in range(32)]
    report = run(given, "100/day", dry_run=True, max_buzz=95)
    assert (report.plan.price, report.plan.limit, report.plan.budget_left) == (96, 95, 94)
    limit, budget = report.plan.warnings
    assert limit == "32 rows cost up to 96 Buzz together; the limit is 95."
    assert "the budget of 100 Buzz per day has 94 left" in budget
    assert run(given[:31], "100/day", dry_run=True).plan.warnings == ()


def test_what_a_batch_has_reserved_before_does_not_count_twice(run: Run, box: Sandbox) -> None:
    box.script(Fault("submit", "reset", times=9))
    assert run(rows(3), "10/day").statuses == {"unfinished": 3}
    box.clear()
    assert run(rows(3), "10/day", dry_run=True).plan.budget_left == 10
    assert run(rows(3), "10/day").good


def test_rows_are_bought_in_order_until_the_budget_is_used_up(run: Run) -> None:
    report = run(rows(30), "10/day", in_flight=30)
    assert [r.status for r in report.results] == ["succeeded"] * 3 + ["refused"] + ["unsent"] * 26


@pytest.mark.parametrize(
    ("limit", "budget", "bought"), [(10, None, 3), (300, "10/day", 3), (2, None, 0), (90, None, 30)]
)
def test_as_many_rows_as_fit_are_bought_in_order(
    run: Run, box: Sandbox, limit: int, budget: str | None, bought: int
) -> None:
    report = run(rows(30), budget, max_buzz=limit, as_many_as_fit=True)
    assert [r.status for r in report.results] == ["succeeded"] * bought + ["unsent"] * (30 - bought)
    assert (report.plan.new, report.plan.left_out) == (bought, 30 - bought)
    assert (net_charged(box), report.plan.price) == (3 * bought, 3 * bought)
    if bought < 30:
        assert report.results[-1].reason == "not sent: it does not fit into what is left"
    assert run(rows(30)).good


def test_what_does_not_fit_is_told_before_anything_is_bought(run: Run, box: Sandbox) -> None:
    plans: list[Any] = []
    run(rows(30), max_buzz=10, as_many_as_fit=True, dry_run=True, tell=plans.append)
    (plan,) = plans
    assert isinstance(plan, BatchPlan)
    assert str(plan).endswith("3 to buy for at most 9 Buzz, 27 left out, which do not fit")
    assert (plan.warnings, net_charged(box)) == ((), 0)


def test_a_refused_whole_says_that_a_part_may_be_bought(run: Run) -> None:
    with pytest.raises(OverBudget) as refused:
        run(rows(30), max_buzz=10)
    assert "as_many_as_fit=True" in refused.value.hint


def test_the_command_for_as_many_as_fit_ends_well(
    tmp_path: Path, clean_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(5)))
    words = ["batch", str(file), "--sandbox", "--out", str(tmp_path / "out"), "--max-buzz", "10"]
    assert main(words) == 4
    capsys.readouterr()
    assert main([*words, "--as-many-as-fit"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["statuses"], told["left_out"]) == ({"succeeded": 3, "unsent": 2}, 2)


@pytest.mark.parametrize("first", [{}, {"timeout": 0.0}], ids=["at once", "gone on with"])
def test_no_more_pictures_are_saved_than_were_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any]
) -> None:
    render = responses.render_workflow

    def generous(*given: Any, **more: Any) -> Any:
        body = render(*given, **more)
        for step in body["steps"]:
            output = step.get("output") or {}
            output["images"] = (output.get("images") or []) * 20
        return body

    monkeypatch.setattr(responses, "render_workflow", generous)
    run(rows(1, quantity=2), **first)
    (result,) = run(rows(1, quantity=2)).results
    assert (result.status, len(result.pictures)) == ("succeeded", 2)
    assert len(list((tmp_path / "out").glob("*.jpeg"))) == 2
