"""The manifests say one thing in every runtime's form, and promise nothing that is not there."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from civitai_skill._version import __version__
from civitai_skill.adapters.cli.parser import parse
from tests.support.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = PYPROJECT["tool"]["civitai-skill"]
ICON = ROOT / ".claude-plugin" / "icon.png"

#: Agent Plugins 1.0.0 is closed: these fields and no other (its plugin.schema.json).
PORTABLE = {
    "$schema", "name", "version", "description", "author", "homepage", "repository", "license",
    "keywords", "extensions",
}  # fmt: skip
PORTABLE_NAME = r"^(?!.*(?:--|\.\.))[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$"
#: The registry takes no longer description (server.schema.json of 2025-12-11).
LONGEST = 100


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rendered() -> ModuleType:
    return script("manifests")


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def paths(module: ModuleType) -> list[str]:
    return sorted(module.manifests())


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [s for key, inner in value.items() for s in (key, *strings(inner))]
    if isinstance(value, list):
        return [s for inner in value for s in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_every_manifest_is_rendered_and_current(rendered: ModuleType) -> None:
    assert {path: read(path) for path in paths(rendered)} == rendered.manifests()


def test_there_is_one_version_and_one_description(rendered: ModuleType) -> None:
    told = PYPROJECT["project"]["description"]
    assert len(told) <= LONGEST
    for path in paths(rendered):
        found = read(path)
        assert found.get("version", __version__) == __version__, path
        assert found.get("description", told) == told, path
        assert found.get("name", "civitai-skill").startswith(("civitai-skill", "com.example/"))


def test_the_portable_manifest_keeps_to_its_closed_form() -> None:
    manifest = read("plugin.json")
    assert set(manifest) <= PORTABLE
    assert re.fullmatch(PORTABLE_NAME, manifest["name"])
    assert set(manifest["author"]) <= {"name", "email", "url"}
    servers = read("mcp.json")
    assert set(servers) == {"$schema", "mcpServers"}
    # A plugin's two files must be of the same version of the specification.
    versions = {re.findall(r"/(\d+\.\d+\.\d+)/", m["$schema"])[0] for m in (manifest, servers)}
    assert versions == {"1.0.0"}
    for server in servers["mcpServers"].values():
        assert set(server) <= {"type", "command", "args", "env", "cwd"}
        assert len(server["command"].split()) == 1


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("mcp.json", "${PLUGIN_ROOT}"),
        (".claude-plugin/plugin.json", "${CLAUDE_PLUGIN_ROOT}"),
        ("gemini-extension.json", "${extensionPath}"),
    ],
)
def test_a_server_is_started_through_the_shim_of_this_folder(path: str, root: str) -> None:
    (server,) = read(path)["mcpServers"].values()
    shim, *words = server["args"]
    assert server["command"] == "python3"
    assert parse(words).command == "mcp"
    assert (ROOT / shim.replace(root, ".")).is_file()


def test_every_path_in_a_manifest_leads_somewhere(rendered: ModuleType) -> None:
    told = [s for path in paths(rendered) for s in strings(read(path))]
    local = [s for s in told if s.startswith("./") or s.endswith(".png")]
    assert local
    assert [s for s in local if not (ROOT / s).exists()] == []


def test_no_manifest_holds_a_secret(rendered: ModuleType) -> None:
    for path in paths(rendered):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "Bearer" not in text
        assert re.findall(r"[A-Fa-f0-9]{32,}", text) == []
        assert not any("env" in server for server in read(path).get("mcpServers", {}).values())


def test_owner_and_address_are_the_placeholders_of_the_project(rendered: ModuleType) -> None:
    told = [s for path in paths(rendered) for s in strings(read(path))]
    addresses = {s for s in told if s.startswith("http")} - {
        read("plugin.json")["$schema"], read("mcp.json")["$schema"], read("server.json")["$schema"]
    }  # fmt: skip
    assert addresses == {OURS["repository"]}
    assert read(".claude-plugin/marketplace.json")["owner"] == {"name": OURS["owner"]}
    assert read("server.json")["name"] == OURS["registry-name"]


def test_nothing_is_fetched_from_an_index_before_it_is_published(
    rendered: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OURS["published"] is False
    shim = (ROOT / "scripts" / "civitai.py").read_text(encoding="utf-8")
    assert "\nRELEASE = None\n" in shim
    assert "packages" not in read("server.json")

    bundle = {**OURS, "published": True}
    monkeypatch.setattr(rendered, "project", lambda: {**PYPROJECT["project"], "bundle": bundle})
    assert rendered.released(shim) == shim.replace(
        "\nRELEASE = None\n", f'\nRELEASE = "{__version__}"\n'
    )
    (package,) = rendered.manifests()["server.json"]["packages"]
    assert (package["identifier"], package["version"]) == ("civitai-skill", __version__)


def test_a_shim_without_its_switch_is_refused(rendered: ModuleType) -> None:
    with pytest.raises(ValueError, match="RELEASE"):
        rendered.released("print('no switch')\n")


def test_the_icon_is_square_and_as_it_is_drawn() -> None:
    with Image.open(ICON) as icon:
        assert (icon.format, icon.size) == ("PNG", (512, 512))
    assert script("icon").main(["--check"]) == 0


def test_another_icon_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    icon = script("icon")
    monkeypatch.setattr(icon, "ICON", tmp_path / "icon.png")
    Image.new("RGBA", (512, 512)).save(icon.ICON)
    assert icon.main(["--check"]) == 1
    assert icon.main([]) == 0
    assert icon.main(["--check"]) == 0
