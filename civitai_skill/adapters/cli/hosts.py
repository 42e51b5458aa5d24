"""The MCP server in other programs' settings: install-mcp, uninstall-mcp, a block to paste."""

from __future__ import annotations

import argparse
from pathlib import Path

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.config import ASK_USER_ABOVE

NAMES = ("claude", "cursor", "vscode", "codex", "gemini", "windsurf", "zed")


def add_tool_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the server that hold whichever way it is spoken to."""
    parser.add_argument("--local-files", action="store_true",
                        help="let source pictures be any file of this machine")  # fmt: skip
    parser.add_argument("--ask-above", type=values.parse_count, default=ASK_USER_ABOVE, metavar="N",
                        help="ask the user before spending more than N Buzz at once, where "
                        f"the client can ask ({ASK_USER_ABOVE})")  # fmt: skip
    parser.add_argument("--wait", type=values.parse_seconds, metavar="S",
                        help="seconds that a call waits for its pictures where it does not say "
                        "(45); less than the client's own time-out")  # fmt: skip
    parser.add_argument("--no-thumbnails", action="store_true",
                        help="answer with paths alone, unless a call asks to see the "
                        "pictures")  # fmt: skip
    values.add_shared(parser, "--max-buzz", "refuse above N Buzz a call (CIVITAI_MAX_BUZZ, or 300)")
    values.add_shared(parser, "--budget", "the")


def _server_flags(given: argparse.Namespace) -> list[str]:
    """The flags that the started server gets, with a folder for the pictures that works."""
    from civitai_skill.servers.session import choose_folder

    flags = ["--out", str(Path(given.out).absolute() if given.out else choose_folder(
        load_settings(given).home, here=False))]  # fmt: skip
    for name in ("sandbox", "local_files", "no_thumbnails"):
        flags += [f"--{name.replace('_', '-')}"] * bool(getattr(given, name))
    for name in ("wait", "max_buzz", "budget", "ledger"):
        value = getattr(given, name)
        if value is not None:
            said = f"{value:g}" if isinstance(value, float) else str(value)
            flags += [f"--{name.replace('_', '-')}", said]
    return flags + (
        ["--ask-above", str(given.ask_above)] if given.ask_above != ASK_USER_ABOVE else []
    )


def print_config(given: argparse.Namespace, output: Output) -> None:
    """Print the block to paste, and say where it belongs."""
    from civitai_skill.skill import hosts

    host = hosts.find_host(given.print_config)
    output.say(f"For {host.title}, in {host.find()}:")
    print(hosts.render_block(host, hosts.describe_server(host, _server_flags(given))), flush=True)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", choices=NAMES, metavar="HOST",
                        help=", ".join(NAMES) + " (claude is Claude Desktop)")  # fmt: skip
    parser.add_argument("--file", type=values.parse_path, metavar="FILE",
                        help="another settings file than the one where it looks")  # fmt: skip


def add_install_mcp(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "install-mcp cursor --budget 200",
        "install-mcp claude --with-key --out ~/Pictures/civitai-skill",
        "install-mcp zed --sandbox",
    )
    _add_host(parser)
    add_tool_flags(parser)
    parser.add_argument("--with-key", action="store_true",
                        help="write the key that is set into the file; without it the program's "
                        "own way to a variable is used, or YOUR_API_KEY stands there")  # fmt: skip


def install_mcp(given: argparse.Namespace, output: Output) -> None:
    """Write the server into the host's settings."""
    from civitai_skill.skill import hosts

    host = hosts.find_host(given.host)
    key = load_settings(given).require_key().reveal() if given.with_key else None
    entry = hosts.describe_server(host, _server_flags(given), key)
    done = hosts.install_server(given.host, entry, Path(given.file) if given.file else None)
    env = entry.get("env", {})
    if hosts.PLACEHOLDER in env.values():
        output.say(f"Put the key in the place of {hosts.PLACEHOLDER}, or use --with-key.")
    output.say(f"Restart {host.title} to load it.")
    output.answer({**done.as_dict(), "command": [entry["command"], *entry["args"]]}, str(done))


def add_uninstall_mcp(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "uninstall-mcp cursor")
    _add_host(parser)


def uninstall_mcp(given: argparse.Namespace, output: Output) -> None:
    """Take the server out of the host's settings."""
    from civitai_skill.skill import hosts

    done = hosts.uninstall_server(given.host, Path(given.file) if given.file else None)
    output.answer(done.as_dict(), str(done), given.out)
