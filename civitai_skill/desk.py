"""What a server stands on: one client, one purse, and purchases that outlive their callers.

A caller may go away in the middle of anything. What only looks is dropped then; what buys goes on
to its end, because it may be paid for already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from civitai_skill.client import AsyncCivitai
from civitai_skill.config import Settings
from civitai_skill.errors import CivitaiError, TransportFailed
from civitai_skill.purse import Purse

T = TypeVar("T")

#: Seconds that the end of a server may take: for purchases that are being made right then.
GRACE = 30.0

#: Seconds that a last look at a workflow may take when the server is about to end.
_LAST_LOOK = 5.0


def ending() -> TransportFailed:
    """The answer to who comes when the server is about to end."""
    return TransportFailed(
        "The server is about to end, and takes nothing more on.", hint="Call again when it is back."
    )


class Desk:
    """The client that a server works with, and the work that is under way.

    `budget` is the most that it may spend in its life (Buzz; None for no end of its own).
    """

    def __init__(self, client: AsyncCivitai, budget: int | None = None) -> None:
        self.client = client
        self.purse = Purse(client.settings.ledger, budget)
        client.ledger = self.purse
        #: Set when the server is to end: whoever waits comes back with what is known.
        self.stopping = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()

    @classmethod
    def opened(cls, settings: Settings, budget: int | None = None) -> Desk:
        """A desk with a client of its own. Raises ConfigError."""
        return cls(AsyncCivitai(settings=settings, ledger=False), budget)

    async def kept(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end, even if whoever waits for it goes away.

        Raises TransportFailed instead where the server is about to end.
        """
        if self.stopping.is_set():
            work.close()
            raise ending()
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    @property
    def under_way(self) -> int:
        """How many purchases are being made or waited for."""
        return len(self._work)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        # Asked for, so that an error nobody waits for any more is not reported as lost: what was
        # bought stands in the ledger.
        if not task.cancelled() and not isinstance(task.exception(), CivitaiError | None):
            task.get_loop().call_exception_handler(
                {"message": "A purchase broke off", "exception": task.exception()}
            )

    async def unless(self, work: Coroutine[Any, Any, T], *ends: asyncio.Event) -> T | None:
        """The outcome of something that may be dropped; None when an end comes first, the server's
        own or one of `ends`."""
        task = asyncio.ensure_future(work)
        signals = [asyncio.ensure_future(end.wait()) for end in (self.stopping, *ends)]
        try:
            await asyncio.wait([task, *signals], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for waiting in (task, *signals):
                waiting.cancel()
            await asyncio.gather(task, *signals, return_exceptions=True)

    async def looked(
        self,
        work: Coroutine[Any, Any, T],
        last: Callable[[], Coroutine[Any, Any, T]],
        *ends: asyncio.Event,
    ) -> T:
        """The outcome of a look that waits, or of the `last` one, which does not, when an end comes
        first. Raises TransportFailed where even that takes long."""
        found = await self.unless(work, *ends)
        if found is not None:
            return found
        try:
            async with asyncio.timeout(_LAST_LOOK):
                return await last()
        except TimeoutError:
            raise ending() from None

    async def close(self, grace: float = GRACE) -> None:
        """End: let purchases come to their end for `grace` seconds, then close the client."""
        self.stopping.set()
        if self._work:
            _, late = await asyncio.wait(set(self._work), timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.client.close()
