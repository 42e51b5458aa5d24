"""A LlamaIndex agent makes a picture: `pip install . llama-index-core`, then

    python examples/with_llama_index.py "a red fox"

It runs in the sandbox, with LlamaIndex's own MockFunctionCallingLLM for a model. For real, leave
out `sandbox=True`, take a model, and set CIVITAI_API_KEY and its key.
"""

import asyncio
import json
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool

from civitai_skill import Toolbox


def scripted(messages, **given) -> ChatMessage:
    """One tool call, then words about its result."""
    last = messages[-1]
    if last.role == MessageRole.TOOL:
        path = json.loads(last.content)["images"][0]["path"]
        block = TextBlock(text=f"Saved: {path}")
    else:
        arguments = {"prompt": last.content, "quality": "draft"}
        name = "civitai_generate_image"
        block = ToolCallBlock(tool_call_id="1", tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[block])


async def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    async with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        functions = box.callables(asynchronous=True)
        agent = FunctionAgent(
            tools=[FunctionTool.from_defaults(async_fn=function) for function in functions],
            llm=MockFunctionCallingLLM(response_generator=scripted, is_chat_model=True),
            streaming=False,
        )
        answer = str(await agent.run(user_msg=prompt))
    print(answer)
    return answer


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
