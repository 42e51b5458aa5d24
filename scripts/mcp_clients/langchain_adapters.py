"""A LangChain tool call through langchain-mcp-adapters."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from langchain_core.messages import ToolCall
from langchain_mcp_adapters.client import MultiServerMCPClient
from proof import COMMAND, GENERATE, LOOK, PICTURE, WORDS, check, look

SERVER = {"transport": "stdio", "command": COMMAND, "args": WORDS, "env": dict(os.environ)}


async def main() -> None:
    client = MultiServerMCPClient({"civitai": SERVER})
    # One session, as an agent keeps one.
    async with client.session("civitai") as session:
        from langchain_mcp_adapters.tools import load_mcp_tools

        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(name: str, arguments: dict[str, Any]) -> Any:
            asked = ToolCall(name=name, args=arguments, id="1", type="tool_call")
            return (await tools[name].ainvoke(asked)).content

        made, again = await call(GENERATE, PICTURE), await call(GENERATE, PICTURE)
        shown = await call(LOOK, look(made[0]["text"]))
        picture = next(block for block in shown if block["type"] == "image")
        check(made[0]["text"], again[0]["text"], shown[0]["text"], picture["base64"])


asyncio.run(main())
