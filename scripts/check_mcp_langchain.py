"""Use the MCP server as a LangChain agent would, through langchain-mcp-adapters.

    python check_mcp_langchain.py URL COMMAND...

Over HTTP at URL and over standard input and output of COMMAND: the tools load, one makes a picture,
an error comes back as something to read. It imports nothing of this project: the adapters want
another version of the protocol's package than the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langchain_core.messages import ToolCall, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient

NAMES = [
    "civitai-generate-image",
    "civitai-get-image",
    "civitai-query-images",
    "civitai-cancel-image",
    "civitai-choose-engine",
]


def texts(message: ToolMessage) -> str:
    """The text of an answer, whichever way its blocks are told."""
    if isinstance(message.content, str):
        return message.content
    parts = [block for block in message.content if isinstance(block, dict)]
    return "".join(part["text"] for part in parts if part.get("type") == "text")


async def use(connection: Any) -> None:
    """Load the tools over one connection and use them."""
    tools = await MultiServerMCPClient({"civitai": connection}).get_tools()
    assert {tool.name for tool in tools} >= set(NAMES), tools
    generate = tools[0]

    async def call(**arguments: Any) -> ToolMessage:
        asked = ToolCall(name=generate.name, args=arguments, id="1", type="tool_call")
        answer = await generate.ainvoke(asked)
        assert isinstance(answer, ToolMessage), answer
        return answer

    made = json.loads(texts(await call(prompt="a red fox", include_image="no")))
    assert made["status"] == "succeeded", made
    try:
        told = texts(await call(prompt="a red fox", engine="no-such-engine"))
    except Exception as error:
        told = str(error)
    assert "there is no such engine" in told, told


async def main() -> None:
    url, program, *words = sys.argv[1:]
    await use({"transport": "streamable_http", "url": url})
    await use({"transport": "stdio", "command": program, "args": words})
    print("langchain-mcp-adapters: both transports work")


asyncio.run(main())
