"""Say whether an agent did a task of tasks.json well: python evals/check.py RESULT.json [...]

A task says what the user asks, and what must be true afterwards: of the calls the agent made, of
the pictures, and of what it told the user. How the agent came there is its own affair.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facts import judge_facts
from transcript import UNREADABLE, Call, Outcome, outcome

from civitai_skill.engines.sizing import ratio_value
from civitai_skill.errors import (
    CivitaiError,
    Problem,
    RequestInvalid,
    WorkflowFailed,
    explain,
    preview,
)
from civitai_skill.schema.types import STRENGTHS

TASKS = Path(__file__).resolve().parent / "tasks.json"

#: How far a picture's ratio may be from the one that was asked for; sizes keep to multiples of 16.
_RATIO_SLACK = 0.05


@dataclass(frozen=True)
class Verdict:
    """Passed when nothing is wrong."""

    task: str
    wrong: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        return {"task": self.task, "passed": self.passed, "wrong": list(self.wrong)}


def tasks() -> dict[str, dict[str, Any]]:
    """The tasks by id."""
    found = json.loads(TASKS.read_text(encoding="utf-8"))["tasks"]
    return {task["id"]: task for task in found}


def judge(done: Outcome) -> Verdict:
    """Hold a finished task against what its task expects. Raises RequestInvalid for an unknown."""
    known = tasks()
    if done.task not in known:
        raise RequestInvalid(Problem("task", done.task, "one of " + ", ".join(known)))
    expected = known[done.task]["expect"]
    wrong = [
        *_calls(expected, done),
        *_flags(expected.get("flags", {}), done),
        *_result(expected.get("result", {}), done),
        *_answer(expected, done),
        *(judge_facts(expected["facts"], done.folder) if "facts" in expected else ()),
    ]
    return Verdict(done.task, tuple(wrong))


# -- the calls -------------------------------------------------------------------------------------
def _calls(expected: Mapping[str, Any], done: Outcome) -> Iterator[str]:
    made = [call.action for call in done.calls]
    bought = [call.action for call in done.calls if call.buys]
    for call in done.calls:
        if call.action == UNREADABLE:
            yield f"calls: can't be understood: {preview(call.fields['line'])}"
    for action in expected.get("calls", []):
        if action not in made:
            yield f"calls: no {action} was made"
    never = expected.get("never", [])
    # Whatever buys is as little wanted as the plainest way to do it.
    unwanted = [*never, *(bought if "generate" in never else [])]
    for action in dict.fromkeys(unwanted):
        if action in made:
            yield f"calls: {action} was made, which this task does not want"
    most = expected.get("most_purchases", 1)
    if len(bought) > most:
        yield f"calls: {len(bought)} purchases, where {most} are enough"
    chosen = _deciding(done)
    if chosen is None:
        return
    # What ran says it better than what was asked, because a name has many spellings.
    engine = str(done.result.get("engine") or chosen.fields.get("engine", "flux2"))
    name, _, variant = engine.partition(" ")
    variant = str(done.result.get("variant") or variant)
    wanted = [choice.partition(" ") for choice in expected.get("engines", [])]
    if wanted and not any(name == e and v in ("", variant) for e, _, v in wanted):
        yield f"engine: {name} {variant}, wanted {' or '.join(expected['engines'])}"


def _deciding(done: Outcome) -> Call | None:
    """The call that the flags are read from: the last purchase, else the last estimate."""
    for action in ("generate", "estimate"):
        found = [call for call in done.calls if call.action == action]
        if found:
            return found[-1]
    return done.calls[-1] if done.calls else None


def _flags(expected: Mapping[str, Any], done: Outcome) -> Iterator[str]:
    call = _deciding(done)
    fields = {} if call is None else call.fields
    for name, rule in expected.items():
        given = fields.get(name)
        why = _broken(rule, given)
        if why:
            yield f"{name}: given {preview(given)}, {why}"


def _broken(rule: Any, given: Any) -> str | None:
    """Why a field does not keep a rule of the task, or None."""
    if not isinstance(rule, Mapping):
        return None if given == rule else f"wanted {preview(rule)}"
    number = STRENGTHS.get(given) if isinstance(given, str) else given
    number = number if isinstance(number, int | float) and not isinstance(number, bool) else None
    checks: Mapping[str, Callable[[Any], bool]] = {
        "set": lambda want: want == (given not in (None, [], {}, False)),
        "one_of": lambda want: given in want,
        "least": lambda want: number is not None and number >= want,
        "most": lambda want: number is not None and number <= want,
        "count": lambda want: isinstance(given, list) and len(given) == want,
        "has": lambda want: all(w.lower() in str(given).lower() for w in want),
        "lacks": lambda want: not any(w.lower() in str(given).lower() for w in want),
    }
    for name, want in rule.items():
        if not checks[name](want):
            return f"wanted {name.replace('_', ' ')} {preview(want)}"
    return None


# -- what came of it -------------------------------------------------------------------------------
def _result(expected: Mapping[str, Any], done: Outcome) -> Iterator[str]:
    result = done.result
    if "status" in expected and result.get("status") != expected["status"]:
        yield f"result: status {preview(result.get('status'))}, wanted {expected['status']}"
    if "most_buzz" in expected:
        buzz = _buzz(result)
        if buzz is None or buzz > expected["most_buzz"]:
            yield f"result: {buzz} Buzz, wanted at most {expected['most_buzz']}"
    if "pictures" in expected:
        paths = _paths(result)
        if len(paths) != expected["pictures"]:
            yield f"result: {len(paths)} pictures, wanted {expected['pictures']}"
        for path in paths:
            yield from _picture(expected, done.folder / path, path)


def _picture(expected: Mapping[str, Any], file: Path, name: str) -> Iterator[str]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            (width, height), kind = picture.size, picture.format
    except (OSError, ValueError):
        yield f"result: {name} is not a picture on this disk"
        return
    if "size" in expected and [width, height] != expected["size"]:
        yield f"result: {name} is {width}x{height}, wanted {'x'.join(map(str, expected['size']))}"
    if "ratio" in expected:
        wanted = ratio_value(expected["ratio"])
        if abs(width / height - wanted) > _RATIO_SLACK * wanted:
            yield f"result: {name} is {width}x{height}, wanted {expected['ratio']}"
    if "format" in expected and (kind or "").lower() != expected["format"]:
        yield f"result: {name} is {kind}, wanted {expected['format']}"


def _answer(expected: Mapping[str, Any], done: Outcome) -> Iterator[str]:
    for what in expected.get("answer", []):
        facts = _facts(what, done.result)
        missing = [fact for fact in facts if not _tells(done.answer, fact)]
        if missing or not facts:
            yield f"answer: does not tell the {what} ({', '.join(missing) or 'there is none'})"
    for word in expected.get("says", []):
        if not _says(done.answer, word):
            yield f"answer: does not say {word}"


def _says(answer: str, wanted: str | list[int]) -> bool:
    """Does the answer hold a word, a whole number, or a number of a pair's range?"""
    if isinstance(wanted, str):
        return _tells(answer.lower(), wanted.lower())
    return any(_tells(answer, str(number)) for number in range(wanted[0], wanted[1] + 1))


def _tells(answer: str, fact: str) -> bool:
    """Does the answer hold a fact; a number as a whole one, whatever parts its thousands?"""
    if not fact.isdigit():
        return fact in answer
    joined = re.sub(r"(?<=\d)[,'\u00a0\u202f](?=\d{3}(?!\d))", "", answer)
    return re.search(rf"(?<!\w)(?<!\d[.,]){fact}(?!\w|[.,]\d)", joined) is not None


def _facts(what: str, result: Mapping[str, Any]) -> list[str]:
    """What the answer must hold to have told something of the result."""
    if what == "path":
        return [Path(path).name for path in _paths(result)]
    value = _buzz(result) if what == "price" else result.get("refunded")
    return [] if value is None else [str(value)]


def _paths(result: Mapping[str, Any]) -> list[str]:
    told = result.get("images")
    images = [i for i in told if isinstance(i, Mapping)] if isinstance(told, list) else []
    return [str(image["path"]) for image in images if image.get("path")]


def _buzz(result: Mapping[str, Any]) -> int | None:
    """The price, as `generate`, `estimate` and the tools word it."""
    for holder, name in (("cost", "total"), ("service", "total"), ("offline", "buzz")):
        inner = result.get(holder)
        if isinstance(inner, Mapping) and isinstance(inner.get(name), int):
            return int(inner[name])
    buzz = result.get("buzz")
    return int(buzz) if isinstance(buzz, int) else None


# -- the command -----------------------------------------------------------------------------------
def main(words: Sequence[str] | None = None) -> int:
    """Print a verdict for each file; the worst exit code of them is the command's."""
    parser = argparse.ArgumentParser(description="Say whether an agent did its task well.")
    parser.add_argument("results", nargs="+", metavar="RESULT.json", help="see evals/README.md")
    parser.add_argument("--json", action="store_true", help="JSON, also on a terminal")
    given = parser.parse_args(words)
    as_json = given.json or not sys.stdout.isatty()
    return max(_check(Path(path), as_json) for path in given.results)


def _check(path: Path, as_json: bool) -> int:
    try:
        verdict = judge(outcome(path))
    except CivitaiError as error:
        told = explain(error)
        print(f"{path}: {told.text()}", file=sys.stderr)
        if as_json:
            print(json.dumps({"error": told.as_dict()}, indent=2))
        return told.exit_code
    if as_json:
        print(json.dumps(verdict.as_dict(), indent=2))
    else:
        lines = [f"{verdict.task}: {'pass' if verdict.passed else 'fail'}"]
        lines += [f"  {line}" for line in verdict.wrong]
        for line in lines:  # a name that the agent wrote must not move the cursor
            print("".join(c if c.isprintable() else "?" for c in line))
    return 0 if verdict.passed else WorkflowFailed.exit_code


if __name__ == "__main__":
    sys.exit(main())
