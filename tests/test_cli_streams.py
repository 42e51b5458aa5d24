"""The command line when nobody reads what it says: the work is done, the answer's loss is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import UNHEARD, main
from civitai_skill.ledger import Ledger
from civitai_skill.sandbox import Sandbox
from tests.books import charged

SMALL = ["--engine", "sdxl", "--width", "64", "--height", "64"]


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    return Sandbox(clean_environment / "sandbox.sqlite3", seconds_per_job=0.02)


@contextmanager
def nobody() -> Iterator[int]:
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


def run(*words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        [sys.executable, "-m", "civitai_skill", *words, "--sandbox"],
        text=True, timeout=60, check=False, **streams,
    )  # fmt: skip


def test_messages_that_nobody_reads_break_nothing(box: Sandbox, tmp_path: Path) -> None:
    with nobody() as gone:
        done = run("generate", "a fox", *SMALL, "--out", str(tmp_path), stderr=gone)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["images"]) == len(list(tmp_path.glob("*.jpeg"))) == 1


@pytest.mark.parametrize("full", [True, False], ids=["a full disk", "a closed pipe"])
def test_an_answer_that_can_t_be_given_is_an_ending_of_its_own(
    box: Sandbox, tmp_path: Path, full: bool
) -> None:
    if full and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    words = ["generate", "a fox", *SMALL, "--out", str(tmp_path)]
    with nobody() as gone, Path("/dev/full" if full else os.devnull).open("w") as file:
        done = run(*words, stdout=file if full else gone)
    assert done.returncode == UNHEARD
    assert "the answer can't be written to standard output" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("*.jpeg"))) == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["engines"], ["generate", "x", "--sandbox", "--engine", "zzz"]]
)
def test_streams_that_are_closed_from_the_beginning(words: list[str]) -> None:
    line = f'exec "{sys.executable}" -m civitai_skill "$@" >&- 2>&-'
    done = subprocess.run(["sh", "-c", line, "sh", *words], timeout=60, check=False)
    assert done.returncode == (2 if "zzz" in words else UNHEARD)


def test_an_id_that_was_never_told_is_gone_on_with(box: Sandbox, clean_environment: Path) -> None:
    words = ["generate", "a fox", *SMALL, "--no-wait"]
    with nobody() as gone:
        assert run(*words, stdout=gone).returncode == UNHEARD
    (left,) = Ledger(clean_environment / "sandbox-ledger.sqlite3").history()
    assert left["state"] == "open"
    second = json.loads(run(*words).stdout)
    assert (second["id"], second["resumed"]) == (left["workflow"], True)
    third = json.loads(run(*words).stdout)
    assert (third["id"] == second["id"], third["resumed"]) == (False, False)
    assert charged(box) == 2


def test_an_interruption_moves_no_cursor(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from civitai_skill.client import Civitai

    endings: list[BaseException] = [KeyboardInterrupt(), RuntimeError("\x1b[31mred")]

    def interrupted(*given: Any, **more: Any) -> None:
        raise endings.pop(0)

    monkeypatch.setattr(Civitai, "generate", interrupted)
    ledger = str(tmp_path / "\x1b[31m.sqlite3")
    for code in (130, 1):
        assert main(["generate", "a fox", "--sandbox", "--ledger", ledger]) == code
        assert "\x1b" not in capsys.readouterr().err


# -- again -----------------------------------------------------------------------------------------
def sweep(tmp_path: Path) -> Path:
    out = str(tmp_path / "first")
    assert main(["sweep", "--prompt", "a fox", *SMALL, "--sandbox", "--out", out]) == 0
    (picture,) = Path(out).glob("*.jpeg")
    return picture


def test_pictures_that_came_have_their_notes_although_others_are_missing(
    box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = sweep(tmp_path), tmp_path / "more"
    words = ["again", str(picture), "--prompt", "x [sandbox:partial]", "--quantity", "2"]
    assert main([*words, "--sandbox", "--out", str(out)]) == 5
    (came,) = out.glob("*.jpeg")
    assert json.loads(came.with_suffix(".json").read_text())["request"]["quantity"] == 2


def test_a_note_that_can_t_be_written_loses_no_picture(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    picture = sweep(tmp_path)

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("civitai_skill.provenance.keep", full)
    capsys.readouterr()
    assert main(["again", str(picture), "--sandbox", "--out", str(tmp_path / "more")]) == 0
    told = capsys.readouterr()
    assert "NAME.json can't be written beside a picture: No space left" in told.err
    assert Path(json.loads(told.out)["images"][0]["path"]).exists()


def test_again_buys_anew_where_that_is_said(
    box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["again", str(sweep(tmp_path)), "--prompt", "x [sandbox:slow=60]", "--seed", "5"]
    words += ["--sandbox", "--out", str(tmp_path / "more"), "--timeout", "0"]
    capsys.readouterr()
    found = []
    for more in ([], [], ["--again"]):
        assert main([*words, *more]) == 6
        found.append(json.loads(capsys.readouterr().out)["id"])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("prompt", ["{a:>10}", "{a!r}", "{a.x}", "{a[0]}", "{}", "{a:}{a b}"])
def test_a_sweep_fills_in_plain_names_only(
    box: Sandbox, capsys: pytest.CaptureFixture[str], prompt: str
) -> None:
    words = ["sweep", "--prompt", f"x {prompt}", "--set", "a=b", "--dry-run", "--sandbox"]
    assert main(words) == 2
    assert "is no plain name" in capsys.readouterr().err


def test_a_narrow_encoding_costs_letters_and_nothing_else(box: Sandbox, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("generate", "a fox", *SMALL, "--out", str(tmp_path / "f\u00fcchse"), env=env)
    assert done.returncode == 0
    assert "f?chse" in json.loads(done.stdout)["images"][0]["path"]
