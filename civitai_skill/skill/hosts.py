"""The MCP server in the settings of programs that start it: the block, where it belongs, and back.

Where each program looks and what its entry is called, as read in November 2026:
claude    modelcontextprotocol.io quickstart for Claude Desktop
cursor    cursor.com/docs/mcp (`${env:NAME}` is filled in)
vscode    code.visualstudio.com/docs/copilot/reference/mcp-configuration (likewise)
codex     developers.openai.com/codex/mcp (`env_vars` are handed on; CODEX_HOME moves the file)
gemini    google-gemini/gemini-cli docs/tools/mcp-server.md (`$NAME` is filled in)
windsurf  docs.windsurf.com/windsurf/cascade/mcp (`${env:NAME}` is filled in)
zed       zed.dev/docs/ai/mcp
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civitai_skill.config import find_program_folder, find_settings_folder, find_user_home
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.skill import config_text
from civitai_skill.storage.files import write_atomic

NAME = "civitai-skill"
KEY = "CIVITAI_API_KEY"
#: What stands for the key in a file whose program fills in no variable; it counts as no key.
PLACEHOLDER = "YOUR_API_KEY"


@dataclass(frozen=True)
class Host:
    """A program that starts MCP servers: its settings file, the section, how it names the key."""

    title: str
    find: Callable[[], Path]
    section: str
    key: str
    toml: bool = False
    extra: Mapping[str, Any] | None = None


def _below_home(*parts: str) -> Callable[[], Path]:
    return lambda: find_user_home().joinpath(*parts)


def _find_codex() -> Path:
    return find_program_folder("CODEX_HOME", ".codex") / "config.toml"


def _below_settings(*parts: str) -> Callable[[], Path]:
    return lambda: find_settings_folder().joinpath(*parts)


def _find_zed() -> Path:
    # On Windows below APPDATA; elsewhere below .config, on macOS too.
    if sys.platform == "win32":
        return find_settings_folder() / "Zed" / "settings.json"
    return find_user_home() / ".config" / "zed" / "settings.json"


HOSTS: Mapping[str, Host] = {
    "claude": Host(
        "Claude Desktop", _below_settings("Claude", "claude_desktop_config.json"), "mcpServers",
        PLACEHOLDER,
    ),
    "cursor": Host("Cursor", _below_home(".cursor", "mcp.json"), "mcpServers", f"${{env:{KEY}}}"),
    "vscode": Host(
        "VS Code", _below_settings("Code", "User", "mcp.json"), "servers", f"${{env:{KEY}}}",
        extra={"type": "stdio"},
    ),
    "codex": Host("Codex", _find_codex, "mcp_servers", "", toml=True),
    "gemini": Host("Gemini CLI", _below_home(".gemini", "settings.json"), "mcpServers", f"${KEY}"),
    "windsurf": Host(
        "Windsurf", _below_home(".codeium", "windsurf", "mcp_config.json"), "mcpServers",
        f"${{env:{KEY}}}",
    ),
    "zed": Host("Zed", _find_zed, "context_servers", PLACEHOLDER),
}  # fmt: skip


@dataclass(frozen=True)
class HostChange:
    """What became of a settings file. `backup` is how it was before; None where nothing was."""

    host: str
    file: Path
    done: str
    backup: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        told = None if self.backup is None else str(self.backup)
        return {"host": self.host, "file": str(self.file), "done": self.done, "backup": told}

    def __str__(self) -> str:
        kept = f"; as it was: {self.backup}" if self.backup else ""
        return f"{self.file}: {self.done}{kept}"


def find_host(name: str) -> Host:
    """A host by its name. Raises RequestInvalid."""
    if name not in HOSTS:
        raise RequestInvalid(Problem("host", name, "one of " + ", ".join(HOSTS)))
    return HOSTS[name]


def describe_server(host: Host, flags: Sequence[str], key: str | None = None) -> dict[str, Any]:
    """The entry that starts the server with these flags; `key` is written into it where given."""
    # Programs with windows know no PATH of a shell, so the command is named in full.
    script = Path(sys.executable).with_name(NAME + (".exe" if sys.platform == "win32" else ""))
    words = [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "civitai_skill"]
    entry: dict[str, Any] = dict(host.extra or {})
    entry |= {"command": words[0], "args": [*words[1:], "mcp", "--stdio", *flags]}
    if "--sandbox" in flags:
        return entry
    if key is None and host.toml:
        return {**entry, "env_vars": [KEY]}
    return {**entry, "env": {KEY: host.key if key is None else key}}


def render_block(host: Host, entry: Mapping[str, Any]) -> str:
    """The block to paste."""
    if host.toml:
        return config_text.toml_table(host.section, NAME, entry).rstrip("\n")
    return json.dumps({host.section: {NAME: entry}}, indent=2, ensure_ascii=False)


def install_server(name: str, entry: Mapping[str, Any], file: Path | None = None) -> HostChange:
    """Write the entry into the host's settings, or into `file`; what was there is kept as a backup.

    Raises RequestInvalid where the file can't be read as what it should be, or not be written.
    """
    host = find_host(name)
    add = config_text.add_to_toml if host.toml else config_text.add_to_json
    return _change(name, host, file, "installed", lambda text: add(text, host.section, NAME, entry))


def uninstall_server(name: str, file: Path | None = None) -> HostChange:
    """Take the entry out again. Raises RequestInvalid."""
    host = find_host(name)
    remove = config_text.remove_from_toml if host.toml else config_text.remove_from_json
    return _change(name, host, file, "removed", lambda text: remove(text, host.section, NAME))


def _change(
    name: str, host: Host, file: Path | None, done: str, change: Callable[[str], str]
) -> HostChange:
    path = (file or host.find()).resolve()  # a link to it stays one
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else None
        after = change(before or "")
        if after == (before or ""):
            return HostChange(name, path, "nothing to do")
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = None
        if before is not None:
            backup = path.with_name(f"{path.name}.before-{NAME}-{time.strftime('%Y%m%d-%H%M%S')}")
            write_atomic(backup, before.encode())
        mode = path.stat().st_mode & 0o777 if before is not None else 0o600
        write_atomic(path, after.encode())
        for written in filter(None, (path, backup)):
            with suppress(OSError):
                written.chmod(mode)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or f"not as {host.title} writes it ({error})"
        accepted = "a file that can be read and written; else paste the block yourself"
        raise RequestInvalid(Problem("file", str(path), accepted, None, why)) from None
    return HostChange(name, path, done, backup)
