"""Semantic Kernel with the server as a plugin."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from proof import COMMAND, GENERATE, LOOK, PICTURE, WORDS, check, look
from semantic_kernel import Kernel
from semantic_kernel.connectors.mcp import MCPStdioPlugin
from semantic_kernel.contents import ImageContent


async def main() -> None:
    async with MCPStdioPlugin(
        name="civitai", command=COMMAND, args=WORDS, env=dict(os.environ)
    ) as plugin:
        kernel = Kernel()
        kernel.add_plugin(plugin)

        async def call(name: str, arguments: dict[str, Any]) -> Any:
            found = await kernel.invoke(plugin_name="civitai", function_name=name, **arguments)
            assert found is not None
            return found.value

        made = await call(GENERATE, PICTURE)
        again = await call(GENERATE, PICTURE)
        shown = await call(LOOK, look(made[0].text))
        (picture,) = [part for part in shown if isinstance(part, ImageContent)]
        # Its `data` is the base64 text as bytes.
        check(made[0].text, again[0].text, shown[0].text, picture.data.decode())


asyncio.run(main())
