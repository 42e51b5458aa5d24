"""An agent of the OpenAI Agents SDK makes a picture: `pip install . openai-agents`, then

    python examples/with_openai_agents.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True`,
name a model, and set CIVITAI_API_KEY and OPENAI_API_KEY.
"""

import asyncio
import json
import sys

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from civitai_skill import Toolbox


class Scripted(Model):
    """One tool call, then words about its result."""

    async def get_response(self, system_instructions, input, *given, **more):
        last = input[-1] if isinstance(input, list) else {"content": input}
        if last.get("type") == "function_call_output":
            path = json.loads(last["output"])["images"][0]["path"]
            text = ResponseOutputText(text=f"Saved: {path}", type="output_text", annotations=[])
            item = ResponseOutputMessage(
                id="1", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            item = ResponseFunctionToolCall(
                arguments=json.dumps({"prompt": last["content"], "quality": "draft"}),
                call_id="1",
                name="civitai_generate_image",
                type="function_call",
            )
        return ModelResponse(output=[item], usage=Usage(), response_id=None)

    def stream_response(self, *given, **more):
        raise NotImplementedError


async def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    set_tracing_disabled(True)
    async with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        agent = Agent(
            name="Illustrator",
            instructions="Make the picture that is asked for.",
            model=Scripted(),
            tools=[function_tool(function) for function in box.callables(asynchronous=True)],
        )
        answer = (await Runner.run(agent, prompt)).final_output
    print(answer)
    return answer


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
