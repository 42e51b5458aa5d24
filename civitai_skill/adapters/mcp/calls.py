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
from civitai_skill.delivery import Generation, Picture, looked_at
from civitai_skill.desk import Desk, ending
from civitai_skill.errors import CivitaiError, TransportFailed
from civitai_skill.events import Event, Resumed, Submitted, Submitting, Tell
from civitai_skill.tools import consent
from civitai_skill.tools.answers import Result, failure, running
from civitai_skill.tools.toolbox import Toolbox, find
from civitai_skill.workflow import Progress, Workflow

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
            return _answer(self._failure(error))
        if not tool.spends:
            async with _progress(context) as tell:
                return _answer(await self._looked(tool.name, arguments, tell))
        try:
            agreed = await self.desk.unless(self._agreed(tool.name, arguments, context))
        except CivitaiError as error:
            return _answer(self._failure(error))
        if isinstance(agreed, InputRequiredResult):
            return agreed
        if isinstance(agreed, Result):
            return _answer(agreed)
        try:
            async with _progress(context) as tell:
                # Nobody came to agree because the server ends: then the desk takes nothing on.
                bought = self._bought(tool.name, agreed or arguments, tell)
                return _answer(await self.desk.kept(bought))
        except TransportFailed as error:
            return _answer(self._failure(error))

    def _failure(self, error: CivitaiError) -> Result:
        return failure(error, self.box.fixed.max_buzz)

    # -- what only looks -----------------------------------------------------------------------
    async def _looked(self, name: str, arguments: dict[str, Any], tell: Tell) -> Result:
        if name != _GET:
            return await self.box.acall(name, arguments)
        try:
            return await self.desk.looked(
                self.box.acall(name, arguments, tell=tell),
                lambda: self.box.acall(name, {**arguments, "wait_seconds": 0}),
            )
        except CivitaiError as error:
            return self._failure(error)

    # -- what buys -----------------------------------------------------------------------------
    async def _agreed(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> dict[str, Any] | Result | InputRequiredResult:
        """The arguments to go on with: nobody pays more than the user agreed to."""
        price, said = self._agreements.before(context) or (None, None)
        if price is None and asking.can_ask(context):
            price = await consent.to_agree(
                self.box, self.desk.client, name, arguments, self._ask_above
            )
            if price is not None:
                answer = await asking.ask(context, price)
                if isinstance(answer, InputRequiredResult):
                    return answer
                said = answer
        if price is None:
            return arguments
        return consent.declined(price) if said == "no" else {**arguments, "max_buzz": price}

    async def _bought(self, name: str, arguments: dict[str, Any], tell: Tell) -> Result:
        """Run to the end. When the server ends first, come back with what is known by then."""
        way = _Way(tell)
        work = asyncio.ensure_future(self.box.acall(name, arguments, tell=way.hear))
        end = asyncio.ensure_future(way.ended(self.desk.stopping))
        try:
            await asyncio.wait([work, end], return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else end.result() or self._failure(ending())
        finally:
            for task in (work, end):
                task.cancel()
            await asyncio.gather(work, end, return_exceptions=True)


class _Way:
    """How far a purchase has come, by what it tells."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._sending = False
        self._handle: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def hear(self, event: Event) -> None:
        if isinstance(event, Submitting):
            self._sending = True
        elif isinstance(event, Submitted):
            self._found(running(looked_at(event.workflow)))
        elif isinstance(event, Resumed) and event.run.workflow is not None:
            workflow = Workflow(event.run.workflow, "unknown")
            self._found(running(looked_at(workflow), already=True))
        self._tell(event)

    def _found(self, handle: Result) -> None:
        if not self._handle.done():
            self._handle.set_result(handle)

    async def ended(self, stopping: asyncio.Event) -> Result | None:
        """Once the server is to end: the handle of what was bought, as soon as it is known; None
        where nothing was sent yet."""
        await stopping.wait()
        return await self._handle if self._sending or self._handle.done() else None


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
