"""Can the server work? Asked of the service seldom, however often it is asked here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from civitai_skill.client import AsyncCivitai
from civitai_skill.flows import Health

#: Seconds for which an outcome counts: those who ask need no token, and each look is two requests.
KEPT = 5.0


class Readiness:
    """The health of the way to the service, looked at by one caller at a time."""

    def __init__(self, client: AsyncCivitai, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._turn = asyncio.Lock()
        self._seen: tuple[float, Health] | None = None

    async def health(self) -> Health:
        """The outcome, at most so old. Raises nothing."""
        async with self._turn:
            if self._seen is None or self._clock() - self._seen[0] > KEPT:
                self._seen = (self._clock(), await self._client.health())
            return self._seen[1]
