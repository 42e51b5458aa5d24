"""A prompt that moderation stops is sent once: one row of it goes first, the others follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from civitai_skill import run_batch
from civitai_skill.batch.plan import Row, plan_rows
from civitai_skill.batch.queue import NotSent, PromptModerated, RowQueue
from civitai_skill.batch.rows import read_values
from civitai_skill.batch.states import RowState
from civitai_skill.ledger.run import Run
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.ledger import client
from tests.support.sandbox import submits


def row(number: int, prompt: str) -> Row:
    (planned,) = plan_rows(read_values([prompt]), "moderated")
    return replace(planned, number=number, key=f"k{number}")


def new(number: int) -> RowState:
    return RowState(f"k{number}")


def bought(number: int) -> RowState:
    run = Run(f"k{number}", "r2:a", "batch", b"{}", 1, 1, workflow=f"w{number}")
    return RowState(f"k{number}", run=run, workflow=run.workflow)


async def at_once(turns: RowQueue) -> list[int]:
    """The rows that are given out without anything being learned."""
    given = []
    with anyio.move_on_after(0.02):
        while (line := await turns.next()) is not None:
            given.append(line[0].number)
    return given


def turns_of(*lines: tuple[int, str, RowState]) -> RowQueue:
    turns = RowQueue()
    for number, prompt, state in lines:
        (turns.bought if state.workflow else turns.new).append((row(number, prompt), state))
    return turns


async def test_one_row_of_each_prompt_goes_first_and_holds_up_no_other() -> None:
    turns = turns_of((1, "x", new(1)), (2, "x", new(2)), (3, "y", new(3)), (4, "x", new(4)))
    assert await at_once(turns) == [1, 3]
    turns.mark_passed("x")
    assert await at_once(turns) == [2, 4]
    assert await turns.next() is None


async def test_what_is_bought_goes_before_all_that_is_not_and_tries_its_prompt() -> None:
    turns = turns_of((1, "x", new(1)), (2, "x", bought(2)), (3, "x", bought(3)))
    assert await at_once(turns) == [2, 3]
    turns.mark_ended("x", unsure=False)
    assert await at_once(turns) == []
    turns.mark_ended("x", unsure=False)
    assert await at_once(turns) == [1]


@pytest.mark.parametrize(
    ("learned", "kind"), [("ban", PromptModerated), ("unsure", NotSent), ("passes", None)]
)
async def test_those_that_waited_are_given_out_to_hear_what_was_learned(
    learned: str, kind: type[NotSent] | None
) -> None:
    turns = turns_of((1, "x", new(1)), (2, "x", new(2)), (3, "x", new(3)))
    assert await at_once(turns) == [1]
    if learned == "ban":
        turns.mark_banned("x", "why")
    if learned == "passes":
        turns.mark_passed("x")
    turns.mark_ended("x", unsure=learned == "unsure")
    found = []
    while (line := await turns.next()) is not None:
        try:
            turns.check_prompt(line[0].request.prompt)
            found.append((line[0].number, None))
        except NotSent as held:
            found.append((line[0].number, type(held)))
        turns.mark_ended("x", unsure=False)
    assert found == [(2, kind), (3, kind)]


async def test_a_refusal_of_another_kind_lets_the_next_row_try() -> None:
    turns = turns_of((1, "x", new(1)), (2, "x", new(2)), (3, "x", new(3)))
    assert await at_once(turns) == [1]
    turns.mark_ended("x", unsure=False)
    assert await at_once(turns) == [2]
    turns.check_prompt("x")


# -- through a batch -----------------------------------------------------------------------------
def made(box: Sandbox, tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Any:
    with client(box, tmp_path / "home") as buyer:
        return run_batch(rows, client=buyer, out=tmp_path / "out", name="many", **more)


def test_a_prompt_whose_picture_is_blocked_is_sent_once(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.1)
    rows = [{"prompt": "x [sandbox:blocked]", "seed": i} for i in range(1, 7)]
    report = made(box, tmp_path, rows)

    assert report.statuses == {"blocked": 6}
    assert submits(box) == 1
    assert [r.cost for r in report.results[1:]] == [0] * 5


def test_many_rows_of_one_prompt_are_all_made(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02)
    rows = [{"prompt": "a fox", "seed": i} for i in range(1, 9)] + [{"prompt": "an owl"}]
    assert made(box, tmp_path, rows, in_flight=3).statuses == {"succeeded": 9}


def test_rows_wait_for_one_whose_end_is_not_known(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.6)
    rows = [{"prompt": "a fox", "seed": i} for i in range(1, 4)]
    first = made(box, tmp_path, rows, timeout=0.1)
    assert first.statuses == {"running": 1, "unsent": 2}
    assert "same prompt is not known yet" in (first.results[2].reason or "")
    assert submits(box) == 1
    assert made(box, tmp_path, rows).statuses == {"succeeded": 3}
    assert submits(box) == 3


def test_rows_wait_for_one_whose_answer_was_lost(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02)
    box.script(Fault("submit", "reset", committed=True, times=3))
    rows = [{"prompt": "a fox", "seed": i} for i in range(1, 3)]
    assert made(box, tmp_path, rows).statuses == {"unfinished": 1, "unsent": 1}
    assert made(box, tmp_path, rows).statuses == {"succeeded": 2}
