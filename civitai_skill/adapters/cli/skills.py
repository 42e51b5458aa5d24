"""The commands around the skill bundle: install-skill, uninstall-skill, eval-check."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import Problem, RequestInvalid, WorkflowFailed


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

    if isinstance(call, dict) and isinstance(call.get("command"), str):
        return _of_command(call["command"], n)
    if isinstance(call, dict) and call.get("tool") in _TOOLS:
        fields = call.get("arguments")
        if isinstance(fields, dict):
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
    given = vars(parse(words[starts[0] + 1 :]))
    return Call(given.pop("command"), given)
