"""A batch: planned first, paid once, resumed by the same command, reported row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, OverBudget, RequestInvalid, run_batch
from civitai_skill.api.service import Retry
from civitai_skill.batch.report import BatchPlan, BatchProgress, Report
from civitai_skill.batch.results import Result
from civitai_skill.sandbox import Fault, Sandbox

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
RETRY = Retry(first=0.005, cap=0.02, tries=4)

Run = Callable[..., Report]


def rows(*prompts: str, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": prompt, **SIZE, **more} for prompt in prompts]


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.02)


@pytest.fixture
def run(box: Sandbox, tmp_path: Path) -> Run:
    """Runs a batch into `out`, against one sandbox and one ledger."""

    def one(given: Any, *, home: str = "home", **settings: Any) -> Report:
        with Civitai(sandbox=box, home=tmp_path / home, retry=RETRY) as client:
            return run_batch(given, client=client, **{"out": tmp_path / "out", **settings})

    return one


def account(box: Sandbox) -> dict[str, Any]:
    found = box.accounts()
    return found[0] if found else {"submits": 0, "workflows": 0, "charged": 0, "refunded": 0}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


# -- the whole way -----------------------------------------------------------------------
def test_every_row_becomes_a_picture_a_note_and_a_line(
    run: Run, box: Sandbox, tmp_path: Path
) -> None:
    report = run(rows("a fox", "an owl"))

    assert report.good
    told = lines(tmp_path / "out")
    assert [(line["row"], line["status"], line["prompt"]) for line in told] == [
        (1, "succeeded", "a fox"),
        (2, "succeeded", "an owl"),
    ]
    names = [line["pictures"][0]["path"] for line in told]
    assert names == [f"{i}-sdxl-{line['seed']}-0.jpeg" for i, line in enumerate(told, 1)]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *names,
        *(Path(name).with_suffix(".json").name for name in names),
        "results.jsonl",
    }
    for path in report.paths:
        with Image.open(path) as picture:
            assert picture.size == (64, 64)
    assert account(box)["workflows"] == 2


def test_the_same_batch_again_sends_nothing(run: Run, box: Sandbox) -> None:
    first = run(rows("a fox", "an owl"))
    submits = account(box)["submits"]
    second = run(rows("a fox", "an owl"))

    assert second.results == first.results
    assert second.plan.done == 2
    assert account(box)["submits"] == submits


def test_another_machine_with_the_folder_sends_nothing(run: Run, box: Sandbox) -> None:
    first = run(rows("a fox"))
    submits = account(box)["submits"]
    second = run(rows("a fox"), home="another")

    assert second.results == first.results
    assert account(box)["submits"] == submits


def test_another_machine_without_anything_pays_nothing(
    run: Run, box: Sandbox, tmp_path: Path
) -> None:
    first = run(rows("a fox", "an owl"))
    charged = account(box)["charged"]
    second = run(rows("a fox", "an owl"), home="another", out=tmp_path / "elsewhere")

    assert [p.read_bytes() for p in first.paths] == [p.read_bytes() for p in second.paths]
    assert account(box)["charged"] == charged
    assert account(box)["workflows"] == 2


def test_another_folder_is_filled_without_paying(run: Run, box: Sandbox, tmp_path: Path) -> None:
    run(rows("a fox"))
    second = run(rows("a fox"), out=tmp_path / "elsewhere")

    assert [p.parent for p in second.paths] == [tmp_path / "elsewhere"]
    assert account(box)["workflows"] == 1


def test_a_picture_that_was_deleted_comes_back_for_nothing(
    run: Run, box: Sandbox, tmp_path: Path
) -> None:
    first = run(rows("a fox", "an owl"))
    whole = first.paths[0].read_bytes()
    first.paths[0].unlink()
    second = run(rows("a fox", "an owl"))

    assert second.paths == first.paths
    assert second.paths[0].read_bytes() == whole
    assert account(box)["workflows"] == 2


def test_another_name_buys_anew(run: Run, box: Sandbox) -> None:
    first = run(rows("a fox"))
    second = run(rows("a fox"), name="second")

    assert account(box)["workflows"] == 2
    assert first.results[0].seed != second.results[0].seed


def test_an_inserted_row_leaves_the_others_paid(run: Run, box: Sandbox) -> None:
    run(rows("a fox", "an owl"))
    second = run(rows("a new one", "a fox", "an owl"))

    assert second.good
    assert second.plan.new == 1
    assert account(box)["workflows"] == 3


def test_equal_rows_are_two_pictures_with_seeds_of_their_own(run: Run, box: Sandbox) -> None:
    report = run(rows("a fox", "a fox"))
    seeds = {result.seed for result in report.results}

    assert len(seeds) == 2
    assert account(box)["workflows"] == 2


def test_a_seed_of_the_row_s_own_is_kept(run: Run) -> None:
    report = run(rows("a fox", seed=77, quantity=2))

    assert [p.seed for p in report.results[0].pictures] == [77, 78]
    assert [p.path for p in report.results[0].pictures] == ["1-sdxl-77-0.jpeg", "1-sdxl-78-1.jpeg"]


def test_what_happens_is_told(run: Run) -> None:
    events: list[Any] = []
    run(rows("a fox", "x [sandbox:failed]"), tell=events.append)

    assert [type(event) for event in events] == [
        BatchPlan,
        Result,
        BatchProgress,
        Result,
        BatchProgress,
    ]
    assert str(events[0]) == "Batch batch: 2 rows: 2 to buy for at most 2 Buzz"
    last = events[-1]
    assert (last.total, last.done, last.failed, last.under_way, last.pictures) == (2, 1, 1, 0, 1)
    assert (last.ended, last.seconds_left) == (2, 0.0)


# -- planned first -----------------------------------------------------------------------
def test_all_bad_rows_are_told_with_their_lines_before_anything_is_bought(
    run: Run, box: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    good, odd = rows("a fox")[0], {**rows("a fox")[0], "width": 63}
    file.write_text(
        f'{json.dumps(good)}\n\n{{"prompt": "x", "engin": "sdxl"}}\nnonsense\n{json.dumps(odd)}\n'
        '{"prompt": "a fox", "seed": 1, "prompt": "an owl"}\n'
    )
    with pytest.raises(RequestInvalid) as refused:
        run(file)

    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["line 3, engin", "line 4, row", "line 5, width", "line 6, row"]
    assert str(refused.value).startswith("4 of 5 rows are refused; nothing was bought.\nline 3, ")
    assert box.accounts() == []


def test_a_whole_that_is_too_dear_is_refused_before_the_first_row(run: Run, box: Sandbox) -> None:
    with pytest.raises(OverBudget) as refused:
        run(rows("a", "b", "c"), max_buzz=2)

    assert (refused.value.price, refused.value.limit) == (3, 2)
    assert "max_buzz=3" in refused.value.hint
    assert box.accounts() == []


def test_what_is_paid_already_does_not_count_again(run: Run) -> None:
    run(rows("a", "b"), max_buzz=2)
    report = run(rows("a", "b", "c"), max_buzz=1)

    assert report.good
    assert report.plan.price == 1


def test_a_dry_run_buys_nothing_and_makes_no_folder(run: Run, box: Sandbox, tmp_path: Path) -> None:
    report = run(rows("a", "b"), dry_run=True, max_buzz=0)

    assert (report.plan.new, report.plan.price) == (2, 2)
    assert report.plan.by_engine == {"sdxl base": 2}
    assert box.accounts() == []
    assert not (tmp_path / "out").exists()


def test_an_undocumented_price_is_asked_for_once_for_rows_of_one_kind(run: Run) -> None:
    prices: list[int | None] = []
    given = [{"prompt": f"a fox {i}", "engine": "grok"} for i in range(3)]
    report = run(given, dry_run=True, tell=lambda event: prices.append(event.price))

    assert report.plan.unpriced == 0
    assert prices == [150]


def test_a_price_that_nobody_tells_is_refused_unless_it_is_allowed(run: Run, box: Sandbox) -> None:
    given = [{"prompt": "a fox", "engine": "grok"}]
    silent = Fault("whatif", "status", status=200, body="problem", times=None)
    box.script(silent)
    with pytest.raises(OverBudget) as refused:
        run(given)
    assert "allow_unpriced" in refused.value.hint
    assert account(box)["workflows"] == 0

    assert run(given, allow_unpriced=True).good
    assert account(box)["workflows"] == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("in_flight", 0), ("concurrency", 1000), ("name", ""), ("name", "a\nb")]
)
def test_a_setting_that_makes_no_sense_is_refused(run: Run, setting: str, value: Any) -> None:
    with pytest.raises(RequestInvalid) as refused:
        run(rows("a"), **{setting: value})
    assert refused.value.field == setting


# -- ends that are not good ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("fate", "status"),
    [("failed", "failed"), ("expired", "expired"), ("canceled", "canceled")],
)
def test_what_ended_without_pictures_is_reported_refunded_and_not_bought_again(
    run: Run, box: Sandbox, tmp_path: Path, fate: str, status: str
) -> None:
    given = rows("a fox", f"x [sandbox:{fate}]")
    first = run(given)
    submits = account(box)["submits"]
    second = run(given)

    assert [r.status for r in first.results] == ["succeeded", status]
    assert (first.results[1].cost, first.results[1].refunded) == (0, 1)
    assert second.results == first.results
    assert account(box)["submits"] == submits
    assert account(box)["charged"] - account(box)["refunded"] == 1


@pytest.mark.parametrize("forget", [True, False], ids=["from the ledger", "from the results"])
def test_a_failure_is_remembered_in_two_places(
    run: Run, box: Sandbox, tmp_path: Path, forget: bool
) -> None:
    given = rows("x [sandbox:failed]")
    run(given)
    submits = account(box)["submits"]
    if forget:
        (tmp_path / "out" / "results.jsonl").unlink()
    second = run(given, home="home" if forget else "another")

    assert second.results[0].status == "failed"
    assert second.results[0].reason == "The provider could not make a picture from this prompt."
    assert account(box)["submits"] == submits


def test_a_wanted_second_try_has_a_key_of_its_own_and_is_found_again(
    run: Run, box: Sandbox
) -> None:
    box.script(Fault("submit", "fate", fate="failed"))
    first = run(rows("a fox"))
    second = run(rows("a fox"), retry_failed=True)
    third = run(rows("a fox"))

    assert [r.status for r in (*first.results, *second.results, *third.results)] == [
        "failed",
        "succeeded",
        "succeeded",
    ]
    assert second.results[0].key == f"{first.results[0].key}-a2"
    assert third.results == second.results
    assert account(box)["workflows"] == 2


def test_a_prompt_that_moderation_refused_is_never_sent_twice(run: Run, box: Sandbox) -> None:
    given = rows("a fox", "x [sandbox:refused]", "x [sandbox:refused]")
    first = run(given)
    second = run(given, retry_failed=True)

    assert [r.status for r in first.results] == ["succeeded", "blocked", "blocked"]
    assert first.results[2].reason is not None
    assert "the same prompt was stopped by moderation" in first.results[2].reason
    assert [r.status for r in second.results] == ["succeeded", "blocked", "blocked"]
    assert account(box)["submits"] == 2


def test_a_blocked_picture_bans_its_prompt_in_later_runs(run: Run, box: Sandbox) -> None:
    run(rows("x [sandbox:blocked]"))
    submits = account(box)["submits"]
    second = run(rows("x [sandbox:blocked]", "x [sandbox:blocked]"), retry_failed=True)

    assert [r.status for r in second.results] == ["blocked", "blocked"]
    assert account(box)["submits"] == submits


def test_fewer_pictures_than_wanted_are_kept_and_told(run: Run) -> None:
    report = run(rows("x [sandbox:partial]", quantity=2))

    result = report.results[0]
    assert result.status == "incomplete"
    assert len(result.pictures) == 1
    assert result.error is not None
    assert result.error["exit_code"] == 5


def test_a_row_that_runs_on_is_gone_on_with(run: Run, box: Sandbox) -> None:
    given = rows("x [sandbox:slow=1]")
    first = run(given, timeout=0.1)
    second = run(given)

    assert (first.results[0].status, second.results[0].status) == ("running", "succeeded")
    assert second.plan.open == 1
    assert account(box)["workflows"] == 1


def test_an_empty_account_stops_the_batch_and_names_the_rows_that_were_not_sent(
    tmp_path: Path,
) -> None:
    box = Sandbox(seconds_per_job=0.02, balance={"blue": 1})
    with Civitai(sandbox=box, home=tmp_path, retry=RETRY) as client:
        report = run_batch(rows("a", "b", "c"), client=client, out=tmp_path / "out", in_flight=1)

    assert [r.status for r in report.results] == ["succeeded", "refused", "unsent"]
    assert report.results[1].error is not None
    assert report.results[1].error["code"] == "not_enough_buzz"
    assert account(box)["submits"] == 2


def test_a_lost_answer_is_settled_by_the_same_command(run: Run, box: Sandbox) -> None:
    box.script(Fault("submit", "reset", committed=True, times=4))
    first = run(rows("a fox"))
    second = run(rows("a fox"))

    assert (first.results[0].status, second.results[0].status) == ("unfinished", "succeeded")
    assert first.results[0].error is not None
    assert first.results[0].error["spent"] == "unknown"
    assert account(box)["workflows"] == 1


def test_a_picture_that_can_t_be_fetched_is_fetched_by_the_same_command(
    run: Run, box: Sandbox
) -> None:
    box.script(Fault("blob", "short", times=None))
    first = run(rows("a fox"))
    box.clear()
    second = run(rows("a fox"))

    assert (first.results[0].status, second.results[0].status) == ("unfinished", "succeeded")
    assert first.results[0].error is not None
    assert first.results[0].error["spent"] == "yes"
    assert account(box)["workflows"] == 1
