"""Anthropic's tool runner, with the server's tools through its own MCP helpers.

A script stands in for the model: it makes the picture, makes it again, looks at it.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx2
import mcp
from anthropic import AsyncAnthropic
from anthropic.lib.tools.mcp import async_mcp_tool
from proof import COMMAND, GENERATE, LOOK, PICTURE, WORDS, check, look

SERVER = mcp.StdioServerParameters(command=COMMAND, args=WORDS, env=dict(os.environ))
seen: list[list[dict[str, Any]]] = []


def scripted(request: httpx2.Request) -> httpx2.Response:
    asked = json.loads(request.content)
    said = asked["messages"][-1]["content"]
    if isinstance(said, list):
        seen.append(said[0]["content"])
    stop = "tool_use"
    if len(seen) < 2:
        block: Any = {"type": "tool_use", "id": "1", "name": GENERATE, "input": PICTURE}
    elif len(seen) == 2:
        arguments = look(seen[0][0]["text"])
        block = {"type": "tool_use", "id": "3", "name": LOOK, "input": arguments}
    else:
        block, stop = {"type": "text", "text": "There it is."}, "end_turn"
    message = {"id": "1", "type": "message", "role": "assistant", "model": asked["model"],
               "content": [block], "stop_reason": stop, "stop_sequence": None,
               "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    return httpx2.Response(200, json=message)


async def main() -> None:
    fake = httpx2.AsyncClient(transport=httpx2.MockTransport(scripted))
    model = AsyncAnthropic(api_key="none", http_client=fake)
    async with mcp.Client(mcp.stdio_client(SERVER)) as client:
        tools = [async_mcp_tool(tool, client.session) for tool in (await client.list_tools()).tools]
        runner = model.beta.messages.tool_runner(
            model="claude-sonnet-5",
            max_tokens=1024,
            tools=tools,
            messages=[{"role": "user", "content": "a red fox"}],
        )
        await runner.until_done()
    made, again, shown = seen
    picture = next(block for block in shown if block["type"] == "image")
    check(made[0]["text"], again[0]["text"], shown[0]["text"], picture["source"]["data"])


asyncio.run(main())
