"""An MCP server over a sandbox in this process, and a client of it, for the tests of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.types import CallToolResult, ElicitResult

from civitai_skill import AsyncCivitai
from civitai_skill.adapters.mcp import server
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Sandbox
from civitai_skill.servers.session import ServerSession
from civitai_skill.skill.bundle import find_bundle

GENERATE = "civitai-generate-image"
GET = "civitai-get-image"

#: The protocol's two current revisions, and how a client asks for each.
ERAS = {"2025-11-25": "legacy", "2026-07-28": "auto"}

Open = Callable[..., Any]


def opener(sandbox: Sandbox, folder: Path) -> Open:
    """Opens a server with its client: open_client(budget=9, mode="legacy", answer="accept").

    The user may also "agree", which is to accept with no content, and "ponder", which never ends.
    """

    @asynccontextmanager
    async def open_one(
        budget: int | None = None, mode: str = "auto", answer: str | None = None, **settings: Any
    ) -> AsyncIterator[Client]:
        retry = Retry(tries=2, first=0.001, cap=0.002)
        desk = ServerSession(
            AsyncCivitai(sandbox=sandbox, home=folder / "home", retry=retry), budget
        )
        asked: list[str] = []

        async def ask(context: Any, params: Any) -> ElicitResult:
            asked.append(params.message)
            if answer == "ponder":
                await asyncio.Event().wait()
            if answer == "agree":
                return ElicitResult(action="accept")
            return ElicitResult(action=answer, content={} if answer == "accept" else None)

        made = server.create_server(
            desk, **{"out": folder / "out", "bundle": find_bundle(), **settings}
        )
        able: Any = {} if answer is None else {"elicitation_callback": ask}
        async with Client(made, mode=mode, **able) as connected:
            connected.asked = asked  # type: ignore[attr-defined]
            connected.server_session = desk  # type: ignore[attr-defined]
            yield connected
        await desk.close()

    return open_one


def error_of(result: CallToolResult) -> dict[str, Any]:
    """What an error that a model reads says."""
    assert result.is_error, result
    told: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    return told
