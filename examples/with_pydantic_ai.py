"""A Pydantic AI agent makes a picture: `pip install . pydantic-ai-slim`, then

    python examples/with_pydantic_ai.py "a red fox"

It runs in the sandbox, with Pydantic AI's own FunctionModel for a model. For real, leave out
`sandbox=True`, name a model ("anthropic:claude-sonnet-5"), and set CIVITAI_API_KEY and its key.
"""

import json
import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from civitai_skill import Toolbox


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """One tool call, then words about its result."""
    last = messages[-1].parts[-1]
    if last.part_kind == "tool-return":
        path = json.loads(last.content)["images"][0]["path"]
        return ModelResponse(parts=[TextPart(f"Saved: {path}")])
    arguments = {"prompt": last.content, "quality": "draft"}
    return ModelResponse(parts=[ToolCallPart("civitai_generate_image", arguments)])


def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        agent = Agent(FunctionModel(scripted), tools=box.callables(asynchronous=True))
        answer = agent.run_sync(prompt).output
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
