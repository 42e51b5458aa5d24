"""The commands around the skill bundle: install-skill, uninstall-skill, eval-check."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import CivitaiError, Problem, RequestInvalid, WorkflowFailed

AGENTS = ("claude", "codex", "cursor", "gemini", "openclaw")


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands to the parser."""
    copy = command(
        "install-skill",
        f"{__name__}:install",
        "copy the agent skills to where an agent looks for them",
        "  civitai-skill install-skill --agent claude\n"
        "  civitai-skill install-skill --agent codex --project\n"
        "  civitai-skill install-skill --dir my-agent/skills",
    )
    _where(copy)
    one = "as one folder with the router, instead of one folder a skill"
    copy.add_argument("--bundle", action="store_true", help=one)
    copy.add_argument("--force", action="store_true", help="overwrite files that were changed")
    back = command(
        "uninstall-skill",
        f"{__name__}:uninstall",
        "remove what install-skill copied",
        "  civitai-skill uninstall-skill --agent claude",
    )
    _where(back)
    back.add_argument("--force", action="store_true", help="remove files that were changed, too")
    check = command(
        "eval-check",
        f"{__name__}:eval_check",
        "say whether an agent did a task of evals/tasks.json well",
        "  civitai-skill eval-check run-7/RESULT.json",
    )
    check.add_argument("result", metavar="RESULT.json", help="what the agent did; evals/README.md")


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", choices=AGENTS,
                        help="where this one looks (left out: .agents/skills, which most "
                        "share; Claude Code does not)")  # fmt: skip
    parser.add_argument("--project", action="store_true",
                        help="for the project in the current folder, not for the user")  # fmt: skip
    parser.add_argument("--dir", metavar="DIR", help="into this folder instead")


def install(given: argparse.Namespace, output: Output) -> int:
    """Copy the skills to where an agent looks."""
    from civitai_skill.install import install, place

    target = place(given.agent, given.dir, given.project)
    done = install(target, whole=given.bundle, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    output.answer(data, "\n".join(map(str, done)), given.out)
    return 0


def uninstall(given: argparse.Namespace, output: Output) -> int:
    """Take back what install-skill copied."""
    from civitai_skill.install import place, uninstall

    target = place(given.agent, given.dir, given.project)
    done = uninstall(target, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    nothing = f"nothing in {target} was installed by civitai-skill"
    output.answer(data, "\n".join(map(str, done)) or nothing, given.out)
    return 0


def eval_check(given: argparse.Namespace, output: Output) -> int:
    """Say whether a finished task passes."""
    from civitai_skill.evals import judge

    verdict = judge(_outcome(Path(given.result)))
    lines = [f"{verdict.task}: {'pass' if verdict.passed else 'fail'}"]
    text = "\n".join([*lines, *(f"  {line}" for line in verdict.wrong)])
    output.answer(verdict.as_dict(), text, given.out)
    return 0 if verdict.passed else WorkflowFailed.exit_code


# -- a result file ---------------------------------------------------------------------------------
_FORM = 'an object with "task", "calls", "result" and "answer"'
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
_SHELL = frozenset({"|", "||", "&", "&&", ";"})


def _outcome(path: Path) -> Any:
    from civitai_skill.evals import Outcome

    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not JSON"
        raise RequestInvalid(Problem("RESULT.json", str(path), _FORM, None, why)) from None
    right = {"task": str, "calls": list, "result": dict, "answer": str}
    if not isinstance(told, dict) or not all(isinstance(told.get(n), t) for n, t in right.items()):
        raise RequestInvalid(Problem("RESULT.json", None, _FORM, None, "something is missing"))
    calls = [_call(call, n) for n, call in enumerate(told["calls"], 1)]
    return Outcome(told["task"], calls, told["result"], told["answer"], path.absolute().parent)


def _call(call: Any, n: int) -> Any:
    from civitai_skill.evals import Call

    if isinstance(call, dict):
        if call.get("exit_code", 0) in _NOTHING_HAPPENED:
            return Call("refused", {})
        if isinstance(call.get("command"), str):
            return _of_command(call["command"], n)
        fields = call.get("arguments")
        if call.get("tool") in _TOOLS and isinstance(fields, dict):
            action = _TOOLS[call["tool"]]
            estimating = action == "generate" and fields.get("estimate_only")
            return Call("estimate" if estimating else action, fields)
    accepted = '{"command": "civitai-skill ..."} or {"tool": "civitai_...", "arguments": {...}}'
    raise RequestInvalid(Problem(f"calls[{n}]", call, accepted))


def _of_command(line: str, n: int) -> Any:
    import shlex

    from civitai_skill.adapters.cli.parser import parse
    from civitai_skill.evals import Call

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise RequestInvalid(Problem(f"calls[{n}]", line, "", None, str(error))) from None
    starts = [i for i, w in enumerate(words) if Path(w).name in ("civitai-skill", "civitai.py")]
    if not starts:
        accepted = "a command line with civitai-skill or scripts/civitai.py"
        raise RequestInvalid(Problem(f"calls[{n}]", line, accepted))
    words = words[starts[0] + 1 :]
    ends = [i for i, w in enumerate(words) if w in _SHELL or w.startswith(("2>", ">"))]
    words = words[: min(ends, default=len(words))]
    if not words or {"--help", "-h", "--version"} & set(words):
        return Call("help", {})
    try:
        given = vars(parse(words))
    except CivitaiError:
        return Call("refused", {})
    return Call(given.pop("command"), given)
