"""An agent of Google's Agent Development Kit makes a picture: `pip install . google-adk`, then

    python examples/with_google_adk.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True`,
name a model ("gemini-3-flash"), and set CIVITAI_API_KEY and GOOGLE_API_KEY.
"""

import asyncio
import json
import sys

from google.adk.agents import Agent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

from civitai_skill import Toolbox


class Scripted(BaseLlm):
    """One function call, then words about its result."""

    async def generate_content_async(self, llm_request, stream=False):
        last = llm_request.contents[-1].parts[-1]
        if last.function_response is not None:
            result = json.loads(last.function_response.response["result"])
            part = types.Part(text=f"Saved: {result['images'][0]['path']}")
        else:
            arguments = {"prompt": last.text, "quality": "draft"}
            part = types.Part.from_function_call(name="civitai_generate_image", args=arguments)
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    async with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        agent = Agent(
            name="illustrator",
            model=Scripted(model="scripted"),
            tools=box.callables(asynchronous=True),
        )
        runner = InMemoryRunner(agent, app_name="pictures")
        session = await runner.session_service.create_session(app_name="pictures", user_id="me")
        message = types.Content(role="user", parts=[types.Part(text=prompt)])
        answer = ""
        async for event in runner.run_async(
            user_id="me", session_id=session.id, new_message=message
        ):
            if event.is_final_response():
                answer = event.content.parts[0].text
    print(answer)
    return answer


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
