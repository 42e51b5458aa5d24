"""What every client of the MCP server has to show: a picture made, the same asked for again and
not paid twice, and the picture seen.

    python CLIENT.py COMMAND...

COMMAND serves the sandbox over standard input and output. The clients import nothing of this
project: most of them want another version of the protocol's package than the server.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

GENERATE, LOOK = "civitai-generate-image", "civitai-get-image"
PICTURE = {"prompt": "a red fox asleep in fresh snow", "include_image": "no"}

COMMAND, WORDS = sys.argv[1], sys.argv[2:]


def look(made: str) -> dict[str, Any]:
    """The arguments that show the picture of an answer."""
    return {"id": json.loads(made)["id"], "include_image": "thumbnail"}


def check(made: str, again: str, shown: str, picture: str | bytes) -> None:
    """Hold the three answers (their text) and the picture (base64, or its bytes) together."""
    first, second, third = json.loads(made), json.loads(again), json.loads(shown)
    assert first["status"] == second["status"] == third["status"] == "succeeded", (made, again)
    assert first["id"] == second["id"] == third["id"], (made, again, shown)
    assert "nothing new was bought" in second["message"], again
    assert first["images"][0]["path"] == third["images"][0]["path"], (made, shown)
    content = base64.b64decode(picture) if isinstance(picture, str) else picture
    assert content.startswith(b"\xff\xd8"), content[:20]
    assert len(content) < 100_000, len(content)
    print(f"made {first['id']}, asked for it again, saw {len(content)} bytes of it")
