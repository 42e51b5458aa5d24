"""What the command line prints: JSON or words on standard output, messages on standard error."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from civitai_skill.errors import AnswerLost, CivitaiError, Problem, RequestInvalid, Spent
from civitai_skill.errors.explain import explain
from civitai_skill.storage.files import write_atomic, write_temporary

#: Commands whose --out is where the pictures of one workflow go.
_SAVING = frozenset({"generate", "get", "again"})
_FOR_PICTURES = _SAVING | {"resume", "batch", "sweep", "mcp", "rest"}

#: Commands that buy, and do not tell which workflow they are at.
_MANY = frozenset({"batch", "sweep"})

#: A command that a message tells to go on with, its id, and its folder where it names one.
_COMMAND = re.compile(
    r"civitai-skill (?:get|resume|cancel|query|release)\b(?: [\w-]*\d[\w-]*)?(?: --wait)?"
    r"(?P<out> --out FOLDER)?"
)


class Output:
    """One command's two streams."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.json: bool = given.json or not sys.stdout.isatty()
        self.quiet: bool = given.quiet
        self.command: str = given.command
        self.workflow_id: str | None = None
        self.key: str | None = None
        #: The workflow whose held pictures are being paid for.
        self.releasing: str | None = None
        self.resumed = False
        self._buys_many = given.command in _MANY and not given.dry_run
        self._flags = _shared_flags(given)
        self._out: str | None = given.out if given.command in _SAVING else None
        self.live = sys.stderr.isatty() and not self.quiet
        self._line = ""
        self._started = time.monotonic()

    @classmethod
    def for_argv(cls, words: Sequence[str]) -> Output:
        """An output for the time before the words are understood."""
        return cls(argparse.Namespace(json="--json" in words, quiet=False, command=""))

    @property
    def spent(self) -> Spent:
        """Was Buzz spent, as far as the events tell?"""
        if self.workflow_id is not None:
            return "yes"
        unsure = self.key is not None or self.releasing is not None or self._buys_many
        return "unknown" if unsure else "no"

    # -- standard output -------------------------------------------------------------------
    def answer(self, data: Any, text: str, out: str | None = None) -> None:
        """Print the answer; with `out`, write it there as JSON too. Raises AnswerLost."""
        self._clear_line()
        if out is not None:
            self.write(_to_json(data) + "\n", out, "json")
        try:
            print(_to_json(data) if self.json else _to_printable(text), flush=True)
        except AnswerLost as error:
            self._explain_loss(error)
            raise

    def _explain_loss(self, lost: AnswerLost) -> None:
        """What became of the work whose answer is lost."""
        lost.spent = self.spent
        if self.workflow_id is not None:
            lost.advice = f"Look at it with: civitai-skill get {self.workflow_id}"
        elif self.spent != "no":
            lost.advice = "The same command again tells how it stands; nothing is bought twice."

    def check_folder(self, out: str | None) -> None:
        """Try the answer's folder before anything is done. Raises RequestInvalid."""
        if out is None or self.command in _FOR_PICTURES:
            return
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
            with write_temporary(Path(out), b""):
                pass
        except OSError as error:
            why = error.strerror or "not usable"
            accepted = "a folder that can be written to"
            raise RequestInvalid(Problem("--out", out, accepted, None, why)) from None

    def write(self, text: str, out: str, suffix: str) -> None:
        """Write the command's answer into a folder. Raises AnswerLost."""
        path = Path(out) / f"{self.command}.{suffix}"
        try:
            write_atomic(path, text.encode())
        except OSError as error:
            lost = AnswerLost(error.strerror or "not usable", str(path))
            self._explain_loss(lost)
            raise lost from None

    # -- standard error --------------------------------------------------------------------
    def say(self, text: str) -> None:
        """A message on a line of its own; silent with --quiet."""
        if not self.quiet:
            self._print_message(self._complete_commands(text))

    def warn(self, text: str) -> None:
        """A message that --quiet does not silence."""
        self._print_message(f"civitai-skill: {text}")

    def progress(self, text: str) -> None:
        """Where it stands: one line that is overwritten, or a line for each change."""
        if self.quiet or (not self.live and text == self._line):
            return
        elapsed = time.monotonic() - self._started
        if self.live:
            self._clear_line()
            print(f"\r{_to_printable(text)}, {elapsed:.0f} s", end="", file=sys.stderr, flush=True)
        else:
            print(f"{_to_printable(text)}, {elapsed:.0f} s", file=sys.stderr, flush=True)
        self._line = text

    def _print_message(self, text: str) -> None:
        self._clear_line()
        print(_to_printable(text), file=sys.stderr, flush=True)

    def _complete_commands(self, text: str) -> str:
        """The text, its commands leading to the place that this one works in."""
        return _COMMAND.sub(self._complete_command, text)

    def _complete_command(self, found: re.Match[str]) -> str:
        command, out = found[0].removesuffix(found["out"] or ""), found["out"] or ""
        if self._out and command.startswith("civitai-skill get"):
            out = f" --out {shlex.quote(self._out)}"
        return command + out + self._flags

    def _clear_line(self) -> None:
        if self.live and self._line:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    # -- endings -----------------------------------------------------------------------------
    def report_error(self, error: CivitaiError) -> int:
        """Tell an error in both forms and give its exit code."""
        explained = explain(error)
        explained = replace(explained, hint=self._complete_commands(explained.hint))
        self._print_message(f"civitai-skill: {explained.text()}")
        result = {} if error.result is None else error.result.as_dict()
        self._print_json_ending({**result, "error": explained.as_dict()})
        return explained.exit_code

    def report_interrupt(self) -> None:
        """Say what goes on after an interruption."""
        if self.workflow_id is not None:
            text = (
                f"Interrupted. Workflow {self.workflow_id} goes on and its Buzz is committed. "
                f"Go on with: civitai-skill get {self.workflow_id} --wait; "
                f"or stop it with: civitai-skill cancel {self.workflow_id}"
            )
        elif self.key is not None:
            text = (
                f"Interrupted while submitting: it is not known whether the service took it "
                f"(key {self.key}). The same command again goes on with it and can't pay twice; "
                "so does: civitai-skill resume"
            )
        elif self.releasing is not None:
            text = (
                f"Interrupted while releasing {self.releasing}: it is not known whether the "
                "service took it. The same command again can't pay twice; look first with: "
                f"civitai-skill get {self.releasing}"
            )
        else:
            text = "Interrupted before anything was submitted. No Buzz was spent."
        text = self._complete_commands(text)
        self._print_message(f"\ncivitai-skill: {text}")
        error = {"code": "interrupted", "message": text, "spent": self.spent}
        self._print_json_ending({"id": self.workflow_id, "key": self.key, "error": error})

    def report_defect(self) -> None:
        """An error that is nobody's but ours."""
        text = "civitai-skill: this is a defect of civitai-skill; please report the lines above."
        if self.workflow_id is not None:
            text += f" Workflow {self.workflow_id} goes on."
        elif self.spent != "no":
            text += " What was bought is kept: the same command again goes on with it."
        self._print_message(traceback.format_exc() + text)
        error = {"code": "defect", "message": "a defect of civitai-skill", "spent": self.spent}
        self._print_json_ending({"id": self.workflow_id, "key": self.key, "error": error})

    def _print_json_ending(self, data: Any) -> None:
        """An ending as JSON. Its exit code stays, even if nobody can read this."""
        if self.json:
            with suppress(AnswerLost):
                print(_to_json(data), flush=True)


def _shared_flags(given: argparse.Namespace) -> str:
    """What must stand behind a command, so that it finds what this one began."""
    flags = " --sandbox" if getattr(given, "sandbox", False) else ""
    ledger = getattr(given, "ledger", None)
    return flags + (f" --ledger {shlex.quote(ledger)}" if ledger else "")


def _to_json(data: Any) -> str:
    """JSON in which only printable characters stand as they are."""
    text = json.dumps(data, ensure_ascii=not _is_utf8(sys.stdout), indent=2)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _is_utf8(stream: Any) -> bool:
    return str(stream.encoding).lower().replace("-", "").startswith("utf")


def _to_printable(text: str) -> str:
    """Foreign text must not move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
