"""The tools for MCP, over standard input and output or over HTTP.

server.py serves, calls.py runs a tool call, consent.py asks the user, schema.py knows this
interface's names and schemas, resources.py the resources. What a tool does is never decided here.
"""

from __future__ import annotations

try:
    import mcp.server.mcpserver  # noqa: F401
    import uvicorn  # noqa: F401
except ModuleNotFoundError as missing:
    from civitai_skill.errors import ConfigError, from_clone

    raise ConfigError(
        "The MCP SDK (mcp 2) is not installed.", advice=from_clone("mcp")
    ) from missing
