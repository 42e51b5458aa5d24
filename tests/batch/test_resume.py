"""Rows of a batch that others finish: resume and get name pictures as the batch would have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, run_batch
from civitai_skill.images.sidecar import read_request
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.ledger import client
from tests.support.sandbox import net_charged


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.3)


def made(box: Sandbox, tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Any:
    with client(box, tmp_path / "home") as buyer:
        return run_batch(rows, client=buyer, out=tmp_path / "out", name="many", **more)


def resume(buyer: Civitai, out: Path) -> None:
    assert buyer.ledger is not None
    for run in buyer.ledger.unfinished():
        buyer.resume(run)


def get(buyer: Civitai, out: Path) -> None:
    assert buyer.ledger is not None
    for run in buyer.ledger.unfinished():
        assert run.workflow is not None
        buyer.download(buyer.wait(run.workflow), out=out)


@pytest.mark.parametrize("finish", [resume, get])
def test_the_names_and_notes_are_the_batchs_whoever_finishes(
    box: Sandbox, tmp_path: Path, finish: Callable[[Civitai, Path], None]
) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "a fox", "quantity": 2}, {"prompt": "an owl"}]
    first = made(box, tmp_path, rows, timeout=0)
    assert [r.status for r in first.results] == ["running", "running"]
    paid = net_charged(box)
    with client(box, tmp_path / "home") as buyer:
        finish(buyer, tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").glob("*.jpeg"))
    second = made(box, tmp_path, rows)

    assert [r.status for r in second.results] == ["succeeded", "succeeded"]
    told = [(r.row, p.path, p.seed) for r in second.results for p in r.pictures]
    assert sorted(name for _, name, _ in told) == names
    assert net_charged(box) == paid
    for row, name, seed in told:
        assert name.startswith(f"{row}-flux2-{seed}-")
        again = read_request(tmp_path / "out" / name)
        assert (again["prompt"], again["seed"]) == (rows[row - 1]["prompt"], seed)


def test_alike_rows_that_failed_are_tried_again_each(box: Sandbox, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "a fox", "seed": 1}] * 2
    box.script(Fault("submit", "fate", fate="failed"), Fault("submit", "fate", fate="failed"))
    assert [r.status for r in made(box, tmp_path, rows).results] == ["failed", "failed"]
    with client(box, tmp_path / "home") as buyer:
        assert buyer.ledger is not None
        runs = buyer.ledger.failed()
        assert len(runs) == 2
        for run in runs:
            buyer.resume(run)
        assert buyer.ledger.failed() == []
    again = made(box, tmp_path, rows)

    assert [r.status for r in again.results] == ["succeeded", "succeeded"]
    assert [p.path.startswith(f"{r.row}-flux2-1-0") for r in again.results for p in r.pictures] == [
        True,
        True,
    ]
    assert [a["workflows"] for a in box.accounts()] == [4]


def test_a_row_that_was_canceled_is_not_said_to_be_retried(box: Sandbox, tmp_path: Path) -> None:
    box.script(Fault("submit", "fate", fate="canceled"))
    [row] = made(box, tmp_path, [{"prompt": "a fox"}]).results
    told = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert (row.status, "retry" in told["error"]["hint"]) == ("canceled", False)
    assert Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3").failed() == []
