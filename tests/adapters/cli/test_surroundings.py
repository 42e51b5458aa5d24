"""Folders, homes and installations as they are found on other machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, run_batch
from civitai_skill.adapters.cli import main
from civitai_skill.adapters.mcp import server
from civitai_skill.tools.toolbox import Toolbox

SMALL = ("--engine", "sdxl", "--width", "64", "--height", "64")
UNWRITABLE = Path("/proc")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's home, and the sandbox as the service."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


# -- ~ is a home -----------------------------------------------------------------------------------
def test_a_tilde_that_no_shell_has_read_is_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIVITAI_SKILL_HOME", "~/state")
    assert main(["generate", "a fox", *SMALL, "--out", "~/made", "--quiet"]) == 0
    path = Path(json.loads(capsys.readouterr().out)["images"][0]["path"])
    assert path.parent == home / "made"
    assert (home / "state" / "sandbox-ledger.sqlite3").exists()
    assert main(["history", "--ledger", "~/other.sqlite3", "--out", "~/told", "--quiet"]) == 0
    assert (home / "other.sqlite3").exists()
    assert (home / "told" / "history.json").exists()
    assert main(["install-skill", "--dir", "~/skills", "--quiet"]) == 0
    assert (home / "skills" / "civitai-generate-image" / "SKILL.md").exists()
    assert list(Path.cwd().iterdir()) == []


def test_a_tilde_is_the_home_in_python_too(home: Path) -> None:
    small = {"engine": "sdxl", "width": 64, "height": 64}
    with Civitai(ledger="~/ledger.sqlite3") as client:
        assert client.generate("a fox", out="~/made", **small).paths[0].parent == home / "made"
        box = Toolbox(client, out="~/tools")
        assert box.call("civitai_generate_image", {"prompt": "a fox", **small}).data["images"]
    rows = [{"prompt": "a fox", **small}]
    assert run_batch(rows, out="~/batch").paths[0].parent == home / "batch"
    assert {path.name for path in home.iterdir()} >= {"ledger.sqlite3", "made", "tools", "batch"}
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("words", [("--agent", "claude"), ("--dir", "~/.claude/skills")])
def test_a_skills_folder_that_can_not_be_written_is_named(
    words: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / ".claude").write_text("a file")
    assert main(["install-skill", *words]) == 2
    said = f"skills folder: {home / '.claude' / 'skills'} can't be written to: Not a directory."
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]


# -- where a server stands -------------------------------------------------------------------------
@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="there is no /proc here")
def test_a_server_that_stands_where_it_can_not_write_saves_under_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[Any] = []

    def serve_stdio(made: server.Server) -> None:
        small = {"prompt": "a fox", "engine": "sdxl", "width": 64, "height": 64}
        answer = made.runner.box.call("civitai_generate_image", small)
        saved.extend(Path(image["path"]) for image in answer.data["images"])

    monkeypatch.setattr(server, "serve_stdio", serve_stdio)
    assert main(["mcp"]) == 0
    assert saved.pop().parent == Path.cwd() / "pictures"
    monkeypatch.chdir(UNWRITABLE)
    assert main(["mcp"]) == 0
    place = home / "Pictures" / "civitai-skill"
    assert saved.pop().parent == place
    assert f"pictures are saved in {place}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("mcp",), 3),
        (("mcp", "--stdio", "--json"), 3),
        (("mcp", "--stdoi"), 2),
        (("mcp", "--port", "1"), 2),
    ],
)
def test_standard_output_of_a_server_over_it_is_the_protocol_s_alone(
    words: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CIVITAI_BASE_URL", "not a url")
    monkeypatch.delenv("CIVITAI_SANDBOX")
    assert main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("civitai-skill: ")


# -- what is not installed -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("command", "missing"), [("rest", "fastapi"), ("rest", "uvicorn"), ("mcp", "mcp")]
)
def test_a_server_without_its_extra_says_what_to_install(command: str, missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from civitai_skill.adapters.cli import main
sys.exit(main([{command!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert f"pip install '.[{command}]'" in done.stderr
