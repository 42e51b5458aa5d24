"""Standard output and standard error that break under a command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.streams import Stream
from civitai_skill.adapters.mcp import server
from civitai_skill.config import Settings
from civitai_skill.errors import AnswerLost
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Sandbox, port
from civitai_skill.servers import serve as serving

SMALL = ("--engine", "sdxl", "--width", "64", "--height", "64")
ESCAPE = "\x1b[31m"


@pytest.fixture(autouse=True)
def _in_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    return Sandbox(clean_environment / "sandbox.sqlite3")


@contextmanager
def unread() -> Iterator[Any]:
    """A stream whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@contextmanager
def full() -> Iterator[Any]:
    """A stream onto a disk without room."""
    with Path("/dev/full").open("w") as stream:
        yield stream


@contextmanager
def closed() -> Iterator[Any]:
    """A stream that was closed before the start."""
    yield None


BROKEN = [
    pytest.param(unread, id="unread"),
    pytest.param(closed, id="closed"),
    pytest.param(full, id="full", marks=pytest.mark.skipif(
        not Path("/dev/full").exists(), reason="there is no /dev/full here")),
]  # fmt: skip


@pytest.mark.parametrize("stream", BROKEN)
def test_words_that_nobody_hears_do_not_stop_the_work(
    stream: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with stream() as err, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", err)
        code = main(["generate", "a fox", *SMALL])
    out, _ = capsys.readouterr()

    assert code == 0
    assert Path(json.loads(out)["images"][0]["path"]).exists()


@pytest.mark.parametrize("stream", BROKEN)
def test_an_answer_that_can_not_be_written_is_no_success(
    stream: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    with stream() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = main(["generate", "a fox", *SMALL, "--quiet"])
    _, err = capsys.readouterr()
    (run,) = Ledger(Settings.load().ledger).history()

    assert code == 8
    assert err.startswith("civitai-skill: The answer could not be written to standard output: ")
    assert err.endswith(
        "Buzz is committed for this workflow. "
        f"Look at it with `civitai-skill get {run['workflow']} --wait`.\n"
    )
    assert (run["state"], len(list(tmp_path.glob("*.jpeg")))) == ("open", 1)
    assert main(["generate", "a fox", *SMALL, "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["resumed"]) == (run["workflow"], True), "nothing is bought twice"


@pytest.mark.parametrize(
    ("words", "code", "spent"),
    [
        (("--help",), 8, "No Buzz was spent."),
        (("--version",), 8, "No Buzz was spent."),
        (("query",), 8, "No Buzz was spent."),
        (("engines", "no-such"), 2, "No Buzz was spent."),
        (("sweep", "--prompt", "a {x}", "--set", "x=fox", *SMALL), 8, "It is not known whether"),
        (("sweep", "--prompt", "a {x}", "--set", "x=fox", "--dry-run"), 8, "No Buzz was spent."),
    ],
)
def test_whatever_can_not_be_told_says_what_was_spent(
    words: tuple[str, ...],
    code: int,
    spent: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unread() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main([*words, *(() if words[0].startswith("--") else ("--json",))]) == code
    err = capsys.readouterr().err
    assert spent in err
    assert "Traceback" not in err


def test_no_wait_is_finished_when_its_id_was_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], box: Sandbox
) -> None:
    words = ["generate", "a fox [sandbox:stuck]", *SMALL, "--no-wait", "--quiet"]
    with unread() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(words) == 8
    lost = Ledger(Settings.load().ledger).history()[0]
    capsys.readouterr()
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)

    assert (lost["state"], told["id"], told["resumed"]) == ("open", lost["workflow"], True)
    assert box.accounts()[0]["workflows"] == 1
    assert main(words) == 0  # it was handed over, so this is another
    assert box.accounts()[0]["workflows"] == 2


def test_waiting_goes_on_with_what_no_wait_could_not_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], box: Sandbox
) -> None:
    words = ["generate", "a fox [sandbox:slow=0.3]", *SMALL, "--out", "pics", "--quiet"]
    with unread() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main([*words, "--no-wait"]) == 8
    capsys.readouterr()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] is True
    assert box.accounts()[0]["workflows"] == 1


@pytest.mark.slow
def test_readers_that_go_away_get_no_complaint_at_the_end(box: Sandbox) -> None:
    """What is left in a buffer is written once more when the interpreter ends."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "civitai_skill", "generate", "a fox", *SMALL]
    done = subprocess.run(words, stdout=writer, stderr=writer, timeout=60, check=False)
    err = subprocess.run(
        [*words[:3], "engines"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)

    assert (done.returncode, err.returncode) == (8, 8)
    assert err.stderr.startswith(b"civitai-skill: The answer could not be written")
    assert len(err.stderr.splitlines()) == 1
    assert box.accounts()[0]["workflows"] == 1


@pytest.mark.parametrize("stream", BROKEN)
@pytest.mark.parametrize("command", ["sandbox", "rest"])
def test_a_server_whose_address_nobody_reads_serves(
    command: str, stream: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def serve(*given: Any) -> None:
        print("ready", flush=True)
        told.append("serves")

    monkeypatch.setattr(port, "serve", serve)
    monkeypatch.setattr(serving, "serve", serve)
    with stream() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main([command]) == 0
    assert told == ["serves"]


@pytest.mark.parametrize(
    ("troubles", "code"), [([BrokenPipeError()], 8), ([BrokenPipeError(), TypeError()], 1)]
)
def test_a_server_whose_client_has_gone_ends_in_words(
    troubles: list[Exception],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def serve_stdio(made: Any) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", troubles)])

    monkeypatch.setattr(server, "serve_stdio", serve_stdio)
    assert main(["mcp", "--stdio"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize("words", [("generate", "-"), ("batch", "-"), ("mcp", "--stdio")])
def test_a_closed_standard_input_is_an_empty_one(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        code = main([*words])
    assert code == (0 if words[0] == "mcp" else 2)
    assert "Traceback" not in capsys.readouterr().err


def test_what_broke_stays_broken() -> None:
    with unread() as stream:
        answers = Stream(stream, answers=True)
        for _ in range(2):
            with pytest.raises(AnswerLost):
                print("x", file=answers, flush=True)


def test_a_letter_that_the_stream_lacks_does_not_cost_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["generate", "a ä 日本", *SMALL, "--quiet"]) == 0
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(["query", "--quiet"]) == 0
    out.seek(0)

    assert json.loads(out.read())["items"][0]["prompt"] == "a ä 日本"


# -- foreign text ----------------------------------------------------------------------------------
def test_an_interruption_and_a_defect_move_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from civitai_skill.adapters.cli import engines

    def interrupted(given: Any, output: Any) -> int:
        output.workflow_id = f"1-2{ESCAPE}"
        raise KeyboardInterrupt

    def broken(given: Any, output: Any) -> int:
        output.key = f"cs-1{ESCAPE}"
        raise RuntimeError(f"oops {ESCAPE}")

    for command, code, words in ((interrupted, 130, "1-2?[31m goes on"), (broken, 1, "oops ?[31m")):
        monkeypatch.setattr(engines, "engines", command)
        assert main(["engines"]) == code
        out, err = capsys.readouterr()
        assert words in err
        assert "\x1b" not in out + err
        assert json.loads(out)["error"]["spent"] == ("yes" if code == 130 else "unknown")
