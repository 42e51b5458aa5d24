"""The commands about workflows: several ids, ids that are none, and what has ended badly."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.interrupts import Interrupts
from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import next_steps

SMALL = ("--engine", "sdxl", "--width", "64", "--height", "64")
Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command over the sandbox; gives its code, its answer and its messages."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, Any, str]:
        code = main(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out), err

    return command


def submit(run: Run, prompt: str, *more: str) -> str:
    code, told, _ = run("generate", prompt, *SMALL, "--no-wait", *more)
    assert code == 0
    return str(told["id"])


def test_several_workflows_are_fetched_by_one_command(run: Run) -> None:
    ids = [submit(run, f"a fox, {n}") for n in range(2)]
    code, told, _ = run("get", *ids, ids[0], "--wait", "--out", "made")
    assert (code, [one["id"] for one in told["results"]]) == (0, ids)
    assert all(Path(one["images"][0]["path"]).exists() for one in told["results"])


def test_the_first_failure_among_several_is_the_exit_code(run: Run) -> None:
    lost = "1-20260101000000000"
    stuck = submit(run, "a fox [sandbox:stuck]")
    code, told, err = run("cancel", lost, stuck)
    assert code == 2
    assert [one["id"] for one in told["results"]] == [lost, stuck]
    assert told["results"][0]["error"]["code"] == "not_found"
    assert told["results"][1]["status"] == "canceled"
    assert told["results"][0]["error"]["message"] in err
    assert run("cancel", lost)[1].keys() == {"error", "sandbox"}


def test_several_held_results_are_released_by_one_command(run: Run) -> None:
    ids = []
    for n in range(2):
        _, told, _ = run("generate", f"a fox [sandbox:mature], {n}", *SMALL)
        ids.append(told["id"])
    code, told, err = run("release", *ids, "--max-buzz", "9")
    assert (code, [one["id"] for one in told["results"]]) == (0, ids)
    assert all(f"`civitai-skill get {id} --wait --out FOLDER`" in err for id in ids)


@pytest.mark.parametrize("id", ["$(touch x)", "a/../b", "", "1-2.jpeg", "-", "https://civitai.com"])
@pytest.mark.parametrize("command", ["get", "cancel", "release"])
def test_what_is_no_id_is_refused_before_the_service_is_asked(
    run: Run, command: str, id: str
) -> None:
    code, told, _ = run(command, id)
    assert code == 2
    assert "is no id; pass it as it was printed" in told["error"]["message"]


@pytest.mark.parametrize("id", ["1-2; touch x", "$(touch x)", "`touch x`", "a b", "it's"])
def test_whatever_stands_in_a_command_is_quoted_for_the_shell(id: str) -> None:
    words = {"json": True, "quiet": False, "command": "get", "out": "my pictures"}
    given = argparse.Namespace(**words, sandbox=True, ledger="o'brien.sqlite3")
    said = Output(given, Interrupts()).render(next_steps.Look(id))
    command = said[said.index("`") + 1 : said.rindex("`")]
    assert shlex.split(command) == [
        "civitai-skill", "get", id, "--wait", "--out", "my pictures", "--sandbox", "--ledger",
        "o'brien.sqlite3",
    ]  # fmt: skip


def test_a_look_at_a_blocked_workflow_fails_as_everywhere(run: Run) -> None:
    code, told, _ = run("generate", "a fox [sandbox:blocked]", *SMALL)
    assert code == 5
    looked, seen, _ = run("get", told["id"])
    assert (looked, seen["error"]["code"]) == (5, "workflow_failed")
    assert "blocked" in seen["error"]["message"]
    (row,) = run("query")[1]["items"]
    assert (row["id"], row["status"], row["images"]) == (told["id"], "blocked", 0)


def test_a_prompt_without_its_quotes_is_offered_in_them(run: Run) -> None:
    for command in ("generate", "estimate"):
        code, told, _ = run(command, "a", "red", "fox", "--engine", "sdxl")
        (problem,) = told["error"]["problems"]
        assert (code, problem["field"], problem["nearest"]) == (2, "red", "a red fox")
        assert problem["accepted"] == "the prompt as one word: put it in quotes"
    code, told, _ = run("engines", "flux2", "sdxl")
    assert told["error"]["problems"][0]["accepted"] == "name and flags"
    code, told, _ = run("doctor", "now")
    assert told["error"]["problems"][0]["accepted"] == "flags alone"
