"""Running a tool call: progress on the way, a purchase that outlives its caller, the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent

from civitai_skill.adapters.mcp import asking, shelf
from civitai_skill.adapters.mcp.words import told
from civitai_skill.delivery import Generation, Picture
from civitai_skill.desk import Desk
from civitai_skill.errors import CivitaiError
from civitai_skill.events import Event, Submitted, Submitting, Tell
from civitai_skill.tools import consent
from civitai_skill.tools.answers import Result, failure
from civitai_skill.tools.toolbox import Toolbox, find
from civitai_skill.workflow import Progress

_GET = "civitai_get_image"


class Caller:
    """Runs the tools of a toolbox on a desk; asks the user above `ask_above` Buzz."""

    def __init__(self, desk: Desk, box: Toolbox, ask_above: int) -> None:
        self.desk = desk
        self.box = box
        self._ask_above = ask_above
        self._agreements = asking.Agreements()
        self._active = 0

    async def call(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool by the registry's name. Raises ToolError with an explained error."""
        self._active += 1
        try:
            return await self._called(name, arguments, context)
        finally:
            self._active -= 1

    async def answered(self, seconds: float) -> None:
        """Wait until every call has its answer, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._active:
                    await asyncio.sleep(0.02)

    async def _called(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        try:
            tool = find(name, self.box.tools)
        except CivitaiError as error:
            return _answer(failure(error, self.box.fixed.max_buzz))
        if not tool.spends:
            async with _progress(context) as tell:
                return _answer(await self._looked(tool.name, arguments, tell))
        before = self._agreements.before(context)
        price = None if before is None else before[0]
        said = None if before is None else before[1]
        if before is None and asking.can_ask(context):
            try:
                price = await consent.to_agree(
                    self.box, self.desk.client, tool.name, arguments, self._ask_above
                )
            except CivitaiError as error:
                return _answer(failure(error, self.box.fixed.max_buzz))
            if price is not None:
                answer = await asking.ask(context, price)
                if isinstance(answer, InputRequiredResult):
                    return answer
                said = answer
        if price is not None:
            if said == "no":
                return _answer(consent.declined(price))
            arguments = {**arguments, "max_buzz": price}  # no more than was agreed to
        async with _progress(context) as tell:
            return _answer(await self.desk.kept(self._bought(tool.name, arguments, tell)))

    # -- what only looks -----------------------------------------------------------------------
    async def _looked(self, name: str, arguments: dict[str, Any], tell: Tell) -> Result:
        if name != _GET:
            return await self.box.acall(name, arguments)
        found = await self.desk.unless(self.box.acall(name, arguments, tell=tell))
        return found or await self.box.acall(name, {**arguments, "wait_seconds": 0})

    # -- what buys -----------------------------------------------------------------------------
    async def _bought(self, name: str, arguments: dict[str, Any], tell: Tell) -> Result:
        """Run to the end; when the server ends first, come back with the id once it is known."""
        known: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def hear(event: Event) -> None:
            if isinstance(event, Submitted) and not known.done():
                known.set_result(event.workflow.id)
            tell(event)

        async def ending() -> str | None:
            await self.desk.stopping.wait()
            return await known

        work = asyncio.ensure_future(self.box.acall(name, arguments, tell=hear))
        end = asyncio.ensure_future(ending())
        await asyncio.wait([work, end], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            end.cancel()
            return work.result()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return await self.box.acall(_GET, {"id": end.result(), "wait_seconds": 0})


def _answer(result: Result) -> CallToolResult:
    """A tool's answer as content. Raises ToolError for an explained error."""
    data = told(result)
    text = Result(data, None).text
    if result.failed:
        raise ToolError(text)
    content: list[ContentBlock] = [TextContent(text=text)]
    content += [ImageContent(data=small.data, mime_type=small.mime) for small in result.thumbnails]
    if isinstance(result.artifact, Generation):
        content += shelf.links(result.artifact)
    return CallToolResult(content=content, structured_content=data)


@contextlib.asynccontextmanager
async def _progress(context: Context[Any, Any]) -> AsyncIterator[Tell]:
    """Hands every event on as progress, percent of 100 and in words; unheard if nobody asked."""
    events: asyncio.Queue[Event] = asyncio.Queue()

    async def hand_on() -> None:
        shown = 0.0
        while True:
            event = await events.get()
            percent = event.percent if isinstance(event, Progress) else None
            # A value must be above the one before, and only the answer itself is the end.
            shown = min(99.9, max(shown + 0.01, percent or 0.0))
            await context.report_progress(round(shown, 2), 100.0, _words(event))

    task = asyncio.ensure_future(hand_on())
    try:
        yield events.put_nowait
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _words(event: Event) -> str:
    if isinstance(event, Submitting):
        return "submitting"
    if isinstance(event, Submitted):
        return f"submitted as {event.workflow.id}"
    if isinstance(event, Picture):
        return f"saved {event.path}"
    return str(event)
