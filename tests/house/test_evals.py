"""The evals: the files are what their README says, and check.py tells a good task from a bad."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from tests.support.paths import ROOT
from tests.support.scripts import load

TASKS = {
    task["id"]: task
    for task in json.loads((ROOT / "evals" / "tasks.json").read_text(encoding="utf-8"))["tasks"]
}
QUESTIONS = json.loads((ROOT / "evals" / "triggers.json").read_text(encoding="utf-8"))["questions"]
SKILLS = {path.name for path in (ROOT / "skills").iterdir()}

#: What a good agent does; ID is the job that the task's set-up made.
GOOD: Mapping[str, tuple[str, ...]] = {
    "sketch": ('generate "a red fox in fresh snow" --quality draft --aspect-ratio 16:9',),
    "poster": (
        "choose poster --max-buzz 60 --aspect-ratio 2:3",
        'generate "a concert poster, the headline \\"NIGHT TRAIN\\" in bold letters above a train" '
        "--engine qwen --aspect-ratio 2:3 --max-buzz 60",
    ),
    "anime": (
        'generate "1girl, silver hair, neon city, night, masterpiece, best quality" --engine sdxl '
        '--variant wai-illustrious --quantity 2 --negative-prompt "worst quality, bad anatomy"',
    ),
    "pixels": ('generate "a calm forest in mist" --exact 1280x768 --format png',),
    "large": ('generate "the Matterhorn at sunrise" --engine seedream --quality high',),
    "edit": (
        'generate "Turn the sky into a starry night. Keep everything else." --image photo.jpg '
        "--variant klein-9b",
    ),
    "restyle": (
        'generate "an oil painting of the scene" --image photo.jpg --engine sdxl --strength clear',
    ),
    "combine": (
        'generate "Put the dog from image 2 on the sofa in image 1." --image room.jpg '
        "--image dog.jpg --variant klein-9b",
    ),
    "price": ('estimate "a mountain" --engine seedream --count 4',),
    "advice": ("choose chinese_text --max-buzz 40",),
    "fetch": ("query --tag birthday", "get ID --wait"),
    "stop": ("query --take 1", "cancel ID"),
}

#: One thing done wrong, and what the verdict says about it.
BAD: Mapping[str, tuple[str, str]] = {
    "sketch": ('generate "a red fox in fresh snow" --aspect-ratio 16:9', "quality"),
    "poster": (
        'generate "a concert poster: NIGHT TRAIN" --engine sdxl --aspect-ratio 2:3',
        "engine",
    ),
    "anime": ('generate "silver hair, masterpiece" --engine flux2 --quantity 2', "engine"),
    "pixels": ('generate "a calm forest" --aspect-ratio 16:9 --format png', "wanted 1280x768"),
    "large": ('generate "the Matterhorn" --engine seedream --aspect-ratio 1:1', "4096x4096"),
    "edit": ('generate "a starry night" --image photo.jpg --strength 0.6', "strength"),
    "restyle": (
        'generate "an oil painting" --image photo.jpg --engine sdxl --strength 0.9',
        "most",
    ),
    "combine": (
        'generate "the dog of image 1 on the sofa of image 2" --image dog.jpg --image room.jpg',
        "wanted 4:3",
    ),
    "price": ('generate "a mountain" --engine seedream --quantity 4', "never|not want"),
    "advice": ("choose chinese_text", "max_buzz"),
    "fetch": ('generate "a castle folded from paper"', "not want"),
    "stop": ("get ID", "no cancel"),
}


CHECK = load("evals/check.py")
SET_UP = load("evals/set_up.py")


@pytest.fixture
def attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Path]:
    """Does a task in the sandbox like an agent, and writes its RESULT.json."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> tuple[int, Any]:
        code = main([*shlex.split(line), "--json"])
        return code, json.loads(capsys.readouterr().out)

    def do(task_id: str, lines: tuple[str, ...], **changes: Any) -> Path:
        task, job = TASKS[task_id], ""
        SET_UP.make_files(task, tmp_path)
        for line in task.get("setup", []):
            code, told = run(line.removeprefix("civitai-skill "))
            assert code == 0
            job = told["id"]
        calls: list[dict[str, Any]] = []
        result: Any = {}
        for line in lines:
            code, result = run(line.replace("ID", job))
            calls.append({"command": f"civitai-skill {line}", "exit_code": code})
        told = {"task": task_id, "calls": calls, "result": result, "answer": answer(result)}
        path = tmp_path / "RESULT.json"
        path.write_text(json.dumps(told | changes), encoding="utf-8")
        return path

    return do


def answer(result: dict[str, Any]) -> str:
    """An answer that tells everything there is."""
    return json.dumps(result)


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    capsys.readouterr()
    code = CHECK.main([str(path), "--json"])
    return code, json.loads(capsys.readouterr().out)


# -- the files -------------------------------------------------------------------------------------
def test_half_of_the_twenty_questions_are_near_misses() -> None:
    assert [q["id"] for q in QUESTIONS] == list(range(1, 21))
    assert len({q["query"] for q in QUESTIONS}) == 20
    wanted = [q["skill"] for q in QUESTIONS if q["skill"] is not None]
    assert len(wanted) == 10
    assert set(wanted) == SKILLS
    assert all(q["why"] for q in QUESTIONS if q["skill"] is None)


def test_there_are_forty_tasks_each_with_a_good_way() -> None:
    assert len(TASKS) == 40
    by_facts = {name for name, task in TASKS.items() if "facts" in task["expect"]}
    assert set(GOOD) == set(BAD) == set(TASKS) - by_facts
    assert {key for task in TASKS.values() for key in task["expect"]} <= {
        "engines", "flags", "calls", "never", "result", "answer", "says", "facts",
        "most_purchases",
    }  # fmt: skip


# -- verdicts --------------------------------------------------------------------------------------
@pytest.mark.parametrize("task_id", GOOD)
def test_a_task_done_well_passes(
    task_id: str, attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, verdict = checked(attempt(task_id, GOOD[task_id]), capsys)
    assert verdict == {"task": task_id, "passed": True, "wrong": []}
    assert code == 0


@pytest.mark.parametrize("task_id", BAD)
def test_a_task_done_badly_fails_and_says_why(
    task_id: str, attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line, why = BAD[task_id]
    code, verdict = checked(attempt(task_id, (line,)), capsys)
    assert code == 5
    assert verdict["passed"] is False
    assert re.search(why, " ".join(verdict["wrong"])), verdict["wrong"]


def test_an_answer_that_keeps_the_path_to_itself_fails(
    attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, verdict = checked(attempt("sketch", GOOD["sketch"], answer="Done!"), capsys)
    (wrong,) = verdict["wrong"]
    assert wrong.startswith("answer: does not tell the path")


def test_a_picture_that_is_not_there_fails(
    attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = attempt("sketch", GOOD["sketch"])
    for picture in tmp_path.glob("*.jpeg"):
        picture.unlink()
    _, verdict = checked(result, capsys)
    (wrong,) = verdict["wrong"]
    assert wrong.endswith("is not a picture on this disk")


def test_buying_twice_fails_and_a_refused_call_does_not(
    attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = GOOD["sketch"]
    refused = line.replace("16:9", "7:1")
    assert checked(attempt("sketch", (refused, line)), capsys)[1]["passed"] is True
    _, verdict = checked(attempt("sketch", (line, line.replace("fox", "wolf"))), capsys)
    assert verdict["wrong"] == ["calls: 2 purchases, where 1 are enough"]


def test_calls_by_tools_and_through_the_shell_are_understood(
    attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"prompt": "a red fox", "quality": "draft", "aspect_ratio": "16:9"}
    calls: list[dict[str, Any]] = [
        {"command": "python3 /skills/x/scripts/civitai.py generate --help"},
        {"tool": "civitai_generate_image", "arguments": {**fields, "estimate_only": True}},
        {"tool": "civitai_generate_image", "arguments": fields},
    ]
    assert checked(attempt("sketch", GOOD["sketch"], calls=calls), capsys)[1]["passed"] is True
    shell = f"cd x && civitai-skill {GOOD['sketch'][0]} 2>/dev/null | jq .images"
    calls = [{"command": shell}]
    assert checked(attempt("sketch", GOOD["sketch"], calls=calls), capsys)[1]["passed"] is True


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("not json", "not JSON"),
        ("[]", "something is missing"),
        ("[" * 200_000, "not JSON"),
        ('{"task": "sketch", "calls": [], "result": {}}', "something is missing"),
        ('{"task": "nothing", "calls": [], "result": {}, "answer": ""}', "sketch"),
        ('{"task": "sketch", "calls": [7], "result": {}, "answer": ""}', r"calls\[1\]"),
        (
            '{"task": "sketch", "calls": [{"command": "rm x"}], "result": {}, "answer": ""}',
            "shim|civ",
        ),
    ],
)
def test_a_result_that_is_none_is_refused(
    text: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "RESULT.json"
    path.write_text(text)
    code, told = checked(path, capsys)
    assert code == 2
    assert re.search(word, told["error"]["message"])
    assert checked(tmp_path / "missing.json", capsys)[0] == 2


def test_a_task_is_set_up_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["set_up.py", "every-line"])
    assert SET_UP.main() == 0
    assert (tmp_path / "list.txt").read_text().splitlines() == ["a mug", "a tent", "a lamp"]
    monkeypatch.setattr(sys, "argv", ["set_up.py", "nothing"])
    assert SET_UP.main() == 2


def test_several_files_end_with_the_worst_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [{"command": f"civitai-skill {GOOD['advice'][0]}"}]
    good = {"task": "advice", "calls": calls, "result": {}, "answer": "qwen"}
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "bad.json").write_text(json.dumps({**good, "calls": []}))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    files = [str(tmp_path / f"{name}.json") for name in ("good", "bad", "good", "missing")]

    assert CHECK.main(files[2:3]) == 0
    assert CHECK.main(files[3:]) == 2
    capsys.readouterr()
    assert CHECK.main(files) == 5
    told = capsys.readouterr()
    assert [line for line in told.out.splitlines() if not line.startswith("  ")] == [
        "advice: pass", "advice: fail", "advice: pass",
    ]  # fmt: skip
    assert "missing.json" in told.err


def test_it_runs_as_its_readme_says(tmp_path: Path) -> None:
    line = "    python evals/check.py RESULT.json"
    assert line in (ROOT / "evals" / "README.md").read_text(encoding="utf-8").splitlines()
    done = subprocess.run(
        [sys.executable, "evals/check.py", str(tmp_path / "RESULT.json")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "request_invalid"


# -- what is easily taken for something else -------------------------------------------------------
def wrong_with(
    capsys: pytest.CaptureFixture[str], folder: Path, task: str, *calls: dict[str, Any], **told: Any
) -> list[str]:
    """What check.py finds in the calls of a task."""
    whole = {"task": task, "calls": calls, "result": {}, "answer": "", **told}
    (folder / "RESULT.json").write_text(json.dumps(whole))
    _, verdict = checked(folder / "RESULT.json", capsys)
    return [line for line in verdict["wrong"] if line.startswith(("calls", "answer"))]


@pytest.mark.parametrize(
    "line",
    [
        "batch rows.csv",
        'sweep --prompt "a {x}" --set x=1,2',
        "again a.jpeg",
        "resume --retry-failed",
        "release ID",
        'generate "two"; echo',
        'generate "a (b); c" --quality draft 2>/dev/null | jq .',
    ],
)
def test_whatever_buys_is_a_purchase(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = {"command": f"civitai-skill {line}", "exit_code": 0}
    assert any("not want" in w for w in wrong_with(capsys, tmp_path, "advice", once))
    found = wrong_with(capsys, tmp_path, "sketch", once, once)
    assert "calls: 2 purchases, where 1 are enough" in found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("batch rows.csv --dry-run", 0),
        ("resume", 0),
        ('generate "a fox" --shape wide', 2),
        ('generate "a fox" --max-buzz 1', 4),
        ('generate "a fox" --shape wide; civitai-skill choose anime', 0),
    ],
)
def test_what_buys_nothing_is_none(
    line: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"command": f"civitai-skill {line}", "exit_code": code}
    found = wrong_with(capsys, tmp_path, "sketch", call, call)
    assert [w for w in found if "purchases" in w] == []


def test_two_purchases_in_one_line_are_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "civitai-skill generate a &&\\\n civitai-skill generate b"
    found = wrong_with(capsys, tmp_path, "sketch", {"command": line, "exit_code": 0})
    assert "calls: 2 purchases, where 1 are enough" in found


def test_a_line_that_ended_well_and_can_not_be_read_is_not_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"command": "civitai-skill generate $WORDS --shape wide", "exit_code": 0}
    (wrong, *_) = wrong_with(capsys, tmp_path, "advice", call)
    assert wrong.startswith("calls: can't be understood")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("It costs 240 Buzz.", True),
        ("2400", False),
        ("1,240", False),
        ("240.5", False),
        ("", False),
    ],
)
def test_a_price_is_told_as_a_whole_number(
    answer: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"command": "civitai-skill estimate x --engine seedream --quantity 4", "exit_code": 0}
    found = wrong_with(capsys, tmp_path, "price", call, result={"buzz": 240}, answer=answer)
    assert (found == []) is told


def test_results_and_arguments_are_read_as_leniently_as_they_come(
    attempt: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raw = json.dumps({"prompt": "a starry night sky", "images": "photo.jpg", "variant": "klein-9b"})
    calls = [{"tool": "civitai_generate_image", "arguments": raw, "exit_code": 0}]
    assert checked(attempt("edit", GOOD["edit"], calls=calls), capsys)[1]["passed"] is True
    assert wrong_with(capsys, tmp_path, "sketch", *calls, result={"images": None}) == [
        "answer: does not tell the path (there is none)"
    ]


@pytest.mark.parametrize("images", [5, True, 1.5, "x", [5], [{"path": "\ud800"}], [{"path": "\0"}]])
def test_pictures_that_are_none_fail(
    images: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = {"command": "civitai-skill generate x", "exit_code": 0}
    assert wrong_with(capsys, tmp_path, "sketch", call, result={"images": images})
