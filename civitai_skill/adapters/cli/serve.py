"""The commands that serve: mcp, rest, sandbox."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from civitai_skill.adapters.cli import hosts, values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.adapters.cli.streams import ignore_lost_answers
from civitai_skill.errors import AnswerLost, ConfigError, Problem, RequestInvalid

HOST = "127.0.0.1"
MCP_PORT = 9090
REST_PORT = 8080


def add_mcp(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "mcp --stdio",
        "mcp --stdio --wait 20 --no-thumbnails",
        "mcp --http --budget 200",
        "mcp --http --sandbox",
        "mcp --print-config cursor",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--stdio", action="store_true",
                     help="over standard input and output (the default)")  # fmt: skip
    how.add_argument("--http", action="store_true", help="over HTTP, at the path /mcp")
    how.add_argument("--print-config", choices=hosts.NAMES, metavar="HOST",
                     help="serve nothing: print the block that HOST's settings need, with these "
                     "flags in it; HOST is " + ", ".join(hosts.NAMES))  # fmt: skip
    hosts.add_tool_flags(parser)
    parser.add_argument("--links", action="store_true",
                        help="link to pictures in answers as well; many clients drop an answer "
                        "that holds a link")  # fmt: skip
    _add_server_flags(parser, MCP_PORT)


def mcp(given: argparse.Namespace, output: Output) -> None:
    """Serve MCP until the client or the user ends it; or print a host's settings for it."""
    if given.print_config:
        hosts.print_config(given, output)
        return
    from civitai_skill.adapters.mcp import server
    from civitai_skill.servers.serve import serve
    from civitai_skill.servers.session import choose_folder
    from civitai_skill.skill.bundle import find_bundle

    flags = [name for name in ("host", "port", "token_env", "allow_host") if getattr(given, name)]
    if flags and not given.http:
        raise RequestInvalid(Problem(flags[0], None, "--http with it", None, "is for HTTP only"))
    bundle = None
    with suppress(ConfigError):  # a server without the skill's pages is still a server
        bundle = find_bundle()
    session = _open_session(given)
    out = Path(given.out or choose_folder(session.client.settings.home))
    if not given.out and out != Path("pictures").absolute():
        output.say(f"The current folder can't be written to; pictures are saved in {out}.")
    mcp_server = server.create_server(
        session,
        out=out,
        local_files=given.local_files,
        ask_above=given.ask_above,
        links=given.links,
        wait=given.wait,
        thumbnails=not given.no_thumbnails,
        bundle=bundle,
    )
    _begin_to_serve(output)
    if given.http:
        policy = _build_policy(given, MCP_PORT)
        serve(server.create_app(mcp_server, policy), policy, session, "MCP", server.PATH)
        return
    try:
        server.serve_stdio(mcp_server)
    except ExceptionGroup as group:
        _, others = group.split(OSError)
        if others is not None:
            raise
        told = f"What was bought is told by {output.command_line('history')}."
        raise AnswerLost("its reader has gone", spent="unknown", advice=told) from None


def add_rest(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "rest",
        "rest --sandbox --port 8081 --budget 200",
        "rest --host 0.0.0.0 --allow-host pictures.example --token-env MY_TOKEN",
    )
    parser.add_argument("--cors-origin", action="append", default=[], metavar="URL",
                        help="let pages of this origin call it; repeatable")  # fmt: skip
    _add_server_flags(parser, REST_PORT)
    values.add_shared(parser, "--max-buzz", "refuse above N Buzz a call (CIVITAI_MAX_BUZZ, or 300)")
    values.add_shared(parser, "--budget", "this")


def rest(given: argparse.Namespace, output: Output) -> None:
    """Serve REST until the user ends it."""
    from civitai_skill.adapters.rest import app
    from civitai_skill.servers.serve import serve

    policy = _build_policy(given, REST_PORT, origins=given.cors_origin, open_paths=app.OPEN_PATHS)
    session = _open_session(given)
    _begin_to_serve(output)
    serve(app.create_app(session, policy), policy, session, "REST")


def _add_server_flags(parser: argparse.ArgumentParser, port: int) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument("--host",
                       help=f"address to listen on ({HOST}); any other needs a token")  # fmt: skip
    group.add_argument("--port", type=values.parse_count, metavar="N", help=f"port ({port})")
    group.add_argument("--token-env", metavar="NAME",
                       help="the variable that holds the token callers must show")  # fmt: skip
    group.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                       help="answer to this host name too; repeatable")  # fmt: skip


def _begin_to_serve(output: Output) -> None:
    ignore_lost_answers()
    output.interrupts.leave()


def _build_policy(given: argparse.Namespace, port: int, **more: Any) -> Any:
    from civitai_skill.servers.access import AccessPolicy

    number = port if given.port is None else given.port
    return AccessPolicy.from_flags(
        given.host or HOST, number, given.token_env, given.allow_host, **more
    )


def _open_session(given: argparse.Namespace) -> Any:
    from civitai_skill.client import AsyncCivitai
    from civitai_skill.servers.session import ServerSession

    client = AsyncCivitai(settings=load_settings(given), ledger=False)
    return ServerSession(client, given.budget)


def add_sandbox(parser: argparse.ArgumentParser) -> None:
    from civitai_skill.sandbox import switches

    values.set_examples(
        parser,
        "sandbox --port 8787",
        "sandbox --seconds-per-job 3 --balance blue=500,yellow=200",
        "sandbox --switch short_of_buzz=403 --switch unfinished_at_most=4\n\n"
        f"switches, for what is disputed or unknown about the service:\n{switches.describe()}",
    )
    parser.add_argument("--host", default=HOST, help=f"address to listen on ({HOST})")
    parser.add_argument("--port", type=values.parse_count, default=8787, metavar="N",
                        help="port (8787)")  # fmt: skip
    parser.add_argument("--seconds-per-job", type=values.parse_seconds, metavar="S",
                        help="how long a job takes")  # fmt: skip
    parser.add_argument("--balance", type=values.parse_balance, metavar="C=N,...",
                        help="Buzz of a new account, such as blue=500,yellow=200")  # fmt: skip
    parser.add_argument("--switch", type=values.parse_switch, action="append", default=[],
                        metavar="NAME=VALUE", dest="switches",
                        help="see the switches below; repeatable")  # fmt: skip


def sandbox(given: argparse.Namespace, output: Output) -> None:
    """Serve the sandbox until interrupted."""
    from civitai_skill.sandbox import Sandbox, Switches
    from civitai_skill.sandbox.port import serve
    from civitai_skill.servers.access import open_listener, ready_line

    settings = load_settings(given)
    _begin_to_serve(output)
    box = Sandbox(
        settings.home / "sandbox.sqlite3",
        seconds_per_job=given.seconds_per_job,
        balance=given.balance,
        switches=Switches(**dict(given.switches)),
    )
    with open_listener(given.host, given.port) as listener:
        serve(box, listener, ready_line("sandbox", listener))
