"""What a server stands on: one client, one budget, and purchases that outlive their callers.

A caller may go away in the middle of anything. What only looks is dropped then; what buys goes on
to its end, because it may be paid for already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from civitai_skill.api.models import Workflow
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import (
    KEPT,
    CivitaiError,
    ConfigError,
    RequestInvalid,
    Stopping,
    TransportFailed,
)
from civitai_skill.errors.next_steps import Look, Resume
from civitai_skill.images.save import prepare_folder
from civitai_skill.ledger.ledger import UNREAD
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.purchase.events import Event, Resumed, Submitted, Submitting, Tell, ignore_event

T = TypeVar("T")

#: Seconds that the end of a server may take, for purchases that are being made right then: less
#: than the 10 after which containers are commonly killed.
GRACE = 8.0
#: How long the same request gets an answer that its caller may not have read.
UNREAD_MINUTES = round(UNREAD / 60)
#: Seconds that writing an answer takes at most.
_WRITING = 0.1
_ENDED: dict[str, Any] = {
    "message": "This server ended before the service had answered.",
    "advice": "Ask again once the server runs again.",
}
#: Purchases of which it is known whose answer they were.
_REMEMBERED = 10_000


@dataclass(eq=False)
class Caller:
    """Somebody who may leave while a purchase is made for them; follows its events."""

    session: ServerSession
    tell: Tell = ignore_event
    #: Set when whoever asked has left.
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    #: The purchase, from when it is written down, or was found, until its answer is given.
    key: str | None = None
    #: May it have been sent, perhaps by an earlier process?
    sending: bool = False
    #: Was it bought before?
    already: bool = False
    workflow: Workflow | None = None
    #: Set when the workflow is known.
    known: asyncio.Event = field(default_factory=asyncio.Event)
    #: Has the work come to its end?
    ended: bool = False

    def __call__(self, event: Event) -> None:
        """Follow an event. Raises where something new is about to be sent for nobody, or by a
        server that ends."""
        if isinstance(event, Submitting):
            if self.session.stopping.is_set() and not self.already:
                raise Stopping
            if self.gone.is_set() and not self.already:
                raise TransportFailed("Whoever asked for it has gone; nothing was sent.")
            self.key, self.sending = event.key, True
        elif isinstance(event, Submitted):
            self.workflow = event.workflow
        elif isinstance(event, Resumed):
            self.key, self.already, self.sending = event.run.key, True, True
            if event.run.workflow is not None:
                self.workflow = Workflow(event.run.workflow, "unknown")
        if self.workflow is not None:
            self.known.set()
        self.tell(event)

    def stopped_error(self) -> CivitaiError:
        """The error where the server's end comes before the purchase's."""
        if not self.sending:
            return Stopping()
        return TransportFailed(**_ENDED, spent="unknown", next=(Resume(),))


def choose_folder(state: Path, *, here: bool = True) -> Path:
    """The first folder for pictures that can be written to: in the current one (where `here`
    counts), under the user's pictures, or in `state`. A client may start a server anywhere, as in
    /."""
    local = Path("pictures").absolute()
    for folder in (*[local] * here, Path("~/Pictures/civitai-skill"), state / "pictures"):
        with contextlib.suppress(RequestInvalid, RuntimeError):  # without a home there is no ~
            found = folder.expanduser()
            fresh = not found.exists()
            prepare_folder(found)
            if fresh:
                found.rmdir()  # it is made with the first picture
            return found
    return local  # each call says what is wrong with it


class ServerSession:
    """The client that a server works with, and the work that is under way.

    `budget` is the most that it may spend in its life (Buzz; None for no end of its own). `grace`
    are the seconds that its end may take.
    """

    def __init__(
        self, client: AsyncCivitai, budget: int | None = None, grace: float = GRACE
    ) -> None:
        self.client = client
        self.grace = grace
        self.ledger = SessionLedger(client.settings.ledger, budget)
        client.ledger = self.ledger
        client.confirms = False
        #: Set when the server is to end: whoever waits comes back with what is known.
        self.stopping = asyncio.Event()
        self.ledger.over = self.stopping.is_set
        self._over = asyncio.Event()  # and the grace has passed
        self._work: set[asyncio.Task[Any]] = set()
        #: Whose answers are being written, and the purchases that were handed over, by workflow.
        self._answering: set[Caller] = set()
        self._handed: dict[str, str] = {}

    async def run_to_end(self, work: Coroutine[Any, Any, T], caller: Caller | None = None) -> T:
        """Run something to its end, even if whoever waits for it goes away; with a `caller` it is a
        purchase. Raises CivitaiError where the server's end comes first."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(partial(self._end_task, caller))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait([task, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        raise TransportFailed(**_ENDED) if caller is None else caller.stopped_error()

    def _end_task(self, caller: Caller | None, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if caller is not None:
            caller.ended = True
            if caller.gone.is_set():
                self._keep(self.end_answer(caller, False))
        # Asked for, so that an error nobody waits for any more is not reported as lost: what was
        # bought stands in the ledger.
        if not task.cancelled() and not isinstance(task.exception(), CivitaiError | None):
            task.get_loop().call_exception_handler(
                {"message": "A purchase broke off", "exception": task.exception()}
            )

    async def run_until_stopped(
        self, work: Coroutine[Any, Any, T], *ends: asyncio.Event
    ) -> T | None:
        """The outcome of something that may be dropped; None when an end comes first."""
        task = asyncio.ensure_future(work)
        signals = [asyncio.ensure_future(end.wait()) for end in (self.stopping, *ends)]
        try:
            await asyncio.wait([task, *signals], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for waiting in (task, *signals):
                waiting.cancel()
            await asyncio.gather(task, *signals, return_exceptions=True)

    # -- answers -------------------------------------------------------------------------------
    async def leave(self, caller: Caller) -> None:
        """Whoever asked has left: the same request may go on with what is being made for them."""
        caller.gone.set()
        if caller.sending and caller.key is not None and not caller.ended:
            with contextlib.suppress(ConfigError):
                await asyncio.to_thread(self.ledger.let_go, caller.key)

    async def end_answer(self, caller: Caller, delivered: bool) -> None:
        """The answer was written to its caller, or there was nobody to write it to: then the same
        request goes on with the purchase."""
        if not delivered:
            caller.gone.set()
        if caller.key is None or not caller.ended:
            return  # there is nothing to end, or it is ended where the work is
        key, caller.key = caller.key, None
        delivered = not caller.gone.is_set()
        empty = caller.workflow is not None and caller.workflow.fruitless
        if delivered and caller.workflow is not None and caller.workflow.id is not None:
            self._handed[caller.workflow.id] = key
            while len(self._handed) > _REMEMBERED:
                del self._handed[next(iter(self._handed))]
        with contextlib.suppress(ConfigError):  # it stays open
            end = partial(self.ledger.end_answer, key, delivered=delivered, empty=empty)
            await asyncio.to_thread(end)

    def answer_soon(self, caller: Caller) -> None:
        """Take an answer for written after a moment, where the transport does not tell."""
        self._answering.add(caller)
        asyncio.get_running_loop().call_later(_WRITING, self._answered, caller)

    def _answered(self, caller: Caller) -> None:
        self._answering.discard(caller)
        self._keep(self.end_answer(caller, True))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for but the end."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def mark_read(self, *texts: Any) -> None:
        """A caller names workflows, and so has read the answers that told their ids."""
        keys = [key for id, key in self._handed.items()
                if any(isinstance(text, str) and id in text for text in texts)]  # fmt: skip
        if keys:
            self.ledger.mark_read(*keys)

    async def late_answer_error(self, workflow_id: str) -> TransportFailed:
        """The error for a look at a workflow that nobody waits for any longer."""
        paid = False
        with contextlib.suppress(ConfigError):
            paid = await asyncio.to_thread(self.ledger.is_paid, workflow_id)
        return TransportFailed(
            "The service did not answer in time.",
            advice=KEPT if paid else "",
            next=[Look(workflow_id)],
            spent="yes" if paid else "no",
            workflow_id=workflow_id,
        )

    def stop(self) -> None:
        """Begin the end: nothing new is bought, and whoever waits comes back."""
        if not self.stopping.is_set():
            self.stopping.set()
            asyncio.get_running_loop().call_later(self.grace, self._over.set)

    async def close(self) -> None:
        """End: let purchases come to their end within the grace, then close the client."""
        self.stop()
        while self._work and not self._over.is_set():
            over = asyncio.ensure_future(self._over.wait())
            await asyncio.wait([*self._work, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
        for task in (late := set(self._work)):
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for caller in tuple(self._answering):
            await self.end_answer(caller, True)
        await self.client.close()
