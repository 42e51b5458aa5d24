"""A smolagents agent makes a picture: `pip install . smolagents`, then

    python examples/with_smolagents.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True`,
take one of smolagents' models, and set CIVITAI_API_KEY and its key.
"""

import json
import sys

from smolagents import ChatMessage, MessageRole, Model, ToolCallingAgent, tool
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction

from civitai_skill import Toolbox


class Scripted(Model):
    """One tool call, then the final answer about its result."""

    def __init__(self, prompt: str) -> None:
        super().__init__(model_id="scripted")
        self.prompt = prompt

    def generate(self, messages, **given):
        results = [m for m in messages if m.role == MessageRole.TOOL_RESPONSE]
        if results:
            told = results[-1].content[0]["text"]
            result = json.loads(told[told.index("{") : told.rindex("}") + 1])
            name, arguments = "final_answer", {"answer": f"Saved: {result['images'][0]['path']}"}
        else:
            name = "civitai_generate_image"
            arguments = {"prompt": self.prompt, "quality": "draft"}
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        call = ChatMessageToolCall(function=function, id=name, type="function")
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        tools = [tool(function) for function in box.callables()]
        agent = ToolCallingAgent(tools=tools, model=Scripted(prompt), verbosity_level=0)
        answer = str(agent.run(prompt))
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
