"""Gemini's automatic function calling makes a picture: `pip install . google-genai`, then

    python examples/with_google_genai.py "a red fox"

It runs in the sandbox, and a script stands in for the model. For real, leave out `sandbox=True` and
`http_options`, and set CIVITAI_API_KEY and GEMINI_API_KEY.
"""

import json
import sys

import httpx
from google import genai
from google.genai import types

from civitai_skill import Toolbox


def scripted(request: httpx.Request) -> httpx.Response:
    """Answers like generateContent: one function call, then words about its result."""
    last = json.loads(request.content)["contents"][-1]["parts"][-1]
    if "functionResponse" in last:
        result = json.loads(last["functionResponse"]["response"]["result"])
        part = {"text": f"Saved: {result['images'][0]['path']}"}
    else:
        arguments = {"prompt": last["text"], "quality": "draft"}
        part = {"functionCall": {"name": "civitai_generate_image", "args": arguments}}
    content = {"role": "model", "parts": [part]}
    return httpx.Response(200, json={"candidates": [{"content": content, "finishReason": "STOP"}]})


def main(prompt: str = "a red fox in fresh snow", out: str = "pictures") -> str:
    fake = httpx.Client(transport=httpx.MockTransport(scripted))
    client = genai.Client(api_key="none", http_options=types.HttpOptions(httpx_client=fake))
    with Toolbox(sandbox=True, out=out, max_buzz=50) as box:
        config = types.GenerateContentConfig(tools=box.callables())
        chat = client.chats.create(model="gemini-3-flash", config=config)
        answer = chat.send_message(prompt).text
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
