"""A crewAI agent makes a picture: `pip install . crewai`, then

    python examples/with_crewai.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True`,
name a model, and set CIVITAI_API_KEY and its key.
"""

import json
import os
import sys

os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")

from crewai import Agent, BaseLLM, Crew, Task
from crewai.tools import tool

from civitai_skill import Toolbox


class Scripted(BaseLLM):
    """One tool call as text, then the final answer about its result."""

    def call(self, messages, tools=None, **given):
        said = "".join(message["content"] for message in messages)
        _, sign, result = said.rpartition('Observation: {"')
        if sign:
            told, _ = json.JSONDecoder().raw_decode('{"' + result)
            return f"Thought: done\nFinal Answer: Saved: {told['images'][0]['path']}"
        prompt = said.rpartition("Current Task: ")[2].partition("\n")[0]
        arguments = json.dumps({"prompt": prompt, "quality": "draft"})
        return f"Thought: draw\nAction: civitai_generate_image\nAction Input: {arguments}"

    def supports_function_calling(self) -> bool:
        return False


def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        agent = Agent(
            role="Illustrator",
            goal="Make the picture that is asked for.",
            backstory="You draw.",
            llm=Scripted(model="scripted"),
            tools=[tool(function.__name__)(function) for function in box.callables()],
        )
        task = Task(description=prompt, expected_output="The path of the picture.", agent=agent)
        answer = str(Crew(agents=[agent], tasks=[task]).kickoff())
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
