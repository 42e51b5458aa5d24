#!/usr/bin/env python3
"""Run civitai-skill from wherever it is: `python3 scripts/civitai.py COMMAND ...`.

Only the standard library is used, and every skill carries the same file. Tried in this order: the
package in this interpreter; the interpreter that `install-skill` noted beside the skill; the
repository that this file stands in; the command on PATH; the published release, if there is one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

# The version to run from the package index; None while nothing of that name is published there.
RELEASE = None

NOT_SET_UP = 3

# -P keeps the current folder out: what lies there must not pose as the package.
PACKAGE = ["-P", "-m", "civitai_skill"]


def main() -> int:
    words = sys.argv[1:]
    if util.find_spec("civitai_skill") is not None:
        return imported()
    noted = noted_python()
    if noted:
        return run([noted, *PACKAGE, *words])
    root = repository()
    if root is not None:
        return from_repository(root, words)
    if shutil.which("civitai-skill"):
        return run(["civitai-skill", *words])
    if RELEASE is not None and shutil.which("uvx"):
        return run(["uvx", "--from", "civitai-skill==" + RELEASE, "civitai-skill", *words])
    clone = "/path/to/your/clone/of/civitai-skill" + extra(words)
    return refuse('python3 -m pip install "' + clone + '"')


def imported() -> int:
    from civitai_skill.adapters.cli import main as command

    return command()


def noted_python() -> str | None:
    for folder in Path(__file__).resolve().parents[1:4]:
        try:
            note = json.loads((folder / ".civitai-skill.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        python = note.get("python") if isinstance(note, dict) else None
        return python if isinstance(python, str) and usable(python) else None
    return None


def usable(python: str) -> bool:
    """Does this interpreter have the package?"""
    ask = "import importlib.util as u, sys; sys.exit(u.find_spec('civitai_skill') is None)"
    try:
        return (
            subprocess.run([python, "-P", "-c", ask], capture_output=True, timeout=30).returncode
            == 0
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def repository() -> Path | None:
    """The folder above this file whose pyproject.toml is that of civitai-skill."""
    for folder in Path(__file__).resolve().parents:
        try:
            text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        if 'name = "civitai-skill"' in text.splitlines() and (folder / "civitai_skill").is_dir():
            return folder
    return None


def from_repository(root: Path, words: list[str]) -> int:
    if has_dependencies(root):
        sys.path.append(str(root))
        return imported()
    for python in (root / ".venv/bin/python", root / ".venv/Scripts/python.exe"):
        if python.exists() and usable(str(python)):
            return run([str(python), *PACKAGE, *words])
    if shutil.which("uv"):
        source = str(root) + extra(words)
        uv = ["uv", "run", "--quiet", "--no-project", "--python", ">=3.11"]
        return run([*uv, "--with-editable", source, "python", *PACKAGE, *words])
    line = 'python3 -m venv "%s/.venv" && "%s/.venv/bin/pip" install "%s%s"'
    return refuse(line % (root, root, root, extra(words)))


def extra(words: list[str]) -> str:
    """The extra of the package that a command needs."""
    return "[" + words[0] + "]" if words[:1] in (["mcp"], ["rest"]) else ""


def has_dependencies(root: Path) -> bool:
    """Are this interpreter and its packages what pyproject.toml asks for, by name?"""
    # Even an older Python must be told what is missing.
    if sys.version_info < (3, 11):  # noqa: UP036
        return False
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        for requirement in project["dependencies"]:
            metadata.version(re.split(r"[\[<>=!~; ]", requirement)[0])
    except metadata.PackageNotFoundError:
        return False
    return True


def run(command: list[str]) -> int:
    if os.name != "nt":  # there, exec would hand the prompt back before the command has ended
        os.execvp(command[0], command)
    return subprocess.call(command)


def refuse(line: str) -> int:
    print(
        "civitai-skill is not installed. Install it, then call again:\n  " + line, file=sys.stderr
    )
    return NOT_SET_UP


if __name__ == "__main__":
    sys.exit(main())
