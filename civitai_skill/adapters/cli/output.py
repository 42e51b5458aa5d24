"""What the command line prints: JSON or words on standard output, messages on standard error."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli.interrupts import Interrupts
from civitai_skill.adapters.cli.streams import to_json, to_printable
from civitai_skill.config import uses_sandbox
from civitai_skill.errors import (
    AnswerLost,
    CivitaiError,
    Explanation,
    Problem,
    RequestInvalid,
    Spent,
    explain,
)
from civitai_skill.errors import next_steps as steps

if TYPE_CHECKING:
    from civitai_skill.client import Civitai

#: Commands whose --out is where the pictures of one workflow go.
_SAVING = frozenset({"generate", "get", "again", "remix", "resume"})
_FOR_PICTURES = _SAVING | {"batch", "sweep", "compare", "mcp", "rest", "install-mcp"}

#: Commands that buy, and do not tell which workflow they are at.
_MANY = frozenset({"batch", "sweep", "compare"})

#: Commands whose refusals name their flags; others name the fields of a request.
_NAMING_FLAGS = frozenset({"mcp", "rest", "sandbox", "install-skill", "uninstall-skill"})


#: Commands that speak with no service.
_OFFLINE = frozenset(
    {"", "choose", "doctor", "engines", "mcp", "rest", "sandbox", "completion",
     "install-skill", "uninstall-skill", "install-mcp", "uninstall-mcp"}
)  # fmt: skip


class Output:
    """One command's two streams, and what it says to do next."""

    def __init__(self, given: argparse.Namespace, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        # What an MCP server writes on standard output is the protocol's alone, its failure too.
        protocol = given.command == "mcp" and not getattr(given, "http", False)
        self.json: bool = (given.json or not sys.stdout.isatty()) and not protocol
        self.quiet: bool = given.quiet
        self.command: str = given.command
        self.workflow_id: str | None = None
        self.key: str | None = None
        #: The workflow whose held pictures are being paid for.
        self.releasing: str | None = None
        self.resumed = False
        self._buys_many = given.command in _MANY and not given.dry_run
        self._out: str | None = given.out if given.command in _SAVING else None
        #: The fields that are flags of this command.
        self._named = vars(given).keys() if given.command in _NAMING_FLAGS else frozenset()
        self._flags = ["--sandbox"] if getattr(given, "sandbox", False) else []
        self._flags += ["--ledger", given.ledger] if getattr(given, "ledger", None) else []
        #: Does this command speak with the sandbox? Then every answer says so.
        self.sandbox = given.command not in _OFFLINE and uses_sandbox(
            getattr(given, "sandbox", False)
        )
        self._said_sandbox = not self.sandbox
        #: What was said of a plan; the answer need not say it again.
        self.told: set[str] = set()
        self.live = sys.stderr.isatty() and not self.quiet
        self._line = ""
        self._started = time.monotonic()
        self._client: Civitai | None = None

    def open_client(self, given: argparse.Namespace) -> Civitai:
        """A client that is closed once the command's answer is out."""
        from civitai_skill.adapters.cli.request import load_settings
        from civitai_skill.client import Civitai

        settings = load_settings(given)
        self._client = Civitai(settings=settings)
        self.sandbox = self.sandbox or settings.sandbox
        return self._client

    def close_client(self, answered: bool) -> None:
        """Close the client; what was bought stays open where its answer did not get out: the same
        command goes on with it."""
        if self._client is not None:
            if not answered:
                self._client.keep_open()
            self._client.close()

    @classmethod
    def for_argv(cls, words: Sequence[str], interrupts: Interrupts) -> Output:
        """An output for the time before the words are understood."""
        command = "mcp" if "mcp" in words and "--http" not in words else ""
        known = {"json": "--json" in words, "quiet": False, "command": command, "out": None}
        return cls(argparse.Namespace(**known), interrupts)

    @property
    def spent(self) -> Spent:
        """Was Buzz spent, as far as the events tell?"""
        if self.workflow_id is not None:
            return "yes"
        unsure = self.key is not None or self.releasing is not None or self._buys_many
        return "unknown" if unsure else "no"

    # -- what to do next -------------------------------------------------------------------
    def command_line(self, command: str, *words: str) -> str:
        """A command in the shell's words, with the flags that lead to where this one works."""
        return f"`{shlex.join(['civitai-skill', command, *words, *self._flags])}`"

    def render(self, step: steps.Next) -> str:
        """A next step as a command or a flag."""
        place = ["--out", self._out] if self._out else []
        line = self.command_line
        match step:
            case steps.Look(str() as id, save=True):
                fetch = line("get", id, "--wait", *(place or ["--out", "FOLDER"]))
                return f"Fetch its pictures with {fetch}."
            case steps.Look(str() as id):
                return f"Look at it with {line('get', id, '--wait', *place)}."
            case steps.Look():
                return f"See the latest workflows with {line('query')}."
            case steps.Resume():
                again = "The same command again goes on with it and can't pay twice"
                return f"{again}; so does {line('resume')}."
            case steps.Settle(key):
                return f"To learn what became of it: {line('resume', key)}."
            case steps.BuyAgain():
                return "To buy it anew as well: --again."
            case steps.TryAgain(id):
                return f"To buy it once more: {line('resume', id, '--retry-failed', *place)}."
            case steps.Allow(price):
                return f"To allow more: --max-buzz {'N' if price is None else price}."
            case steps.RaiseBudget(str() as per):
                more = line("budget", "set", "N", "--per", per)
                return f"To allow more: {more}, or CIVITAI_BUDGET where that is set."
            case steps.RaiseBudget():
                return "To allow more, start the server with a higher --budget."
            case steps.Choose():
                return f"{line('choose')} ranks the engines, {line('engines')} lists them."
            case steps.Release(id):
                return (
                    f"Only its owner may release it, for yellow Buzz, with {line('release', id)}."
                )
            case steps.Say(option, to):
                return f"To {to}: {_flag(option)}."
            case steps.Vary(field, to):
                return f"For another one: {_flag(field)} {to}."
            case steps.Remix(source):
                return f"To make one like it: {line('remix', source)}."
            case steps.UseSandbox():
                return "To try it without a key: --sandbox."
            case steps.Fix(field, nearest) if field in self._named:
                return f"To go on: {_flag(field)} {nearest}."
        return ""  # the message says it

    def explain(self, error: CivitaiError) -> Explanation:
        """An error in the words of the command line."""
        if isinstance(error, RequestInvalid) and self._named:
            named = [
                replace(p, field=_flag(p.field)) if p.field in self._named else p
                for p in error.problems
            ]
            error = error.about(*named)
        return explain(error, self.render)

    # -- standard output -------------------------------------------------------------------
    def answer(self, data: Any, text: str, out: str | None = None) -> None:
        """Print the answer; with `out`, write it there as JSON too. Raises AnswerLost."""
        self._clear_line()
        for name in {"notes", "warnings"} & set(data if isinstance(data, dict) else ()):
            data = {**data, name: [steps.advise(told, self.render) for told in data[name]]}
        if self.sandbox:
            data, text = mark(data), f"{text}\n{_SANDBOX}"
        self.interrupts.hold()  # an answer is whole, or not there
        try:
            if out is not None:
                self._write(to_json(data) + "\n", Path(out) / f"{self.command}.json")
            print(to_json(data) if self.json else to_printable(text), flush=True)
        except AnswerLost as lost:
            # What became of the work, at least.
            fate: dict[str, Any] = {"advice": "" if self.spent == "no" else _SAME_AGAIN}
            if self.workflow_id is not None:
                fate = {"next": (steps.Look(self.workflow_id),)}
            raise lost.replace(spent=self.spent, **fate) from None

    def _write(self, text: str, path: Path) -> None:
        from civitai_skill.client import write_atomic

        try:
            write_atomic(path, text.encode())
        except OSError as error:
            raise AnswerLost(error.strerror or "not usable", str(path)) from None

    def check_folder(self, out: str | None) -> None:
        """Try the answer's folder before anything is done. Raises RequestInvalid."""
        if out is None or self.command in _FOR_PICTURES:
            return
        from civitai_skill.client import write_temporary

        try:
            Path(out).mkdir(parents=True, exist_ok=True)
            with write_temporary(Path(out), b""):
                pass
        except OSError as error:
            why = error.strerror or "not usable"
            accepted = "a folder that can be written to"
            raise RequestInvalid(Problem("--out", out, accepted, None, why)) from None

    # -- standard error --------------------------------------------------------------------
    def say(self, text: str) -> None:
        """A message on a line of its own; silent with --quiet."""
        if not self.quiet:
            self.warn(text, "")

    def say_once(self, title: str, text: str) -> None:
        """A message that several steps of a command may bring."""
        if not self.quiet and text not in self.told:
            self.told.add(text)
            self.say(f"{title}: {steps.advise(text, self.render)}")

    def warn(self, text: str, before: str = "civitai-skill: ") -> None:
        """A message that --quiet does not silence."""
        self._clear_line()
        if not self._said_sandbox and not self.quiet:
            self._said_sandbox = True
            print(_SANDBOX, file=sys.stderr, flush=True)
        print(to_printable(before + text), file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Where it stands: one line that is overwritten, or a line for each change."""
        if self.quiet or (not self.live and text == self._line):
            return
        elapsed = time.monotonic() - self._started
        self._clear_line()
        begin, end = ("\r", "") if self.live else ("", "\n")
        line = f"{begin}{to_printable(text)}, {elapsed:.0f} s"
        print(line, end=end, file=sys.stderr, flush=True)
        self._line = text

    def _clear_line(self) -> None:
        if self.live and self._line:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    # -- endings -----------------------------------------------------------------------------
    def report_error(self, error: CivitaiError) -> int:
        """Tell an error in both forms and give its exit code."""
        self._print_json_ending(self.warn_of(error))
        return error.exit_code

    def warn_of(self, error: CivitaiError, about: str = "") -> dict[str, Any]:
        """Tell an error that is one of several endings, and what it is about; gives it as JSON."""
        explained = self.explain(error)
        self.warn(about + explained.text())
        result = {} if error.result is None else error.result.as_dict()
        return {**result, "error": explained.as_dict()}

    def report_interrupt(self) -> None:
        """Say what goes on after an interruption."""
        if self.workflow_id is not None:
            text = (
                f"Workflow {self.workflow_id} goes on and its Buzz is committed. "
                f"{self.render(steps.Look(self.workflow_id))} "
                f"Stop it with {self.command_line('cancel', self.workflow_id)}."
            )
        elif self.key is not None:
            text = (
                f"It is not known whether the service took the submit (key {self.key}). "
                + self.render(steps.Resume(self.key))
            )
        elif self.releasing is not None:
            text = (
                f"It is not known whether the service took the release of {self.releasing}. The "
                f"same command again can't pay twice. {self.render(steps.Look(self.releasing))}"
            )
        else:
            text = "Nothing had been submitted. No Buzz was spent."
        text = f"{self.interrupts.name}. {text}"
        self.warn(text, "\ncivitai-skill: ")
        self._print_json_ending(None, "interrupted", text)

    def report_defect(self) -> None:
        """An error that is nobody's but ours."""
        text = "this is a defect of civitai-skill; please report the lines above."
        if self.workflow_id is not None:
            text += f" Workflow {self.workflow_id} goes on."
        elif self.spent != "no":
            text += " What was bought is kept: the same command again goes on with it."
        self.warn(text, f"{traceback.format_exc()}civitai-skill: ")
        self._print_json_ending(None, "defect", "a defect of civitai-skill")

    def _print_json_ending(self, data: Any, code: str = "", text: str = "") -> None:
        """An ending as JSON: `data`, or what is known of one with a `code`.

        Its exit code stays, even if nobody can read this.
        """
        if code:
            error = {"code": code, "message": text, "spent": self.spent}
            data = {"id": self.workflow_id, "key": self.key, "error": error}
        data = mark(data) if self.sandbox else data
        if self.json:
            with suppress(AnswerLost):
                print(to_json(data), flush=True)


#: What a person is told who uses the sandbox.
_SANDBOX = "Sandbox: placeholder pictures, simulated prices; nothing is paid."


def mark(data: Any) -> Any:
    """An answer that says that it comes from the sandbox, where it is an object."""
    return {**data, "sandbox": True} if isinstance(data, dict) else data


_SAME_AGAIN = "The same command again tells how it stands; nothing is bought twice."


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
