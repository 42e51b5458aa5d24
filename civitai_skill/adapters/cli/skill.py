"""The commands around the skill bundle: install-skill, uninstall-skill, eval-check."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import WorkflowFailed

AGENTS = ("claude", "codex", "cursor", "gemini", "openclaw")


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands to the parser."""
    copy = command(
        "install-skill",
        f"{__name__}:install",
        "copy the agent skills to where an agent looks for them",
        "  civitai-skill install-skill --agent claude\n"
        "  civitai-skill install-skill --agent codex --project\n"
        "  civitai-skill install-skill --dir my-agent/skills",
    )
    _add_target_flags(copy)
    one = "as one folder with the router, instead of one folder a skill"
    copy.add_argument("--bundle", action="store_true", help=one)
    copy.add_argument("--force", action="store_true", help="overwrite files that were changed")
    back = command(
        "uninstall-skill",
        f"{__name__}:uninstall",
        "remove what install-skill copied",
        "  civitai-skill uninstall-skill --agent claude",
    )
    _add_target_flags(back)
    back.add_argument("--force", action="store_true", help="remove files that were changed, too")
    check = command(
        "eval-check",
        f"{__name__}:eval_check",
        "say whether an agent did a task of evals/tasks.json well",
        "  civitai-skill eval-check run-7/RESULT.json",
    )
    check.add_argument("result", metavar="RESULT.json", help="what the agent did; evals/README.md")


def _add_target_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", choices=AGENTS,
                        help="where this one looks (left out: .agents/skills, which most "
                        "share; Claude Code does not)")  # fmt: skip
    parser.add_argument("--project", action="store_true",
                        help="for the project in the current folder, not for the user")  # fmt: skip
    parser.add_argument("--dir", metavar="DIR", help="into this folder instead")


def install(given: argparse.Namespace, output: Output) -> int:
    """Copy the skills to where an agent looks."""
    from civitai_skill.skill.install import install, skills_folder

    target = skills_folder(given.agent, given.dir, given.project)
    done = install(target, whole=given.bundle, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    output.answer(data, "\n".join(map(str, done)), given.out)
    return 0


def uninstall(given: argparse.Namespace, output: Output) -> int:
    """Take back what install-skill copied."""
    from civitai_skill.skill.install import skills_folder, uninstall

    target = skills_folder(given.agent, given.dir, given.project)
    done = uninstall(target, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    nothing = f"nothing in {target} was installed by civitai-skill"
    output.answer(data, "\n".join(map(str, done)) or nothing, given.out)
    return 0


def eval_check(given: argparse.Namespace, output: Output) -> int:
    """Say whether a finished task passes."""
    from civitai_skill.adapters.cli.transcript import outcome
    from civitai_skill.evals import judge

    verdict = judge(outcome(Path(given.result)))
    lines = [f"{verdict.task}: {'pass' if verdict.passed else 'fail'}"]
    text = "\n".join([*lines, *(f"  {line}" for line in verdict.wrong)])
    output.answer(verdict.as_dict(), text, given.out)
    return 0 if verdict.passed else WorkflowFailed.exit_code
