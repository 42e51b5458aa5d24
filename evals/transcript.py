"""What an agent did, as its RESULT.json tells it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civitai_skill.adapters.cli.parser import parse
from civitai_skill.errors import CivitaiError, Problem, RequestInvalid
from civitai_skill.schema.types import read_json
from civitai_skill.tools.reading import read_arguments, to_object
from civitai_skill.tools.registry import BY_NAME

_FORM = 'an object with "task", "calls", "result" and "answer"'
_CALL = '{"command": "civitai-skill ..."} or {"tool": "civitai_...", "arguments": {...}}'
_MODELS = {tool.name: tool.arguments for tool in BY_NAME.values()}
#: What a tool does, in the words of the command line.
_TOOLS = {
    "civitai_generate_image": "generate",
    "civitai_submit_image": "generate",
    "civitai_estimate_image": "estimate",
    "civitai_get_image": "get",
    "civitai_query_images": "query",
    "civitai_cancel_image": "cancel",
    "civitai_choose_engine": "choose",
}
#: Exit codes of a call that bought nothing and changed nothing.
_NOTHING_HAPPENED = (2, 3, 4)
_PROGRAMS = ("civitai-skill", "civitai.py")
# A part of a shell line that no separator cuts: quoted, escaped, a redirection, or plain.
_PART = re.compile(
    r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|(?:&>>?|[<>]&)|[^'"\\;|&\n()`<>]+|[<>]|(?P<end>[;|&\n()`])""",
    re.DOTALL,
)
_REDIRECTION = re.compile(r"\d*(&?>>?|<|[<>]&)(?P<to>.*)")


@dataclass(frozen=True)
class Call:
    """One call of the agent, whichever door it took: what it did, the fields it set, and whether
    that may have cost Buzz."""

    action: str
    fields: Mapping[str, Any]
    buys: bool = False


#: The action of a call that can't be understood.
UNREADABLE = "unreadable"
#: A call that did nothing.
REFUSED = Call("refused", {})


@dataclass(frozen=True)
class Outcome:
    """A finished task: its calls, the JSON of the last answer, the words to the user, and the
    folder that relative picture paths start from."""

    task: str
    calls: Sequence[Call]
    result: Mapping[str, Any]
    answer: str
    folder: Path


def outcome(path: Path) -> Outcome:
    """Read a RESULT.json. Raises RequestInvalid."""
    try:
        told = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not JSON"
        raise RequestInvalid(Problem("RESULT.json", str(path), _FORM, None, why)) from None
    right = {"task": str, "calls": list, "result": dict, "answer": str}
    if not isinstance(told, dict) or not all(isinstance(told.get(n), t) for n, t in right.items()):
        raise RequestInvalid(Problem("RESULT.json", None, _FORM, None, "something is missing"))
    calls = [made for n, call in enumerate(told["calls"], 1) for made in _calls(call, n)]
    return Outcome(told["task"], calls, told["result"], told["answer"], path.absolute().parent)


def _calls(call: Any, n: int) -> Iterator[Call]:
    if isinstance(call, dict):
        code = call.get("exit_code")
        if isinstance(call.get("command"), str):
            yield from _of_line(call["command"], code, n)
            return
        name = str(call.get("tool")).replace("-", "_")
        if name in _TOOLS:
            yield REFUSED if code in _NOTHING_HAPPENED else _of_tool(name, call.get("arguments"))
            return
    raise RequestInvalid(Problem(f"calls[{n}]", call, _CALL))


def _of_tool(name: str, arguments: Any) -> Call:
    try:
        said = to_object(arguments)
        given = read_arguments(_MODELS, name, said)
    except RequestInvalid:
        return REFUSED  # as the tool itself does
    fields = {field: value for field, value in given if field in said}
    if fields.get("estimate_only"):
        return Call("estimate", fields)
    return Call(_TOOLS[name], fields, buys=BY_NAME[name].spends)


# -- a shell line ----------------------------------------------------------------------------------
def _of_line(line: str, code: Any, n: int) -> Iterator[Call]:
    """Every call of ours in a line; its exit code is that of the last command."""
    try:
        parts = [shlex.split(part) for part in _commands(line)]
    except ValueError as error:
        raise RequestInvalid(Problem(f"calls[{n}]", line, "", None, str(error))) from None
    found = [(_ours(words), i == len(parts)) for i, words in enumerate(parts, 1)]
    ours = [(words, last) for words, last in found if words is not None]
    if not ours:
        accepted = "a command line with civitai-skill or scripts/civitai.py"
        raise RequestInvalid(Problem(f"calls[{n}]", line, accepted))
    for words, last in ours:
        yield _of_command(words, code if last else None, line, len(ours) == 1)


def _commands(line: str) -> list[str]:
    """The line cut where the shell cuts it."""
    commands = [""]
    place = 0
    line = line.replace("\\\n", " ")
    while place < len(line):
        part = _PART.match(line, place)
        text = line[place] if part is None else part[0]
        if part is not None and part["end"]:
            commands.append("")
        else:
            commands[-1] += text
        place += len(text)
    return [command for command in commands if command.strip()]


def _ours(words: list[str]) -> list[str] | None:
    """The words behind our program's name, without redirections."""
    starts = [i for i, word in enumerate(words) if Path(word).name in _PROGRAMS]
    if not starts:
        return None
    kept: list[str] = []
    rest = iter(words[starts[0] + 1 :])
    for word in rest:
        to = _REDIRECTION.fullmatch(word)
        if to is None:
            kept.append(word)
        elif not to["to"]:
            next(rest, None)
    return kept


def _of_command(words: list[str], code: Any, line: str, alone: bool) -> Call:
    if code in _NOTHING_HAPPENED:
        return REFUSED
    if not words or {"--help", "-h", "--version"} & set(words):
        return Call("help", {})
    try:
        given = vars(parse(words))
    except CivitaiError:
        # What is refused does not end with 0: then the shell made something else of the line.
        return Call(UNREADABLE, {"line": line}) if code == 0 and alone else REFUSED
    return Call(given.pop("command"), given, buys=_buys(given, words[0]))


def _buys(given: Mapping[str, Any], command: str) -> bool:
    if command in ("batch", "sweep"):
        return not given["dry_run"]
    if command == "resume":
        return bool(given["retry_failed"])
    return command in ("generate", "again", "release")
