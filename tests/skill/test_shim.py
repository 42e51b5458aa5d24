"""The shim finds the way to the program, from a lone skill, a clone, an installed skill."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.skill import SHELLS
from civitai_skill.skill.install import MANIFEST, install
from tests.support.paths import ROOT
from tests.support.scripts import load

NAMES = sorted(path.name for path in (ROOT / "skills").iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "skills"


def bare(shim: Path, *words: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    """Run the shim with an interpreter that has no packages at all."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(shim), *words],
        env={"PATH": path, "HOME": str(shim.parent), "LANG": "C.UTF-8"},
        cwd=shim.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def lone(tmp_path: Path) -> Path:
    skill = tmp_path / "civitai-edit-image"
    shutil.copytree(ROOT / "skills" / "civitai-edit-image", skill)
    return skill / "scripts" / "civitai.py"


def test_a_lone_skill_without_the_package_gives_the_install_line(tmp_path: Path) -> None:
    done = bare(lone(tmp_path), "doctor")
    assert (done.returncode, done.stdout) == (3, "")
    assert 'pip install "/path/to/your/clone/of/civitai-skill"' in done.stderr
    for command in ("mcp", "rest"):
        assert f'civitai-skill[{command}]"' in bare(lone(tmp_path / command), command).stderr


def test_a_lone_skill_uses_the_command_on_the_path(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "civitai-skill"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "ran $*"\n')
    command.chmod(0o755)
    done = bare(lone(tmp_path), "get", "7", path=f"{command.parent}:/usr/bin:/bin")
    assert (done.returncode, done.stdout) == (0, "ran get 7\n")


def test_an_installed_skill_remembers_the_interpreter(target: Path, tmp_path: Path) -> None:
    install(target)
    # Stands for the interpreter that the package was installed into.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$2" = -c ] || echo "ran $*"\n')
    python.chmod(0o755)
    for skill in target.iterdir():
        note = json.loads((skill / MANIFEST).read_text())
        assert note["python"] == sys.executable
        (skill / MANIFEST).write_text(json.dumps({**note, "python": str(python)}))
    done = bare(target / "civitai-track-images" / "scripts" / "civitai.py", "doctor")
    assert (done.returncode, done.stdout) == (0, "ran -P -m civitai_skill doctor\n")


@pytest.mark.parametrize(
    "shim", ["scripts/civitai.py", "skills/civitai-edit-image/scripts/civitai.py"]
)
def test_a_clone_runs_from_where_it_is(shim: str, tmp_path: Path) -> None:
    clone = a_clone(tmp_path)
    # The dependencies are those of this interpreter, the package is the clone's.
    done = subprocess.run(
        [sys.executable, "-I", str(clone / shim), "--version"],
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("civitai-skill "), done.stderr


def test_a_clone_without_dependencies_gives_its_own_install_line(tmp_path: Path) -> None:
    clone = a_clone(tmp_path)
    done = bare(clone / "scripts" / "civitai.py", "doctor")
    assert done.returncode == 3
    assert f'pip" install "{clone}"' in done.stderr
    assert f'pip" install "{clone}[rest]"' in bare(clone / "scripts/civitai.py", "rest").stderr


def test_a_clone_prefers_its_own_environment_to_nothing(tmp_path: Path) -> None:
    clone = a_clone(tmp_path)
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$2" = -c ] || echo "ran $*"\n')
    python.chmod(0o755)
    done = bare(clone / "scripts" / "civitai.py", "doctor")
    assert (done.returncode, done.stdout) == (0, "ran -P -m civitai_skill doctor\n")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path.parent


def test_a_clone_that_can_not_be_used_leaves_it_to_the_command_on_the_path(tmp_path: Path) -> None:
    shim = a_clone(tmp_path) / "scripts" / "civitai.py"
    found = script(tmp_path / "bin" / "civitai-skill", 'echo "ran $*"')
    script(tmp_path / "bin" / "uv", "echo uv; exit 2")
    done = bare(shim, "get", "7", path=f"{found}:/usr/bin:/bin")
    assert (done.returncode, done.stdout) == (0, "ran get 7\n")
    (found / "civitai-skill").unlink()
    done = bare(shim, "get", "7", path=f"{found}:/usr/bin:/bin")
    assert done.returncode == 3, "what uv ends with is no ending of the command"


def test_the_shim_asks_for_versions_and_reads_in_python_3_8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shim = load("scripts/civitai.py")
    have = {"httpx": "0.28.1", "pillow": "11.3", "rich": "9.9.9", "shtab": "1.12.0rc1"}

    def version(name: str) -> str:
        if name not in have:
            raise shim.metadata.PackageNotFoundError(name)
        return have[name]

    monkeypatch.setattr(shim.metadata, "version", version)
    for good in ("httpx[socks]>=0.28,<1", "pillow>=11.3.0", "shtab>=1.12,<2", "httpx", "httpx!=1"):
        assert shim.is_met(good), good
    for bad in ("rich>=13,<16", "pillow>=11.4", "httpx<0.28", "mcp>=2"):
        assert not shim.is_met(bad), bad
    text = (ROOT / "scripts" / "civitai.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    cut = [node.value for node in ast.walk(tree)
           if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)]  # fmt: skip
    assert not [v for v in cut if isinstance(v, ast.Attribute) and v.attr == "parents"]


def test_an_interpreter_in_a_cache_is_not_noted(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prefix in ("/home/u/.cache/uv/archive-v0/abc", "/home/u/.local/pipx/.cache/d/x"):
        monkeypatch.setattr(sys, "prefix", prefix)
        install(target)
        note = json.loads((target / NAMES[0] / MANIFEST).read_text())
        assert note["python"] is None


def test_a_foreign_project_above_is_not_taken_for_ours(tmp_path: Path) -> None:
    shim = lone(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "something-else"\n')
    (tmp_path / "civitai_skill").mkdir()
    assert bare(shim, "doctor").returncode == 3


def a_clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    ignore: Any = shutil.ignore_patterns("__pycache__")
    for name in ("civitai_skill", "skills", "scripts"):
        shutil.copytree(ROOT / name, clone / name, ignore=ignore)
    for name in ("pyproject.toml", "SKILL.md"):
        shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    for word in ("generate", "all-running", "install-mcp", "aspect-ratio"):
        assert word in printed
