"""The commands batch and sweep: files in, JSON or lines out, exit codes that say how it went."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.sandbox import Sandbox

ROW = {"engine": "sdxl", "width": 64, "height": 64}


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    return Sandbox(clean_environment / "sandbox.sqlite3", seconds_per_job=0.02)


@pytest.fixture
def call(
    box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any, str]]:
    """Runs a command; gives exit code, answer and messages."""

    def run(*words: str) -> tuple[int, Any, str]:
        code = main([*words, "--sandbox", "--out", str(tmp_path / "out")])
        told = capsys.readouterr()
        return code, json.loads(told.out), told.err

    return run


def written(path: Path, *prompts: str) -> Path:
    path.write_text("".join(json.dumps({"prompt": p, **ROW}) + "\n" for p in prompts))
    return path


def test_a_file_becomes_pictures_and_results(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path / "animals.jsonl", "a fox", "an owl")
    code, told, messages = call("batch", str(file), "--csv")

    assert code == 0
    assert (told["batch"], told["rows"], told["cost"], told["pictures"]) == ("animals", 2, 2, 2)
    assert told["statuses"] == {"succeeded": 2}
    assert told["results"] == str(tmp_path / "out" / "results.jsonl")
    assert (tmp_path / "out" / "results.csv").exists()
    assert "Batch animals: 2 rows: 2 to buy for at most 2 Buzz" in messages
    assert "2 of 2 done, 0 failed" in messages


def test_no_row_that_may_be_paid_ends_as_if_nothing_was_spent(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "r.jsonl", "a")
    assert call("batch", str(file), "--timeout", "0")[0] == 6
    monkeypatch.setenv("CIVITAI_API_KEY", "another")
    code, told, _ = call("batch", str(file))
    assert (code, told["statuses"]) == (7, {"unfinished": 1})


def test_a_row_that_only_waited_does_not_hide_why_the_batch_was_stopped(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "b.csv"
    file.write_text(
        "prompt,seed,engine,width,height\n"
        "same [sandbox:slow=1],1,sdxl,64,64\nsame [sandbox:slow=1],2,sdxl,64,64\n"
        "other,3,sdxl,64,64\nthird,4,sdxl,64,64\n"
    )
    call("budget", "set", "2")
    code, told, _ = call("batch", str(file))
    assert (code, told["statuses"]["succeeded"]) == (4, 2)


def test_rows_come_from_standard_input(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.BytesIO(b"prompt,engine,width,height\na fox,sdxl,64,64\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    assert call("batch", "-", "--name", "x")[1]["statuses"] == {"succeeded": 1}


def test_a_dry_run_says_the_price_and_buys_nothing(
    call: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    code, told, _ = call("batch", str(written(tmp_path / "r.jsonl", "a", "b")), "--dry-run")

    assert (code, told["dry_run"], told["price"]) == (0, True, 2)
    assert box.accounts() == []


def test_every_bad_row_is_a_line_of_the_message(
    call: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("prompt,engine,width\na,sdxl,63\nb,nope,\n")
    code, told, messages = call("batch", str(file))

    assert code == 2
    assert [p["field"] for p in told["error"]["problems"]] == ["line 2, width", "line 3, engine"]
    assert [line[:6] for line in messages.splitlines()[2:4]] == ["line 2", "line 3"]
    assert box.accounts() == []


def test_too_dear_is_exit_4(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path / "r.jsonl", "a", "b")
    assert call("batch", str(file), "--max-buzz", "1")[0] == 4


def test_a_row_that_failed_is_exit_5_and_named(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path / "r.jsonl", "a", "b [sandbox:failed]")
    code, told, messages = call("batch", str(file))

    assert (code, told["statuses"]) == (5, {"failed": 1, "succeeded": 1})
    assert "Row 2 (line 2): failed: The provider could not make a picture" in messages
    assert call("batch", str(file))[0] == 5


def test_a_row_that_runs_on_is_exit_6(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path / "r.jsonl", "a [sandbox:stuck]")
    assert call("batch", str(file), "--timeout", "0.1")[0] == 6


def test_names_follow_the_template(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path / "r.jsonl", "a")
    assert call("batch", str(file), "--names", "{batch}_{row:03}")[0] == 0
    assert (tmp_path / "out" / "r_001.jpeg").exists()


def test_a_sweep_makes_every_combination(call: Callable[..., Any], tmp_path: Path) -> None:
    styles = tmp_path / "styles.txt"
    styles.write_text("ink\noil\n")
    code, told, _ = call(
        "sweep", "--prompt", "a {animal} in {style}", "--set", "animal=fox,owl",
        "--set", f"style=@{styles}", "--seeds", "2", "--engine", "sdxl", "--width", "64",
        "--height", "64",
    )  # fmt: skip

    assert (code, told["rows"], told["pictures"]) == (0, 8, 8)


@pytest.mark.parametrize("sets", [["x"], ["=a"], ["x=1", "x=2"]])
def test_a_set_that_is_none_is_refused(call: Callable[..., Any], sets: list[str]) -> None:
    words = [word for text in sets for word in ("--set", text)]
    code, told, _ = call("sweep", "--prompt", "a {x}", *words)
    assert (code, told["error"]["problems"][0]["field"]) == (2, "set")


def test_a_terminal_sees_a_bar(
    tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    file = written(tmp_path / "r.jsonl", "a \x1b[31mfox")
    assert main(["batch", str(file), "--sandbox", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "\x1b[31m" not in told.err + told.out
    assert json.loads(told.out)["statuses"] == {"succeeded": 1}


def test_an_interrupt_says_how_to_go_on_and_the_same_command_does(
    box: Sandbox, tmp_path: Path, clean_environment: Path
) -> None:
    file = written(tmp_path / "r.jsonl", *(f"fox {i} [sandbox:slow=2]" for i in range(5)))
    words = [sys.executable, "-m", "civitai_skill", "batch", str(file), "--sandbox",
             "--out", str(tmp_path / "out")]  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if sum(a["workflows"] for a in box.accounts()) == 5:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, messages = process.communicate(timeout=20)

    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert "The same command again goes on from here" in messages
    told = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["status"] for line in told} <= {"unsent", "unfinished"}
    assert len(told) == 5

    assert main(words[3:]) == 0
    assert box.accounts()[0]["workflows"] == 5


def test_the_same_command_again_says_what_it_leaves_as_it_is(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    file = written(tmp_path / "rows.jsonl", "a fox", "x [sandbox:failed]", "y [sandbox:slow=9]")
    call("batch", str(file), "--timeout", "0.5")
    code, told, messages = call("batch", str(file), "--timeout", "0")

    assert (code, told["statuses"]) == (5, {"failed": 1, "running": 1, "succeeded": 1})
    assert "1 of 3 rows failed, expired or are gone" in messages
    assert "--retry-failed does" in messages
    assert "1 of 3 rows are not finished: the same command goes on" in messages


def test_what_to_do_about_a_row_is_said_in_the_words_of_the_command_line(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    call("batch", str(written(tmp_path / "rows.jsonl", "x [sandbox:failed]")))
    (line,) = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["error"]["hint"].endswith("To buy it again: --retry-failed.")
