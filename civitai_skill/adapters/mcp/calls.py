"""Running a tool call: progress on the way, a purchase that outlives its caller, the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent

from civitai_skill.adapters.mcp import resources
from civitai_skill.adapters.mcp.consent import Consent, can_ask
from civitai_skill.adapters.mcp.schema import spell_result
from civitai_skill.client import Event, Generation, Tell, summarize_unsaved
from civitai_skill.errors import CivitaiError, Stopping, TransportFailed
from civitai_skill.servers.session import Caller, ServerSession
from civitai_skill.tools.answers import LOOK, Result, event_data, failure_result, running_result
from civitai_skill.tools.toolbox import Toolbox, find_tool

#: Seconds that an answer may take at the least, and beyond what its caller waits: with the default
#: wait it comes before the SDKs' own time-out of 60 s, and a picture has time to come home.
_AT_LEAST, _BEYOND = 50.0, 10.0

#: The version of the protocol that brought links; older clients drop the whole answer for one.
_KNOWS_LINKS = "2025-06-18"
_CANCEL = "civitai_cancel_image"
#: Seconds for a last look when the server ends.
_LAST_LOOK = 2.0
#: Seconds in which a purchase that is just being written down comes to be sent.
_SENDING = 0.5


class ToolRunner:
    """Run the tools of a toolbox in a server session; ask the user above `ask_above` Buzz.

    With `links`, pictures are linked to as well, where the protocol's version knows that.
    """

    def __init__(self, session: ServerSession, box: Toolbox, ask_above: int, links: bool) -> None:
        self.server_session = session
        self.box = box
        self._links = links
        self._consent = Consent(box, ask_above)
        self._active = 0

    async def call(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool by the registry's name. Raises ToolError with an explained error."""
        self._active += 1
        fixed = self.box.fixed
        try:
            tool = self.box.by_name.get(name) or find_tool(name, self.box.tools)
            images = arguments.get("images")
            named = images if isinstance(images, list) else [images]
            self.server_session.mark_read(arguments.get("id"), *named)
            if images:
                arguments = await resources.open_sources(self.server_session, arguments, fixed.out)
            given = self.box.read(tool.name, arguments)
            # Seconds after which a call comes back with what is known.
            waits = getattr(given, "wait_seconds", fixed.wait) + _BEYOND
            timeout = max(min(_AT_LEAST, fixed.wait + _BEYOND), waits)
            run = self._buy if tool.spends else self._look
            async with _report_progress(context) as tell:
                result = await run(tool.name, given, timeout, context, tell)
        except CivitaiError as error:
            failure = failure_result(error, fixed.max_buzz, fixed.tools)
            result = self.box.keep(failure, arguments.get("folder"))
        finally:
            self._active -= 1
        if isinstance(result, InputRequiredResult):
            return result
        data = spell_result(result)
        text = json.dumps(data, ensure_ascii=False)
        if result.failed:
            raise ToolError(text)
        content: list[ContentBlock] = [TextContent(text=text)]
        content += [ImageContent(data=one.data, mime_type=one.mime) for one in result.thumbnails]
        links = self._links and (context.protocol_version or "") >= _KNOWS_LINKS
        if links and isinstance(result.artifact, Generation):
            content += resources.resource_links(result.artifact)
        return CallToolResult(content=content, structured_content=data)

    async def wait_for_answers(self, seconds: float) -> None:
        """Wait until every call has its answer, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._active:
                    await asyncio.sleep(0.02)

    # -- what only looks -----------------------------------------------------------------------
    async def _look(
        self, name: str, given: Any, timeout: float, context: Context[Any, Any], tell: Tell
    ) -> Result:
        if name == _CANCEL:
            return await self.server_session.run_to_end(self.box.acall(name, given))
        try:
            async with asyncio.timeout(timeout):
                found = await self.server_session.run_until_stopped(
                    self.box.acall(name, given, tell=tell)
                )
        except TimeoutError:
            if name != LOOK:
                raise TransportFailed("The service did not answer in time.") from None
            raise await self.server_session.late_answer_error(given.id) from None
        if found is None and name == LOOK:
            at_once = given.model_copy(update={"wait_seconds": 0})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_LOOK):
                    found = await self.box.acall(name, at_once)
        if found is None:
            raise Stopping
        return found

    # -- what buys -----------------------------------------------------------------------------
    async def _buy(
        self, name: str, given: Any, timeout: float, context: Context[Any, Any], tell: Tell
    ) -> Result | InputRequiredResult:
        if self.server_session.stopping.is_set():
            raise Stopping
        if can_ask(context):
            agreed = await self.server_session.run_until_stopped(
                self._consent.obtain(context, name, given)
            )
            if self.server_session.stopping.is_set():
                raise Stopping
            if isinstance(agreed, Result | InputRequiredResult):
                return agreed
            if agreed is not None:  # no more than was agreed to
                given = given.model_copy(update={"max_buzz": agreed})
        caller = Caller(self.server_session, tell)
        request = context.request_context.request
        if request is not None:
            request.scope["answered"].append(partial(self.server_session.end_answer, caller))
        try:
            made = self._make(name, given, timeout, caller)
            return await self.server_session.run_to_end(made, caller)
        except asyncio.CancelledError:
            caller.gone.set()
            raise
        finally:
            if request is None:
                self.server_session.answer_soon(caller)

    async def _make(self, name: str, given: Any, timeout: float, caller: Caller) -> Result:
        """Buy and wait; when the server ends first or it takes too long, come back with the id
        once it is known."""
        work = asyncio.ensure_future(self.box.acall(name, given, tell=caller))
        known = asyncio.ensure_future(caller.known.wait())
        end = asyncio.ensure_future(self.server_session.stopping.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait([work, end], timeout=timeout, return_when=first)
            await asyncio.wait([work, known, end], return_when=first)
            await asyncio.wait([work, known], timeout=_SENDING, return_when=first)
            if caller.sending:
                await asyncio.wait([work, known], return_when=first)
            if work.done():
                return _tell_replay(work.result()) if caller.already else work.result()
            if caller.workflow is None:
                raise Stopping
            known_by_now = running_result(
                summarize_unsaved(caller.workflow), already=caller.already
            )
            return self.box.keep(known_by_now, getattr(given, "folder", None))
        finally:
            for task in (work, known, end):
                task.cancel()
            await asyncio.gather(work, known, end, return_exceptions=True)


def _tell_replay(result: Result) -> Result:
    """An answer that bought nothing new says so, and how to buy another."""
    if result.failed or "message" in result.data:
        return result
    text = "The answer to the same request of before; nothing new was bought. Another: again=true."
    return replace(result, data={**result.data, "message": text})


@contextlib.asynccontextmanager
async def _report_progress(context: Context[Any, Any]) -> AsyncIterator[Tell]:
    """Report every event as progress, in percent and in words; unheard if nobody asked for it."""
    events: asyncio.Queue[Event] = asyncio.Queue()

    async def report() -> None:
        shown = 0.0
        while True:
            event = await events.get()
            told = event_data(event)
            # A value must be above the one before, and only the answer itself is the end.
            shown = min(99.9, max(shown + 0.01, told.get("percent") or 0.0))
            await context.report_progress(round(shown, 2), 100.0, told["message"])

    task = asyncio.ensure_future(report())
    try:
        yield events.put_nowait
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
