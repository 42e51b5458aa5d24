"""An AutoGen assistant with the server as its workbench; its own replayed model asks.

What the assistant reads of a tool is text. The picture is looked at through the workbench.
"""

from __future__ import annotations

import asyncio
import io
import json
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_core.tools import ImageResultContent, TextResultContent
from autogen_ext.models.replay import ReplayChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams
from proof import COMMAND, GENERATE, LOOK, PICTURE, WORDS, check, look

# Its own default, 5 s, is short for a program that is just starting.
SERVER = StdioServerParams(
    command=COMMAND, args=WORDS, env=dict(os.environ), read_timeout_seconds=60
)
ABLE = {"function_calling": True, "vision": True, "json_output": False, "family": "unknown",
        "structured_output": False}  # fmt: skip


async def main() -> None:
    asked = FunctionCall(id="1", name=GENERATE, arguments=json.dumps(PICTURE))
    turn = CreateResult(
        finish_reason="function_calls", content=[asked], usage=RequestUsage(1, 1), cached=False
    )
    model = ReplayChatCompletionClient([turn, turn], model_info=ABLE)
    async with McpWorkbench(SERVER) as workbench:
        agent = AssistantAgent("illustrator", model_client=model, workbench=workbench)
        made = (await agent.run(task="a red fox")).messages[-1].content
        again = (await agent.run(task="again")).messages[-1].content
        shown = (await workbench.call_tool(LOOK, look(made))).result
    (text,) = [part.content for part in shown if isinstance(part, TextResultContent)]
    (image,) = [part.content for part in shown if isinstance(part, ImageResultContent)]
    out = io.BytesIO()  # AutoGen keeps a picture decoded
    image.image.convert("RGB").save(out, "JPEG")
    check(made, again, text, out.getvalue())


asyncio.run(main())
