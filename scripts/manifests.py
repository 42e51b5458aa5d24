"""The manifests of every runtime that installs bundles, from pyproject.toml and one version.

None holds a secret: where a runtime can ask for the key it is told the variable's name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from civitai_skill._version import __version__

ROOT = Path(__file__).resolve().parent.parent
NAME = "civitai-skill"
TITLE = "Civitai pictures"
#: Runtimes start the server through the shim, which finds the package from a clone.
SERVER = "civitai"
SHIM = "scripts/civitai.py"
SERVE = ("mcp", "--stdio")

AGENT_PLUGINS = "https://agent-plugins.org/schemas/1.0.0"
REGISTRY = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

Json = dict[str, Any]


def project() -> Json:
    """What pyproject.toml says, with the bundle's own table under `bundle`."""
    text = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {**text["project"], "bundle": text["tool"][NAME]}


def manifests() -> dict[str, Json]:
    """Every manifest by its path."""
    told = project()
    bundle = told["bundle"]
    author = {"name": told["authors"][0]["name"]}
    about: Json = {
        "name": NAME,
        "version": __version__,
        "description": told["description"],
        "author": author,
        "repository": bundle["repository"],
        "license": told["license"],
        "keywords": told["keywords"],
    }
    return {
        "plugin.json": {"$schema": f"{AGENT_PLUGINS}/plugin.schema.json", **about},
        "mcp.json": {
            "$schema": f"{AGENT_PLUGINS}/mcp.schema.json",
            "mcpServers": {SERVER: {"type": "stdio", **_server("${PLUGIN_ROOT}/")}},
        },
        ".claude-plugin/plugin.json": {
            **about,
            "mcpServers": {SERVER: _server("${CLAUDE_PLUGIN_ROOT}/")},
        },
        ".claude-plugin/marketplace.json": {
            "name": f"{NAME}-marketplace",
            "description": told["description"],
            "owner": {"name": bundle["owner"]},
            "plugins": [{"name": NAME, "source": "./", "description": told["description"]}],
        },
        ".codex-plugin/plugin.json": {
            **about,
            "skills": "./skills/",
            "interface": {
                "displayName": TITLE,
                "shortDescription": told["description"],
                "category": "Design",
                "composerIcon": "./.claude-plugin/icon.png",
                "logo": "./.claude-plugin/icon.png",
            },
        },
        ".cursor-plugin/plugin.json": {
            **about,
            "displayName": TITLE,
            "logo": ".claude-plugin/icon.png",
            "skills": "./skills/",
        },
        "gemini-extension.json": {
            "name": NAME,
            "version": __version__,
            "description": told["description"],
            "mcpServers": {SERVER: _server("${extensionPath}/")},
            "settings": [
                {
                    "name": "Civitai API key",
                    "description": "Made on civitai.com under account settings, API keys.",
                    "envVar": "CIVITAI_API_KEY",
                    "sensitive": True,
                }
            ],
        },
        "server.json": _registry(told, bundle),
    }


def _server(root: str) -> Json:
    return {"command": "python3", "args": [f"{root}{SHIM}", *SERVE]}


def _registry(told: Json, bundle: Json) -> Json:
    """The registry's entry; it names a package only when there is one to fetch."""
    entry: Json = {
        "$schema": REGISTRY,
        "name": bundle["registry-name"],
        "title": TITLE,
        "description": told["description"],
        "version": __version__,
        "repository": {"url": bundle["repository"], "source": "github"},
    }
    if bundle["published"]:
        entry["packages"] = [
            {
                "registryType": "pypi",
                "identifier": told["name"],
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "packageArguments": [{"type": "positional", "value": word} for word in SERVE],
                "environmentVariables": [
                    {
                        "name": "CIVITAI_API_KEY",
                        "description": "Made on civitai.com under account settings, API keys.",
                        "isRequired": True,
                        "isSecret": True,
                    }
                ],
            }
        ]
    return entry


def written(path: str) -> Callable[[str], str]:
    """The text of one manifest, whatever stood there."""
    return lambda _: json.dumps(manifests()[path], indent=2, ensure_ascii=False) + "\n"


def released(text: str) -> str:
    """The shim with its release switch set as pyproject.toml says."""
    value = f'"{__version__}"' if project()["bundle"]["published"] else "None"
    renewed, found = re.subn(r"^RELEASE = .*$", f"RELEASE = {value}", text, flags=re.MULTILINE)
    if found != 1:
        raise ValueError("the shim must have one line that starts with `RELEASE = `")
    return renewed
