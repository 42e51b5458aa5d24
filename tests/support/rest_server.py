"""A REST server over a sandbox in this process, for the tests of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from civitai_skill import AsyncCivitai
from civitai_skill.adapters.rest.app import OPEN_PATHS, create_app
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Sandbox
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.http import Connection
from civitai_skill.servers.session import ServerSession

FOX = {"prompt": "a red fox"}
PROBLEM = "application/problem+json"

Rest = Callable[..., httpx.AsyncClient]


def connect(session: ServerSession, **door: Any) -> httpx.AsyncClient:
    """A client of a REST server in a session; all its requests go through one connection."""
    app: Any = create_app(session, AccessPolicy(open_paths=OPEN_PATHS, **door))
    connection = Connection()

    async def connected(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"connection": connection}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=connected, raise_app_exceptions=False)
    web = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
    web.server_session = session  # type: ignore[attr-defined]
    return web


@asynccontextmanager
async def rests(sandbox: Sandbox, home: Path) -> AsyncIterator[Rest]:
    """Opens servers on a sandbox: rest(budget=9) gives a client of one.

    `pause` is how long, in seconds, it waits before it sends a request that was lost once more.
    """
    opened: list[Any] = []

    def open_one(budget: int | None = None, pause: float = 0.001, **door: Any) -> httpx.AsyncClient:
        retry = Retry(tries=2, first=pause, cap=2 * pause)
        desk = ServerSession(AsyncCivitai(sandbox=sandbox, home=home, retry=retry), budget)
        web = connect(desk, **door)
        opened.extend((web.aclose, desk.close))
        return web

    yield open_one
    for close in opened:
        await close()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    told: dict[str, Any] = answer.json()
    assert (told["status"], told["code"]) == (status, code)
    assert told["spent"] in ("no", "yes", "unknown")
    return told
