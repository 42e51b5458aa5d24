"""The commands around the skill bundle: install-skill, uninstall-skill."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from civitai_skill.adapters.cli.output import Output

AGENTS = ("claude", "codex", "cursor", "gemini", "openclaw")


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the two commands to the parser."""
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
