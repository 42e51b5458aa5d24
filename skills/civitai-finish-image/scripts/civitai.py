#!/usr/bin/env python3
"""Run civitai-skill from wherever it is: `python3 scripts/civitai.py COMMAND ...`.

On Windows: `py scripts/civitai.py COMMAND ...`. Only the standard library is used, every skill
carries the same file, and Python 3.8 reads it as far as the hint what to install. Tried in this
order: the package in this interpreter; the interpreter that `install-skill` noted beside the skill;
the repository that this file stands in, where its packages are there; the command on PATH; uv with
that repository; the published release, if there is one.
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
OLDEST = (3, 11)
WINDOWS = os.name == "nt"

# -P keeps the current folder out: what lies there must not pose as the package.
PACKAGE = ["-P", "-m", "civitai_skill"]


def main() -> int:
    words = sys.argv[1:]
    if new_enough() and util.find_spec("civitai_skill") is not None:
        return imported()
    noted = noted_python()
    if noted:
        return run([noted, *PACKAGE, *words])
    root = repository()
    if root is not None and new_enough() and has_dependencies(root):
        sys.path.append(str(root))
        return imported()
    python = None if root is None else own_python(root)
    if python is not None:
        return run([python, *PACKAGE, *words])
    command = shutil.which("civitai-skill")
    if command:
        return run([command, *words])
    if root is not None:
        return from_repository(root, words)
    if RELEASE is not None and shutil.which("uvx"):
        uvx = ["uvx", "--from", "civitai-skill==" + RELEASE]
        return run_by_uv([*uvx, "python", "-c", ""], [*uvx, "civitai-skill", *words])
    clone = "/path/to/your/clone/of/civitai-skill" + extra(words)
    return refuse(("py" if WINDOWS else "python3") + ' -m pip install "' + clone + '"')


def new_enough() -> bool:
    return sys.version_info[:2] >= OLDEST


def imported() -> int:
    from civitai_skill.adapters.cli import main as command

    return command()


def noted_python() -> str | None:
    for folder in list(Path(__file__).resolve().parents)[1:4]:
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


def own_python(root: Path) -> str | None:
    """The repository's own interpreter, where it has the package."""
    for python in (root / ".venv/bin/python", root / ".venv/Scripts/python.exe"):
        if python.exists() and usable(str(python)):
            return str(python)
    return None


def from_repository(root: Path, words: list[str]) -> int:
    if shutil.which("uv"):
        uv = ["uv", "run", "--quiet", "--no-project", "--python", ">=3.11"]
        uv += ["--with-editable", str(root) + extra(words), "python"]
        return run_by_uv([*uv, "-c", ""], [*uv, *PACKAGE, *words])
    if WINDOWS:
        line = 'py -m venv "%s\\.venv" && "%s\\.venv\\Scripts\\pip" install "%s%s"'
    else:
        line = 'python3 -m venv "%s/.venv" && "%s/.venv/bin/pip" install "%s%s"'
    return refuse(line % (root, root, root, extra(words)))


def run_by_uv(probe: list[str], command: list[str]) -> int:
    """Run by uv, once it has set everything up: its own failures are none of the command's."""
    if subprocess.call(probe) != 0:
        return refuse("(what uv says above)")
    return run(command)


def extra(words: list[str]) -> str:
    """The extra of the package that a command needs."""
    return "[" + words[0] + "]" if words[:1] in (["mcp"], ["rest"]) else ""


def has_dependencies(root: Path) -> bool:
    """Are this interpreter's packages what pyproject.toml asks for, in their versions too?"""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return all(map(is_met, project["dependencies"]))


def is_met(requirement: str) -> bool:
    """Is a package there, in a version that a requirement such as `httpx[socks]>=0.28,<1` takes?"""
    name = re.split(r"[\[<>=!~; ]", requirement)[0]
    try:
        have = release(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False
    checks = {">=": have.__ge__, "<=": have.__le__, "<": have.__lt__, ">": have.__gt__}
    return all(
        checks[sign](release(wanted)) if sign in checks else True
        for sign, wanted in re.findall(r"([<>=!~]=?)\s*([\d.]+)", requirement.partition(";")[0])
    )


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without zeros at their end."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def run(command: list[str]) -> int:
    if not WINDOWS:  # there, exec would hand the prompt back before the command has ended
        os.execvp(command[0], command)
    return subprocess.call(command)


def refuse(line: str) -> int:
    print(
        "civitai-skill is not installed. Install it, then call again:\n  " + line, file=sys.stderr
    )
    return NOT_SET_UP


if __name__ == "__main__":
    sys.exit(main())
