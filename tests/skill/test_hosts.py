"""The MCP server in other programs' settings: written, taken back, nothing else touched."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.hosts import NAMES
from civitai_skill.skill.config_text import add_to_json, read_jsonc, remove_from_json
from civitai_skill.skill.hosts import HOSTS, find_host

JSON_HOSTS = [name for name in NAMES if name != "codex"]
ENTRY = {"command": "x", "args": ["{", "]"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, where every program keeps its settings."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    for name in ("XDG_CONFIG_HOME", "APPDATA", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return place


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command; its answer."""

    def command(*words: str) -> Any:
        assert main([*words]) == 0
        return json.loads(capsys.readouterr().out)

    return command


def read(name: str) -> Any:
    text = find_host(name).find().read_text(encoding="utf-8")
    return tomllib.loads(text) if name == "codex" else read_jsonc(text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_what_is_printed_and_is_taken_back(
    name: str, run: Callable[..., Any], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", "--print-config", name, "--budget", "90", "--quiet"]) == 0
    printed = capsys.readouterr().out
    told = run("install-mcp", name, "--budget", "90")

    assert read(name) == (tomllib.loads(printed) if name == "codex" else json.loads(printed))
    assert Path(told["file"]).is_relative_to(home)
    assert told["backup"] is None
    entry = read(name)[HOSTS[name].section]["civitai-skill"]
    words = [entry["command"], *entry["args"]]
    assert words == told["command"]
    assert words[words.index("--out") + 1] == str(home / "Pictures" / "civitai-skill")
    assert words[words.index("--budget") + 1] == "90"
    assert "CIVITAI_API_KEY" in json.dumps(entry)
    assert run("uninstall-mcp", name)["backup"] is not None
    assert not read(name).get(HOSTS[name].section)
    assert run("uninstall-mcp", name)["done"] == "nothing to do"


def test_the_command_that_is_written_starts(run: Callable[..., Any]) -> None:
    command = run("install-mcp", "cursor", "--sandbox")["command"]
    command[command.index("--stdio")] = "--help"
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0
    assert "--no-thumbnails" in ran.stdout


def test_a_key_is_written_only_when_that_is_asked(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_API_KEY", "secret-of-mine")
    run("install-mcp", "claude")
    assert "secret-of-mine" not in find_host("claude").find().read_text()
    told = run("install-mcp", "claude", "--with-key")
    file = find_host("claude").find()
    assert "secret-of-mine" in file.read_text()
    assert "secret-of-mine" not in json.dumps(told)
    assert file.stat().st_mode & 0o077 == 0


SETTINGS = [
    "",
    "{}\n",
    '{"theme": "dark"}',
    '// mine\n{\n  "x": "mcpServers: {", // {\n  "mcpServers": {\n    "b": ["}"],\n  },\n}\n',
    '{"mcpServers": {"civitai-skill": {"command": "old"}, "b": {}}}',
    '{"x": {"mcpServers": {"civitai-skill": 1}}, "mcpServers": {"a": 1, "civitai-skill": {}}}',
    '{"a": "mcpServers", "b": [{"mcpServers": {}}], /* c */ "mcpServers": {"b": {}, }, }',
]


@pytest.mark.parametrize("text", SETTINGS)
def test_everything_else_in_the_settings_stays(text: str) -> None:
    added = add_to_json(text, "mcpServers", "civitai-skill", ENTRY)
    gone = remove_from_json(added, "mcpServers", "civitai-skill")

    before = read_jsonc(text) if text.strip() else {}
    others = {k: v for k, v in before.get("mcpServers", {}).items() if k != "civitai-skill"}
    assert read_jsonc(added) == {**before, "mcpServers": {**others, "civitai-skill": ENTRY}}
    assert read_jsonc(gone) == {**before, "mcpServers": others}
    for comment in ("// mine", "// {", "/* c */"):
        assert (comment in text) == (comment in gone)


def test_toml_of_others_stays(run: Callable[..., Any]) -> None:
    file = find_host("codex").find()
    file.parent.mkdir()
    other = '# mine\nmodel = "x"\n\n[mcp_servers.other]\ncommand = "a"\n'
    ours = '\n[mcp_servers."civitai-skill"]\ncommand = "old"\n'
    ours += '[mcp_servers.civitai-skill.env]\nA = "b"\n'
    file.write_text(other + ours + "\n[tui]\nz = 1\n")
    told = run("install-mcp", "codex")
    assert Path(told["backup"]).read_text() == other + ours + "\n[tui]\nz = 1\n"
    assert read("codex")["mcp_servers"]["civitai-skill"]["env_vars"] == ["CIVITAI_API_KEY"]
    run("uninstall-mcp", "codex")
    assert file.read_text() == other + "\n[tui]\nz = 1\n"


@pytest.mark.parametrize("name", ["zed", "codex"])
def test_settings_that_can_not_be_read_are_left_alone(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = find_host(name).find()
    file.parent.mkdir(parents=True)
    file.write_text("{ no = settings ]")
    assert main(["install-mcp", name]) == 2
    assert "paste the block yourself" in capsys.readouterr().err
    assert file.read_text() == "{ no = settings ]"
    assert list(file.parent.iterdir()) == [file]


def test_every_place_follows_the_system(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_host("claude").find() == (
        home / "Library/Application Support/Claude/claude_desktop_config.json"
    )
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(home / "Roaming"))
    assert find_host("vscode").find() == home / "Roaming/Code/User/mcp.json"
    assert find_host("zed").find() == home / "Roaming/Zed/settings.json"
    monkeypatch.setenv("CODEX_HOME", str(home / "own"))
    assert find_host("codex").find() == home / "own/config.toml"
