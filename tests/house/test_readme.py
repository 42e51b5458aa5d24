"""What the README says is run: its commands, its Python, its tables."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from civitai_skill import errors
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIG = (ROOT / "civitai_skill" / "config.py").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    """The first cells of the tables in a text, without their heads."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [c for c, after in zip(cells, [*cells[1:], ""], strict=True) if "---" not in (c, after)]


LINES = [line for block in blocks("sh") for line in block.splitlines()]
SETUP = [line for line in LINES if ".venv/bin/" in line]
COMMANDS = [line for line in LINES if line.startswith("civitai-skill ")]
FIRST_PICTURE = SETUP[0].rpartition(" && .venv/bin/")[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a photo in it, and every door turned to the sandbox."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    place = tmp_path / "here"
    place.mkdir()
    Image.effect_mandelbrot((640, 480), (-2, -1.5, 1, 1.5), 40).convert("RGB").save(
        place / "photo.jpg"
    )
    return place


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    name, *arguments = shlex.split(line)
    assert name == "civitai-skill"
    return subprocess.run(
        [sys.executable, "-m", "civitai_skill", *arguments],
        cwd=folder,
        env=dict(os.environ, PYTHONWARNINGS="error"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def a_job(folder: Path, marker: str = "") -> str:
    """The ID of a job that was submitted and not waited for."""
    done = run(f"civitai-skill generate 'a boat {marker}' --no-wait --json", folder)
    assert done.returncode in (0, 6), done.stderr
    return str(json.loads(done.stdout)["id"])


# -- the commands ----------------------------------------------------------------------------------
def test_there_are_exactly_two_commands_to_set_up() -> None:
    first, second = SETUP
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert second.rpartition(" && ")[2].startswith(".venv/bin/pytest")


@pytest.mark.parametrize("line", [FIRST_PICTURE, *COMMANDS], ids=lambda line: line[14:60])
def test_a_command_does_what_it_says(line: str, folder: Path) -> None:
    if re.search(r"\bID\b", line):
        running = line.startswith("civitai-skill cancel")
        line = re.sub(r"\bID\b", a_job(folder, "[sandbox:slow=60]" if running else ""), line)
    done = run(line, folder)
    assert done.returncode == 0, done.stderr
    if " --no-wait" in line or not line.startswith(("civitai-skill generate", "civitai-skill get")):
        return
    answer = json.loads(done.stdout)
    assert answer["status"] == "succeeded"
    wanted = int(match[1]) if (match := re.search(r"--quantity (\d+)", line)) else 1
    assert len(answer["images"]) == wanted
    for image in answer["images"]:
        with Image.open(folder / image["path"]) as picture:
            assert picture.size == (image["width"], image["height"])


@pytest.mark.parametrize("code", blocks("python"))
def test_a_piece_of_python_runs(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    path = done.stdout.split()[0]
    with Image.open(folder / path) as picture:
        assert picture.width * 2 == picture.height * 3


# -- the tables ------------------------------------------------------------------------------------
def test_the_exit_codes_are_those_of_the_errors() -> None:
    def below(kind: type[errors.CivitaiError]) -> set[int]:
        return {kind.exit_code}.union(*(below(k) for k in kind.__subclasses__()))

    # 0 is success, and an interrupt ends a command with 128 + SIGINT.
    expected = sorted(below(errors.CivitaiError) | {0, 130})
    assert [int(c) for c in first_column(section("Commands")) if c.isdigit()] == expected


def test_the_settings_are_those_that_are_read() -> None:
    told = re.findall(r"CIVITAI_\w+", " ".join(first_column(section("Environment"))))
    assert sorted(told) == sorted(set(re.findall(r"CIVITAI_\w+", CONFIG)))


def test_every_command_is_told_and_no_other(folder: Path) -> None:
    told = [c.strip("`").split()[0] for c in first_column(section("Commands")) if "`" in c]
    helped = run("civitai-skill --help", folder).stdout.partition("COMMAND\n")[2]
    assert told == re.findall(r"^ {4}([a-z-]+)(?: |$)", helped, re.MULTILINE)


# -- what is rendered ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "scripts" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["render"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_what_is_rendered_is_current(render: ModuleType) -> None:
    assert render.outdated() == {}
    assert render.main(["--check"]) == 0


def test_an_outdated_document_is_noticed_and_renewed(
    render: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = "before\n<!-- it -->\n{}<!-- /it -->\nafter\n"
    (tmp_path / "page.md").write_text(marked.format("old\n"))
    pages = (
        render.Document("page.md", render.between("it", lambda: "new\n")),
        render.Document("deep/whole.md", lambda _: "all of it\n"),
    )
    monkeypatch.setattr(render, "ROOT", tmp_path)
    monkeypatch.setattr(render, "DOCUMENTS", pages)

    assert render.main(["--check"]) == 1
    assert (tmp_path / "page.md").read_text() == marked.format("old\n")
    assert render.main([]) == 0
    assert (tmp_path / "page.md").read_text() == marked.format("new\n")
    assert (tmp_path / "deep" / "whole.md").read_text() == "all of it\n"
    assert render.main(["--check"]) == 0


def test_a_document_without_its_markers_is_refused(render: ModuleType) -> None:
    with pytest.raises(ValueError, match="must stand once"):
        render.between("it", lambda: "new\n")("no markers here\n")
