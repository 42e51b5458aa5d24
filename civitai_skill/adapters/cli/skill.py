"""The commands around the skill bundle: install-skill, uninstall-skill."""

from __future__ import annotations

import argparse

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output

AGENTS = ("claude", "codex", "cursor", "gemini", "openclaw")


def _add_target_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", choices=AGENTS,
                        help="where this one looks (left out: .agents/skills, which most "
                        "share; Claude Code does not)")  # fmt: skip
    parser.add_argument("--project", action="store_true",
                        help="for the project in the current folder, not for the user")  # fmt: skip
    parser.add_argument("--dir", type=values.parse_path, metavar="DIR",
                        help="into this folder instead")  # fmt: skip


SHELLS = ("bash", "zsh", "fish", "powershell")


def add_completion(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "completion bash > ~/.local/share/bash-completion/completions/civitai-skill",
        "completion zsh > ~/.zfunc/_civitai-skill    (with ~/.zfunc in fpath)",
        "completion fish > ~/.config/fish/completions/civitai-skill.fish",
        "completion powershell >> $PROFILE",
    )
    parser.add_argument("shell", choices=SHELLS)


def completion(given: argparse.Namespace, output: Output) -> None:
    """Print the completion of every command and flag for a shell."""
    import shtab

    from civitai_skill.adapters.cli.parser import COMMANDS, build_parser

    parser, _ = build_parser(COMMANDS)
    print(shtab.complete(parser, shell=given.shell), flush=True)


def add_install_skill(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "install-skill --agent claude",
        "install-skill --agent codex --project",
        "install-skill --dir my-agent/skills",
    )
    _add_target_flags(parser)
    one = "as one folder with the router, instead of one folder a skill"
    parser.add_argument("--bundle", action="store_true", help=one)
    parser.add_argument("--force", action="store_true", help="overwrite files that were changed")


def install_skill(given: argparse.Namespace, output: Output) -> None:
    """Copy the skills to where an agent looks."""
    from civitai_skill.skill.install import install, skills_folder

    target = skills_folder(given.agent, given.dir, given.project)
    done = install(target, whole=given.bundle, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    output.answer(data, "\n".join(map(str, done)), given.out)


def add_uninstall_skill(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "uninstall-skill --agent claude")
    _add_target_flags(parser)
    parser.add_argument("--force", action="store_true", help="remove files that were changed, too")


def uninstall_skill(given: argparse.Namespace, output: Output) -> None:
    """Take back what install-skill copied."""
    from civitai_skill.skill.install import skills_folder, uninstall

    target = skills_folder(given.agent, given.dir, given.project)
    done = uninstall(target, force=given.force)
    data = {"folder": str(target), "skills": [one.as_dict() for one in done]}
    nothing = f"nothing in {target} was installed by civitai-skill"
    output.answer(data, "\n".join(map(str, done)) or nothing, given.out)
