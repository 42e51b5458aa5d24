"""The commands mcp and rest: settings and an access policy, handed to a server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.streams import ignore_lost_answers
from civitai_skill.errors import AnswerLost, ConfigError, Problem, RequestInvalid

HOST = "127.0.0.1"
MCP_PORT = 9090
REST_PORT = 8080


def add_commands(
    command: Callable[..., argparse.ArgumentParser], count: Callable[[str], int]
) -> None:
    """Add the two commands to the parser."""
    talk = command(
        "mcp",
        f"{__name__}:mcp",
        "serve the tools to an agent by MCP, over standard input and output or over HTTP",
        "  civitai-skill mcp --stdio\n"
        "  civitai-skill mcp --http --budget 200\n"
        "  civitai-skill mcp --http --sandbox",
    )
    how = talk.add_mutually_exclusive_group()
    how.add_argument("--stdio", action="store_true",
                     help="over standard input and output (the default)")  # fmt: skip
    how.add_argument("--http", action="store_true", help="over HTTP, at the path /mcp")
    talk.add_argument("--local-files", action="store_true",
                      help="let source pictures be any file of this machine")  # fmt: skip
    talk.add_argument("--ask-above", type=count, default=50, metavar="N",
                      help="ask the user before spending more than N Buzz at once, where "
                      "the client can ask (50)")  # fmt: skip
    _add_server_flags(talk, count, MCP_PORT)
    rest_ = command(
        "rest",
        f"{__name__}:rest",
        "serve the capability's REST interface, with OpenAPI, health and metrics",
        "  civitai-skill rest\n"
        "  civitai-skill rest --sandbox --port 8081 --budget 200\n"
        "  civitai-skill rest --host 0.0.0.0 --allow-host pictures.example --token-env MY_TOKEN",
    )
    rest_.add_argument("--cors-origin", action="append", default=[], metavar="URL", dest="origins",
                       help="let pages of this origin call it; repeatable")  # fmt: skip
    _add_server_flags(rest_, count, REST_PORT)


def _add_server_flags(
    parser: argparse.ArgumentParser, count: Callable[[str], int], port: int
) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument("--host",
                       help=f"address to listen on ({HOST}); any other needs a token")  # fmt: skip
    group.add_argument("--port", type=count, metavar="N", help=f"port ({port})")
    group.add_argument("--token-env", metavar="NAME",
                       help="the variable that holds the token callers must show")  # fmt: skip
    group.add_argument("--allow-host", action="append", default=[], metavar="NAME", dest="hosts",
                       help="answer to this host name too; repeatable")  # fmt: skip
    group.add_argument("--max-buzz", type=count, metavar="N",
                       help="refuse above N Buzz a call (CIVITAI_MAX_BUZZ, or 300)")  # fmt: skip
    group.add_argument("--budget", type=count, metavar="N",
                       help="spend at most N Buzz in this server's life")  # fmt: skip


def mcp(given: argparse.Namespace, output: Output) -> int:
    """Serve MCP until the client or the user ends it."""
    from civitai_skill.adapters.mcp import server
    from civitai_skill.skill.bundle import find_bundle

    flags = [name for name in ("host", "port", "token_env", "hosts") if getattr(given, name)]
    if flags and not given.http:
        flag = {"hosts": "--allow-host"}.get(flags[0], "--" + flags[0].replace("_", "-"))
        raise RequestInvalid(Problem(flag, None, "--http with it", None, "is for HTTP only"))
    bundle = None
    with suppress(ConfigError):  # a server without the skill's pages is still a server
        bundle = find_bundle()
    mcp_server = server.create_server(
        _open_session(given),
        out=given.out or "pictures",
        local_files=given.local_files,
        ask_above=given.ask_above,
        bundle=bundle,
    )
    ignore_lost_answers()
    if given.http:
        server.serve_http(mcp_server, _build_policy(given, MCP_PORT))
        return 0
    try:
        server.serve_stdio(mcp_server)
    except ExceptionGroup as group:
        _, others = group.split(OSError)
        if others is not None:
            raise
        lost = AnswerLost("its reader has gone")
        lost.spent = "unknown"
        lost.advice = "What was bought is told by: civitai-skill history"
        raise lost from None
    return 0


def rest(given: argparse.Namespace, output: Output) -> int:
    """Serve REST until the user ends it."""
    from civitai_skill.adapters.rest import app
    from civitai_skill.servers.http import serve

    policy = _build_policy(given, REST_PORT, origins=given.origins, open_paths=app.OPEN_PATHS)
    session = _open_session(given)
    ignore_lost_answers()
    serve(app.create_app(session, policy), policy, session, "REST")
    return 0


def _build_policy(given: argparse.Namespace, port: int, **more: Any) -> Any:
    from civitai_skill.servers.access import AccessPolicy

    number = port if given.port is None else given.port
    return AccessPolicy.from_flags(given.host or HOST, number, given.token_env, given.hosts, **more)


def _open_session(given: argparse.Namespace) -> Any:
    from civitai_skill.config import Settings
    from civitai_skill.servers.session import ServerSession

    settings = Settings.load(
        sandbox=True if given.sandbox else None, ledger=given.ledger, max_buzz=given.max_buzz
    )
    return ServerSession.open(settings, given.budget)
