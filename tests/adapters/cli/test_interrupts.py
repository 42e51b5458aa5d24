"""Ctrl-C, SIGTERM and SIGHUP, at any instant: one ending in words, its code, and what is paid."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.interrupts import Interrupted, Interrupts
from civitai_skill.config import Settings
from civitai_skill.ledger.ledger import Ledger
from tests.support.thorough import cases

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

SMALL = ("--engine", "sdxl", "--width", "64", "--height", "64")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

#: Runs a command of this process, which gets a signal when an event of a kind is told.
AT_AN_EVENT = """
import os, sys
from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.output import Output

number, kind = int(sys.argv.pop(1)), sys.argv.pop(1)
for name in ("say", "progress"):
    def spoken(self, text, real=getattr(Output, name)):
        real(self, text)
        if text.startswith(kind):
            os.kill(os.getpid(), number)
    setattr(Output, name, spoken)
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _in_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, **more
    )


@pytest.mark.parametrize(
    ("number", "event", "known"),
    [
        (signal.SIGTERM, "Price: ", False),
        (signal.SIGHUP, "Submitted as ", True),
        (signal.SIGINT, "Saved ", True),
    ],
)
def test_a_signal_ends_a_purchase_with_a_word_on_what_is_paid(
    number: int, event: str, known: bool
) -> None:
    done = run("-c", AT_AN_EVENT, str(number), event, "generate", "a fox", *SMALL)
    told = json.loads(done.stdout)
    bought = [row["workflow"] for row in Ledger(Settings.load().ledger).history()]

    assert (done.returncode, "Traceback" in done.stderr) == (128 + number, False)
    assert told["error"]["code"] == "interrupted"
    assert told["error"]["spent"] == ("yes" if known else "no")
    assert [told["id"]] == (bought if known else [None])
    assert told["error"]["message"] in done.stderr
    if known:
        assert f"`civitai-skill get {told['id']} --wait`" in done.stderr
        main(["get", told["id"], "--wait", "--quiet"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_batch_which_then_goes_on(number: int, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox [sandbox:slow=1]"}\n{"prompt": "b"}\n')
    words = ("batch", "rows.jsonl", "--out", "made")
    done = run("-c", AT_AN_EVENT, str(number), "1 of 2", *words)
    assert (done.returncode, "Traceback" in done.stderr) == (128 + number, False)
    assert json.loads(done.stdout)["error"]["code"] == "interrupted"
    assert main(list(words)) == 0
    assert len(Ledger(Settings.load().ledger).history()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("command", ["generate", "batch"])
def test_signals_at_random_instants(command: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox [sandbox:slow=0.2]"}\n' * 3)
    words = ["generate", "a fox [sandbox:slow=0.2]", *SMALL]
    if command == "batch":
        words = ["batch", "rows.jsonl"]
    chance = random.Random(11)
    begun = time.monotonic()
    assert run("-m", "civitai_skill", *words, "--out", "first").returncode == 0
    took = time.monotonic() - begun
    for number in range(cases(25)):
        sent = chance.choice(NUMBERS)
        with subprocess.Popen(
            [sys.executable, "-m", "civitai_skill", *words, "--out", f"o{number}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            # Python itself takes the first moments, and complains in its own way.
            time.sleep(chance.uniform(0.2, max(0.3, took)))
            child.send_signal(sent)
            out, err = child.communicate(timeout=60)
        assert child.returncode in (0, 128 + sent), err
        assert "Traceback" not in err
        told = json.loads(out)
        if child.returncode and "Submitted as " in err:
            assert told["id"] == err.partition("Submitted as ")[2].split()[0]


def test_what_a_callback_swallows_is_heard_again() -> None:
    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def swallow_and_wait() -> None:
        Swallows()
        time.sleep(10)

    interrupts = Interrupts()
    interrupts.catch()
    try:
        interrupts.release()
        with pytest.raises(Interrupted):
            swallow_and_wait()
        assert interrupts.exit_code == 128 + signal.SIGTERM
    finally:
        interrupts.leave()


def test_only_the_first_signal_is_heard() -> None:
    interrupts = Interrupts()
    interrupts.catch()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted):
            interrupts.release()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.exit_code == 128 + signal.SIGHUP
    finally:
        interrupts.leave()


def test_a_process_that_may_not_be_hung_up_goes_on() -> None:
    """As nohup starts it."""
    words = ["-c", AT_AN_EVENT, str(int(signal.SIGHUP)), "Submitted as ", "generate", "a fox"]
    begin = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    done = run(*words, *SMALL, preexec_fn=begin)
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "succeeded")
