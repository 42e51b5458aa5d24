"""Anthropic's tool runner makes a picture: `pip install . anthropic`, then

    python examples/with_anthropic.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True` and
`http_client`, and set CIVITAI_API_KEY and ANTHROPIC_API_KEY.
"""

import json
import sys

import httpx2 as httpx
from anthropic import Anthropic, beta_tool

from civitai_skill import Toolbox


def scripted(request: httpx.Request) -> httpx.Response:
    """Answers like the Messages API: one tool call, then words about its result."""
    asked = json.loads(request.content)
    said = asked["messages"][-1]["content"]
    if isinstance(said, str):
        arguments = {"prompt": said, "quality": "draft"}
        name = "civitai_generate_image"
        block = {"type": "tool_use", "id": "call_1", "name": name, "input": arguments}
    else:
        result = said[0]["content"]
        text = result if isinstance(result, str) else result[0]["text"]
        block = {"type": "text", "text": f"Saved: {json.loads(text)['images'][0]['path']}"}
    stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    return httpx.Response(200, json={**message, "content": [block], "stop_reason": stop,
                                     "stop_sequence": None, "usage": usage})  # fmt: skip


def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    fake = httpx.Client(transport=httpx.MockTransport(scripted))
    client = Anthropic(api_key="none", http_client=fake)
    with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        runner = client.beta.messages.tool_runner(
            model="claude-sonnet-5",
            max_tokens=1024,
            tools=[beta_tool(function) for function in box.callables()],
            messages=[{"role": "user", "content": prompt}],
        )
        answer = runner.until_done().content[0].text
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
