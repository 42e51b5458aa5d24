"""Running a tool call: progress on the way, a purchase that outlives its caller, the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent

from civitai_skill.adapters.mcp import asking, consent, resources
from civitai_skill.adapters.mcp.schema import result_to_json
from civitai_skill.api.models import Progress, Workflow
from civitai_skill.errors import CivitaiError, Stopping, TransportFailed
from civitai_skill.purchase.events import Event, Resumed, Submitted, Submitting, Tell
from civitai_skill.purchase.result import Generation, Picture, summarize_unsaved
from civitai_skill.servers.session import ServerSession, WaitingCaller
from civitai_skill.tools.answers import LOOK, Result, failure_result, keep_folder, running_result
from civitai_skill.tools.arguments import LONGEST_WAIT, WAIT
from civitai_skill.tools.toolbox import Toolbox, find_tool

T = TypeVar("T")

#: Seconds that an answer may take at the least, and beyond what its caller waits: with the default
#: wait it comes before the SDKs' own time-out of 60 s, and a picture has time to come home.
_AT_LEAST, _BEYOND = 50.0, 10.0

_CANCEL = "civitai_cancel_image"
#: Seconds for a last look when the server ends.
_LAST_LOOK = 2.0
#: Seconds in which a purchase that is just being written down comes to be sent.
_SENDING = 0.5


class ToolRunner:
    """Run the tools of a toolbox in a server session; ask the user above `ask_above` Buzz."""

    def __init__(self, session: ServerSession, box: Toolbox, ask_above: int) -> None:
        self.server_session = session
        self.box = box
        self._ask_above = ask_above
        self._agreements = asking.ConsentAnswers()
        self._active = 0

    async def call(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool by the registry's name. Raises ToolError with an explained error."""
        self._active += 1
        try:
            return await self._run_call(name, arguments, context)
        except CivitaiError as error:
            told = failure_result(error, self.box.fixed.max_buzz)
            return _build_call_result(keep_folder(told, arguments.get("folder")))
        finally:
            self._active -= 1

    async def wait_for_answers(self, seconds: float) -> None:
        """Wait until every call has its answer, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._active:
                    await asyncio.sleep(0.02)

    async def _run_call(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        tool = find_tool(name, self.box.tools)
        if not tool.spends:
            async with _report_progress(context) as tell:
                return _build_call_result(await self._run_read(tool.name, arguments, tell))
        if self.server_session.stopping.is_set():
            raise Stopping
        before = self._agreements.take_answer(context)
        price = None if before is None else before[0]
        answered = None if before is None else before[1]
        if before is None and asking.can_ask(context):
            agreement = await self._run_unless_stopping(
                consent.find_needed_consent(
                    self.box, self.server_session.client, tool.name, arguments, self._ask_above
                )
            )
            price = None if agreement is None else agreement.most
            if agreement is not None and agreement.ask:
                answer = await self._run_unless_stopping(asking.ask(context, agreement.most))
                if isinstance(answer, InputRequiredResult):
                    return answer
                answered = answer
        if price is not None:
            if answered == "no":
                return _build_call_result(consent.declined_result(price))
            arguments = {**arguments, "max_buzz": price}  # no more than was agreed to
        async with _report_progress(context) as tell:
            progress = _PurchaseProgress(tell, self.server_session.stopping)
            try:
                purchase = self._run_purchase(tool.name, arguments, progress)
                return _build_call_result(
                    await self.server_session.run_to_end(purchase, progress.customer.stopped_error)
                )
            except asyncio.CancelledError:
                progress.abandoned = True
                raise

    async def _run_unless_stopping(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of something that may be dropped. Raises Stopping when the end is first."""
        found = await self.server_session.run_until_stopped(work)
        if found is None and self.server_session.stopping.is_set():
            raise Stopping
        return found  # type: ignore[return-value]

    # -- what only looks -----------------------------------------------------------------------
    async def _run_read(self, name: str, arguments: dict[str, Any], tell: Tell) -> Result:
        if name == _CANCEL:
            return await self.server_session.run_to_end(self.box.acall(name, arguments))
        try:
            async with asyncio.timeout(_call_timeout(arguments)):
                found = await self.server_session.run_until_stopped(
                    self.box.acall(name, arguments, tell=tell)
                )
        except TimeoutError:
            if name != LOOK:
                raise TransportFailed("The service did not answer in time.") from None
            raise await self.server_session.late_answer_error(str(arguments.get("id"))) from None
        if found is None and name == LOOK:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_LOOK):
                    found = await self.box.acall(name, {**arguments, "wait_seconds": 0})
        if found is None:
            raise Stopping
        return found

    # -- what buys -----------------------------------------------------------------------------
    async def _run_purchase(
        self, name: str, arguments: dict[str, Any], progress: _PurchaseProgress
    ) -> Result:
        """Run to the end; when the server ends first or it takes too long, come back with the id
        once it is known."""
        work = asyncio.ensure_future(
            self.box.acall(name, arguments, tell=progress, told=progress.customer.fail_if_gone)
        )
        known = asyncio.ensure_future(progress.known.wait())
        end = asyncio.ensure_future(self.server_session.stopping.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait([work, end], timeout=_call_timeout(arguments), return_when=first)
            await asyncio.wait([work, known, end], return_when=first)
            await asyncio.wait([work, known], timeout=_SENDING, return_when=first)
            if progress.sending:
                await asyncio.wait([work, known], return_when=first)
            if work.done():
                if progress.abandoned:
                    await self.server_session.reopen(progress.workflow)
                return work.result()
            if progress.workflow is None:
                raise Stopping
            known_by_now = running_result(
                summarize_unsaved(progress.workflow), already=progress.already
            )
            return keep_folder(known_by_now, arguments.get("folder"))
        finally:
            for task in (work, known, end):
                task.cancel()
            await asyncio.gather(work, known, end, return_exceptions=True)


def _call_timeout(arguments: dict[str, Any]) -> float:
    """Seconds after which a call comes back with what is known."""
    wait = arguments.get("wait_seconds")
    if not isinstance(wait, int | float) or not 0 <= wait <= LONGEST_WAIT:
        wait = WAIT
    return max(_AT_LEAST, wait + _BEYOND)


class _PurchaseProgress:
    """What a call has told of its purchase, handed on to `tell`."""

    def __init__(self, tell: Tell, stopping: asyncio.Event) -> None:
        self._tell = tell
        #: Has whoever called given up?
        self.abandoned = False
        self.customer = WaitingCaller(stopping, lambda: not self.abandoned)
        #: Has it been sent, perhaps by an earlier process, so that it must be waited for?
        self.sending = False
        self.workflow: Workflow | None = None
        #: Was it bought before?
        self.already = False
        self.known = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Submitting):
            if not self.already:
                self.customer.refuse_if_gone(event)
            self.sending = self.customer.sending = True
        elif isinstance(event, Submitted):
            self._set_workflow(event.workflow)
        elif isinstance(event, Resumed):
            self.already = self.sending = self.customer.sending = True
            if event.run.workflow is not None:
                self._set_workflow(Workflow(event.run.workflow, "unknown"))
        self._tell(event)

    def _set_workflow(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.known.set()


def _build_call_result(result: Result) -> CallToolResult:
    """A tool's answer as content. Raises ToolError for an explained error."""
    data = result_to_json(result)
    text = Result(data, None).text
    if result.failed:
        raise ToolError(text)
    content: list[ContentBlock] = [TextContent(text=text)]
    content += [ImageContent(data=small.data, mime_type=small.mime) for small in result.thumbnails]
    if isinstance(result.artifact, Generation):
        content += resources.resource_links(result.artifact)
    return CallToolResult(content=content, structured_content=data)


@contextlib.asynccontextmanager
async def _report_progress(context: Context[Any, Any]) -> AsyncIterator[Tell]:
    """Hands every event on as progress, percent of 100 and in words; unheard if nobody asked."""
    events: asyncio.Queue[Event] = asyncio.Queue()

    async def hand_on() -> None:
        shown = 0.0
        while True:
            event = await events.get()
            percent = event.percent if isinstance(event, Progress) else None
            # A value must be above the one before, and only the answer itself is the end.
            shown = min(99.9, max(shown + 0.01, percent or 0.0))
            await context.report_progress(round(shown, 2), 100.0, _describe_event(event))

    task = asyncio.ensure_future(hand_on())
    try:
        yield events.put_nowait
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _describe_event(event: Event) -> str:
    if isinstance(event, Submitting):
        return "submitting"
    if isinstance(event, Submitted):
        return f"submitted as {event.workflow.id}"
    if isinstance(event, Picture):
        return f"saved {event.path}"
    return str(event)
