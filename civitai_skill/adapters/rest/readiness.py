"""Whether the service answers and takes the key, looked at now and then.

Anybody may ask, without a token and as often as they like, so the outcome is kept for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from civitai_skill.client import AsyncCivitai, Health

#: Seconds that an outcome is kept.
CACHE_SECONDS = 5.0


class Readiness:
    """The last outcome, at most `CACHE_SECONDS` seconds old; one look at a time."""

    def __init__(self, client: AsyncCivitai, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._looking = asyncio.Lock()
        self._found: tuple[float, Health] | None = None

    async def check(self) -> Health:
        """The outcome of a look that is not old."""
        async with self._looking:
            if self._found is None or self._clock() - self._found[0] >= CACHE_SECONDS:
                health = await self._client.health()
                self._found = self._clock(), health
            return self._found[1]
