"""Ends of a batch that are hard to tell: interrupted, seen by another process, held back, gone."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, ConfigError, OverBudget, RequestInvalid, run_batch, run_sweep
from civitai_skill.batch import results
from civitai_skill.batch.report import BatchPlan, Report
from civitai_skill.batch.results import Result
from civitai_skill.errors import BudgetUsedUp
from civitai_skill.purchase.price import ASK_ABOVE
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.steps import price
from tests.support.ledger import client, file_of
from tests.support.sandbox import net_charged

SIZE = {"engine": "sdxl", "width": 64, "height": 64}


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.02)


def made(
    box: Sandbox, tmp_path: Path, rows: Any, *, home: str = "home", buyer: Any = None, **more: Any
) -> Report:
    settings = {"out": tmp_path / "out", "name": "many", **more}
    if buyer is not None:
        return run_batch(rows, client=buyer, **settings)
    with client(box, tmp_path / home) as buyer:
        return run_batch(rows, client=buyer, **settings)


def rows(*prompts: str, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": prompt, **SIZE, **more} for prompt in prompts]


def lines(folder: Path, name: str = "results.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def aged(home: Path) -> None:
    with file_of(home / "sandbox-ledger.sqlite3") as db:
        db.execute("UPDATE runs SET created = created - 100000")


# -- what may yet be paid --------------------------------------------------------------------------
def test_rows_that_were_perhaps_never_sent_count_at_what_was_reserved(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("submit", "reset", times=6))
    given = rows("a", "b")
    assert made(box, tmp_path, given).statuses == {"unfinished": 2}
    with pytest.raises(OverBudget) as refused:
        made(box, tmp_path, given, max_buzz=1)
    assert (refused.value.price, net_charged(box)) == (2, 0)
    plan = made(box, tmp_path, given, dry_run=True).plan
    assert (plan.new, plan.open, plan.price) == (2, 0, 2)
    assert made(box, tmp_path, given, max_buzz=2).good


def test_an_unpriced_row_that_was_perhaps_never_sent_keeps_its_share(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("whatif", "status", status=200, times=None))
    box.script(Fault("submit", "reset", times=3))
    given = [{"prompt": "a", "engine": "grok"}]
    first = made(box, tmp_path, given, max_buzz=60, allow_unpriced=True)
    assert first.statuses == {"unfinished": 1}
    with pytest.raises(OverBudget) as refused:
        made(box, tmp_path, given, max_buzz=59, allow_unpriced=True)
    assert (refused.value.price, net_charged(box)) == (60, 0)
    assert made(box, tmp_path, given, max_buzz=60, allow_unpriced=True).good


DEAR = [{"prompt": "a", "engine": "flux2", "variant": "dev", "quantity": 4}]


def dearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service asks more than is documented for what is dear."""
    known = price.price_of

    def more(*given: Any) -> Any:
        price = known(*given)
        return replace(price, buzz=price.buzz + 7) if price.buzz > ASK_ABOVE else price

    monkeypatch.setattr(price, "price_of", more)


def test_a_high_price_is_asked_of_the_service_before_the_plan_is_told(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documented = made(box, tmp_path, DEAR, home="before", dry_run=True).plan.price
    assert documented > ASK_ABOVE
    dearer(monkeypatch)
    assert made(box, tmp_path, DEAR, dry_run=True).plan.price == documented + 7
    with pytest.raises(OverBudget):
        made(box, tmp_path, DEAR, max_buzz=documented)
    assert made(box, tmp_path, DEAR, max_buzz=documented + 7).good


def test_a_price_that_rises_after_the_plan_stops_no_other_row(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dearer(monkeypatch)  # so that the documented rule is not confirmed

    def told(event: Any) -> None:
        if isinstance(event, BatchPlan):
            dearer(monkeypatch)

    given = [*DEAR, *rows("b")]
    first = made(box, tmp_path, given, tell=told, in_flight=1)
    assert [r.status for r in first.results] == ["refused", "succeeded"]
    assert "the same batch again plans anew" in (first.results[0].error or {})["hint"]
    assert made(box, tmp_path, given).good


class Cut(Exception):
    """What ends a run in the middle."""


# -- interrupted -----------------------------------------------------------------------------------
@pytest.mark.parametrize("ledger", [True, False], ids=["with a ledger", "without"])
def test_an_interrupted_run_tells_what_is_bought(tmp_path: Path, ledger: bool) -> None:
    box = Sandbox(seconds_per_job=0.02)
    given = rows("a fox", "x [sandbox:slow=5]", "y [sandbox:slow=5]")

    def interrupt(event: Any) -> None:
        if isinstance(event, Result):
            raise Cut

    more: dict[str, Any] = {} if ledger else {"ledger": False}
    with (
        client(box, tmp_path / "home", **more) as buyer,
        pytest.raises(ExceptionGroup, match="TaskGroup"),
    ):
        run_batch(given, client=buyer, out=tmp_path / "out", tell=interrupt, in_flight=2)

    first, second, third = lines(tmp_path / "out")
    assert (first["status"], first["cost"]) == ("succeeded", 1)
    assert (second["status"], second["cost"]) == ("unfinished", 1)
    with client(box, tmp_path / "home") as buyer:
        assert buyer.get(second["workflow"]).id == second["workflow"]
    assert third["status"] in ("unsent", "unfinished")


# -- other processes -------------------------------------------------------------------------------
def test_results_that_another_process_wrote_meanwhile_stay(box: Sandbox, tmp_path: Path) -> None:
    given = rows("a fox", "an owl")

    def meanwhile(event: Any) -> None:
        if isinstance(event, Result) and event.row == 1:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(made, box, tmp_path, given, home="another").result().good
            raise Cut

    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        made(box, tmp_path, given, tell=meanwhile, in_flight=1)
    assert [line["status"] for line in lines(tmp_path / "out")] == ["succeeded"] * 2


def test_a_second_try_is_found_by_a_machine_that_knows_only_the_results(
    box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("submit", "fate", fate="failed"))
    assert made(box, tmp_path, rows("a fox")).statuses == {"failed": 1}
    second = made(box, tmp_path, rows("a fox"), retry_failed=True)
    submits = box.accounts()[0]["submits"]
    third = made(box, tmp_path, rows("a fox"), home="another")

    assert third.results == second.results
    assert box.accounts()[0]["submits"] == submits


# -- held back, gone -------------------------------------------------------------------------------
def test_a_picture_that_was_held_back_comes_home_once_it_is_released(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02, balance={"blue": 100, "yellow": 100})
    given = rows("x [sandbox:mature]")
    [held] = made(box, tmp_path, given).results
    assert (held.status, held.pictures) == ("incomplete", ())
    assert made(box, tmp_path, given).results[0].status == "incomplete"
    with client(box, tmp_path / "home") as buyer:
        assert held.workflow is not None
        buyer.release(held.workflow)
    paid = net_charged(box)
    report = made(box, tmp_path, given)
    assert (report.statuses, net_charged(box)) == ({"succeeded": 1}, paid)


def test_a_workflow_that_the_service_forgot_is_told_and_may_be_bought_anew(
    box: Sandbox, tmp_path: Path
) -> None:
    given = rows("x [sandbox:slow=0.3]")
    assert made(box, tmp_path, given, timeout=0).statuses == {"running": 1}
    aged(tmp_path / "home")
    other = Sandbox(seconds_per_job=0.02)
    first = made(other, tmp_path, given)
    assert first.statuses == {"gone": 1}
    assert "retry_failed=True" in (first.results[0].error or {})["hint"]
    assert made(other, tmp_path, given).statuses == {"gone": 1}
    assert net_charged(other) == 0
    assert made(other, tmp_path, given, retry_failed=True).statuses == {"succeeded": 1}
    assert net_charged(other) == 1


@pytest.mark.parametrize("ended", ["incomplete", "succeeded"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "only in the ledger"])
def test_what_came_home_before_the_service_forgot_is_still_told(
    tmp_path: Path, ended: str, told: bool
) -> None:
    box = Sandbox(seconds_per_job=0.02)
    word = "[sandbox:partial]" if ended == "incomplete" else ""
    given = rows(f"x {word}", quantity=3)
    first = made(box, tmp_path, given).results[0]
    assert (first.status, first.cost) == (ended, net_charged(box))
    if ended == "succeeded":
        (tmp_path / "out" / first.pictures[-1].path).unlink()
    if not told:
        (tmp_path / "out" / "results.jsonl").unlink()
    aged(tmp_path / "home")
    other = Sandbox(seconds_per_job=0.02)
    [after] = made(other, tmp_path, given).results
    assert after.status == ("incomplete" if ended == "incomplete" else "gone")
    assert (after.cost, len(after.pictures)) == (first.cost, 2)
    if ended == "incomplete":  # an end of its own, which no second try follows
        assert made(other, tmp_path, given, retry_failed=True).statuses == {"incomplete": 1}
        assert net_charged(other) == 0


def test_a_young_workflow_that_is_not_found_is_not_given_up(box: Sandbox, tmp_path: Path) -> None:
    given = rows("x [sandbox:slow=0.3]")
    made(box, tmp_path, given, timeout=0)
    assert made(Sandbox(), tmp_path, given).statuses == {"unfinished": 1}
    assert made(box, tmp_path, given).statuses == {"succeeded": 1}


def test_what_came_back_is_not_guessed(box: Sandbox, tmp_path: Path) -> None:
    given = rows("x [sandbox:failed]")
    assert made(box, tmp_path, given).results[0].refunded == 1
    (tmp_path / "out" / "results.jsonl").unlink()
    report = made(box, tmp_path, given)
    assert (report.results[0].cost, report.results[0].refunded) == (0, None)
    assert report.as_dict()["refunded"] == 0


# -- what stands in the folder ---------------------------------------------------------------------
def test_files_of_somebody_else_stay(box: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text('{"mine": 1}\n')
    (out / "results.csv").write_text("mine\n1\n")
    (out / "results.1.jsonl").write_text("")
    made(box, tmp_path, rows("a fox"), table=True)

    assert (out / "results.2.jsonl").read_text() == '{"mine": 1}\n'
    assert (out / "results.1.csv").read_text() == "mine\n1\n"
    assert (out / "results.1.jsonl").read_text() == ""
    assert len(lines(out)) == 1
    with (out / "results.csv").open(newline="") as file:
        assert [cells["prompt"] for cells in csv.DictReader(file)] == ["a fox"]


def test_rows_that_were_taken_out_keep_their_results_and_may_come_back(
    box: Sandbox, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made(box, tmp_path, rows("a fox", "an owl"), table=True)
    made(box, tmp_path, rows("a fox"), table=True)
    assert [line["prompt"] for line in lines(out, "results.1.jsonl")] == ["a fox", "an owl"]
    assert (out / "results.1.csv").exists()
    submits = box.accounts()[0]["submits"]
    again = made(box, tmp_path, rows("a fox", "an owl"), home="another")

    assert (again.good, box.accounts()[0]["submits"]) == (True, submits)
    assert not (out / "results.1.jsonl").exists()


@pytest.mark.parametrize("name", ["results.jsonl", "results.csv"])
def test_rows_are_not_read_from_where_the_results_go(
    box: Sandbox, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"prompt": "a fox"}\n' if name.endswith("l") else "prompt\na fox\n")
    before = (out / name).read_bytes()
    with pytest.raises(RequestInvalid, match="the results of the batch are written there"):
        made(box, tmp_path, out / name)
    assert ((out / name).read_bytes(), net_charged(box)) == (before, 0)


def test_a_folder_in_the_place_of_the_results_is_told_before_anything_is_bought(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "out" / "results.jsonl").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is a folder"):
        made(box, tmp_path, rows("a fox"))
    assert net_charged(box) == 0


@pytest.mark.parametrize(("prompt", "spent"), [("a fox", "yes"), ("x [sandbox:refused]", "no")])
def test_results_that_can_t_be_written_say_truly_whether_buzz_was_spent(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: str, spent: str
) -> None:
    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_atomic", full)
    with pytest.raises(ConfigError) as failed:
        made(box, tmp_path, rows(prompt))
    assert failed.value.spent == spent


# -- wrong words from a program --------------------------------------------------------------------
@pytest.mark.parametrize("given", [None, 5, ["a"], {1: 2}], ids=repr)
def test_rows_of_no_known_kind_are_listed(box: Sandbox, tmp_path: Path, given: Any) -> None:
    with pytest.raises(RequestInvalid) as refused:
        made(box, tmp_path, ["a fox", given, given])
    assert [p.field for p in refused.value.problems] == ["line 2, row", "line 3, row"]


@pytest.mark.parametrize(
    "more", [{"metadata": {"a": float("nan")}}, {"metadata": 5}, {"tags": ["\ud800"]}], ids=repr
)
def test_terms_that_can_t_be_sent_are_refused(
    box: Sandbox, tmp_path: Path, more: dict[str, Any]
) -> None:
    with pytest.raises(RequestInvalid, match=next(iter(more))):
        made(box, tmp_path, ["a fox"], **more)


@pytest.mark.parametrize("fields", [{"seed"}, {"prompt": "b"}, {1: 2}, "seed"], ids=repr)
def test_fields_of_a_sweep_that_are_none_are_refused(tmp_path: Path, fields: Any) -> None:
    with Civitai(sandbox=True, home=tmp_path) as buyer, pytest.raises(RequestInvalid) as refused:
        run_sweep("a {b}", {"b": ["c"]}, fields=fields, client=buyer, dry_run=True)
    assert refused.value.field == "fields"


def test_a_used_up_budget_still_stops_the_batch(box: Sandbox, tmp_path: Path) -> None:
    with client(box, tmp_path / "home") as buyer:
        assert buyer.ledger is not None
        buyer.ledger.keep_setting("budget", "1/day")
        report = made(box, tmp_path, rows("a", "b", "c"), buyer=buyer, in_flight=1)
    assert [r.status for r in report.results] == ["succeeded", "refused", "unsent"]
    assert (report.results[1].error or {})["code"] == BudgetUsedUp.code
