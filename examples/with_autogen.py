"""An AutoGen assistant makes a picture: `pip install . autogen-agentchat autogen-ext`, then

    python examples/with_autogen.py "a red fox"

It runs in the sandbox, with AutoGen's own ReplayChatCompletionClient for a model. For real, leave
out `sandbox=True`, take a client of a model, and set CIVITAI_API_KEY and its key.
"""

import asyncio
import json
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from civitai_skill import Toolbox


def scripted(prompt: str) -> ReplayChatCompletionClient:
    """One tool call; the assistant answers with its result."""
    arguments = json.dumps({"prompt": prompt, "quality": "draft"})
    call = FunctionCall(id="1", name="civitai_generate_image", arguments=arguments)
    made = CreateResult(
        finish_reason="function_calls", content=[call], usage=RequestUsage(1, 1), cached=False
    )
    able = {"function_calling": True, "vision": False, "json_output": False, "family": "unknown",
            "structured_output": False}  # fmt: skip
    return ReplayChatCompletionClient([made], model_info=able)


async def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    async with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        agent = AssistantAgent(
            "illustrator",
            model_client=scripted(prompt),
            tools=box.callables(asynchronous=True),
        )
        told = (await agent.run(task=prompt)).messages[-1].content
    answer = f"Saved: {json.loads(told)['images'][0]['path']}"
    print(answer)
    return answer


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
