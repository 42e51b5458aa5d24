"""The protocol's own Python client, of its first line (1.x) and of its second (2.x)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import mcp
from proof import COMMAND, GENERATE, LOOK, PICTURE, WORDS, check, look

SERVER = mcp.StdioServerParameters(command=COMMAND, args=WORDS, env=dict(os.environ))


async def use(call: Any) -> None:
    made = (await call(GENERATE, PICTURE)).content
    again = (await call(GENERATE, PICTURE)).content
    shown = (await call(LOOK, look(made[0].text))).content
    check(made[0].text, again[0].text, shown[0].text, shown[1].data)


async def main() -> None:
    if hasattr(mcp, "Client"):
        async with mcp.Client(mcp.stdio_client(SERVER)) as client:
            await use(client.call_tool)
        return
    async with mcp.stdio_client(SERVER) as streams, mcp.ClientSession(*streams) as session:
        await session.initialize()
        await use(session.call_tool)


asyncio.run(main())
