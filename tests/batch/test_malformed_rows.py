"""Odd rows and odd results: refused in words, or made good; never a defect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, RequestInvalid, run_batch
from civitai_skill.sandbox import Sandbox
from tests.support.ledger import RETRY
from tests.support.sandbox import net_charged


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.02)


def run(box: Sandbox, tmp_path: Path, given: Any, **more: Any) -> Any:
    with Civitai(sandbox=box, home=tmp_path / "home", retry=RETRY) as client:
        return run_batch(given, client=client, out=tmp_path / "out", name="odd", **more)


@pytest.mark.parametrize(
    "change",
    [
        {"cost": "3"},
        {"refunded": "0"},
        {"pictures": [{"path": 5}]},
        {"pictures": None},
        {"pictures": []},
        {"key": 7},
    ],
    ids=str,
)
def test_results_that_were_edited_are_made_good(
    box: Sandbox, tmp_path: Path, change: dict[str, Any]
) -> None:
    run(box, tmp_path, ["a fox"])
    results = tmp_path / "out" / "results.jsonl"
    row = json.loads(results.read_text())
    results.write_text(json.dumps({**row, **change}) + "\n")
    again = run(box, tmp_path, ["a fox"])

    assert (again.good, len(again.paths), net_charged(box)) == (True, 1, 3)
    assert json.loads(results.read_text()) == row


def test_an_id_of_half_a_character_is_refused(box: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="half a character"):
        run(box, tmp_path, [{"prompt": "a", "id": "\ud800"}])


@pytest.mark.parametrize(
    "table",
    [
        "prompt,engine,options,options.clipSkip\nx,sd1,5,2\n",
        'prompt,engine,options,options.clipSkip\nx,sd1,"{""clipSkip"": 1}",2\n',
    ],
    ids=["no object", "said twice"],
)
def test_options_in_two_columns_are_refused_where_they_clash(
    box: Sandbox, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(table)
    with pytest.raises(RequestInvalid, match="options"):
        run(box, tmp_path, path)
    assert net_charged(box) == 0


def test_a_second_batch_in_one_folder_leaves_the_results_of_the_first(
    box: Sandbox, tmp_path: Path
) -> None:
    first = run(box, tmp_path, ["a fox", "an owl"])
    second = run(box, tmp_path, ["a bear"])
    out = tmp_path / "out"
    aside, here = ((out / name).read_text().splitlines()
                   for name in ("results.1.jsonl", "results.jsonl"))  # fmt: skip

    assert (len(aside), len(here)) == (len(first.results), len(second.results)) == (2, 1)
    assert net_charged(box) == 9
