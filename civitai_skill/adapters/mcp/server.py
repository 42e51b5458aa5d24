"""The server itself: the registry's tools, one prompt, the resources, and its two transports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolResult, GetPromptResult, InputRequiredResult
from mcp.types import Tool as McpTool

from civitai_skill._version import __version__
from civitai_skill.adapters.mcp import resources
from civitai_skill.adapters.mcp.calls import ToolRunner
from civitai_skill.adapters.mcp.schema import (
    REGISTRY_NAMES,
    build_tools,
    extend_models,
    to_mcp_names,
)
from civitai_skill.config import ASK_USER_ABOVE
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.http import MOST_BODY, AccessMiddleware, App
from civitai_skill.servers.session import ServerSession
from civitai_skill.tools.fixed import OUT
from civitai_skill.tools.guidance import RULES, guidance
from civitai_skill.tools.registry import SERVED
from civitai_skill.tools.toolbox import Toolbox

PATH = "/mcp"


class Server(MCPServer[Any]):
    """The tools of a toolbox as an MCP server, in a server session."""

    def __init__(self, runner: ToolRunner, bundle: Path | None) -> None:
        super().__init__(
            "civitai-skill",
            title="Civitai image generation",
            version=__version__,
            instructions=to_mcp_names(RULES),
            log_level="WARNING",
            subscriptions=False,  # nothing that is listed here ever changes
        )
        self.runner = runner
        self.server_session = runner.server_session
        self._out = runner.box.fixed.out
        self.prompt(
            "image-generation-guide",
            title="Image generation guide",
            description="How to choose an engine and make a picture for what is intended.",
        )(_render_guide)
        self.resource(
            resources.TEMPLATE,
            name="picture",
            title="A whole picture",
            description="Picture n (from 0) of a workflow.",
            mime_type="image/*",
        )(self._read_picture)
        if bundle is not None:
            for page in resources.list_pages(bundle):
                self.add_resource(page)

    async def list_tools(self) -> list[McpTool]:
        """The tools, in the registry's order."""
        return build_tools(self.runner.box)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool by this interface's name. Raises ToolError with an explained error."""
        context = context or Context(mcp_server=self)
        return await self.runner.call(REGISTRY_NAMES.get(name, name), arguments, context)

    async def read_resource(
        self, uri: Any, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a page, or a picture with its own type."""
        if not str(uri).startswith(resources.PICTURES):
            return await super().read_resource(uri, context)
        self.server_session.mark_read(str(uri))
        data, kind = await resources.read_picture(self.server_session, str(uri), self._out)
        return [ReadResourceContents(content=data, mime_type=kind)]

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """The prompt. Raises MCPError for another name, or without its argument."""
        (prompt,) = await self.list_prompts()
        needed = [argument.name for argument in prompt.arguments or [] if argument.required]
        if name != prompt.name or set(arguments or {}) != set(needed):
            text = f"There is one prompt here: {prompt.name}, with {', '.join(needed)}."
            raise MCPError(INVALID_PARAMS, text)
        return await super().get_prompt(name, arguments, context)

    async def _read_picture(self, workflow: str, n: str) -> bytes:
        """Listed as a template; read above, where its type is told."""
        uri = f"{resources.PICTURES}{workflow}/{n}"
        return (await resources.read_picture(self.server_session, uri, self._out))[0]


def _render_guide(intent: str) -> str:
    """The guide, and what is intended."""
    return f"{to_mcp_names(guidance())}\n\nWhat is wanted: {intent}"


def create_server(
    session: ServerSession,
    *,
    out: str | Path = OUT,
    local_files: bool = False,
    ask_above: int = ASK_USER_ABOVE,
    links: bool = False,
    wait: float | None = None,
    thumbnails: bool = True,
    bundle: Path | None = None,
) -> Server:
    """Build a server in a session; pictures go to `out`. See Toolbox for `local_files` and `wait`,
    ToolRunner for `links`; without `thumbnails` a call must ask for them. `bundle` is the folder of
    the skill, whose pages are resources."""
    # A client knows nothing of this process's folder, so it is given absolute paths.
    folder = Path(out).absolute()
    box = Toolbox(session.client, include=SERVED, out=folder, local_files=local_files, wait=wait)
    box.models = extend_models(box.models, thumbnails)
    return Server(ToolRunner(session, box, ask_above, links), bundle)


def create_app(server: Server, policy: AccessPolicy) -> App:
    """Build the HTTP application behind its access policy."""
    # The access policy has checked Host and Origin already.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    inner: Any = server.streamable_http_app(
        streamable_http_path=PATH, max_request_body_size=MOST_BODY, transport_security=security
    )
    return AccessMiddleware(inner, policy)


#: Seconds in which answers that are ready are written.
_WRITING = 0.2


def serve_stdio(server: Server) -> None:
    """Serve over standard input and output until the client closes them, SIGINT or SIGTERM."""
    session = server.server_session
    leaving: set[asyncio.Task[None]] = set()

    async def leave() -> None:
        session.stop()
        await server.runner.wait_for_answers(session.grace + _WRITING)
        await asyncio.sleep(_WRITING)
        await session.close()
        # A thread is reading standard input, and nothing but the end of the process ends that.
        os._exit(0)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the platform has no handlers, the interrupt itself ends the run.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, lambda: leaving.add(loop.create_task(leave())))
        try:
            await server.run_stdio_async()
        finally:
            await session.close()

    asyncio.run(run())
