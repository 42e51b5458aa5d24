"""How many requests go out at once: more while answers come well, fewer under pressure.

Additive increase, multiplicative decrease: each round of good answers allows one more; a 429, a
failure of the service or an answer far slower than usual halves what is allowed.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from civitai_skill.api.parse import retry_after
from civitai_skill.api.send import SCOPE

#: Requests at once at most, when nothing else is said.
CONCURRENCY = 16

#: Requests at once in the beginning.
FIRST = 4

#: An answer is slow when it takes so many times the usual, and at least so many seconds.
SLOW_TIMES = 4.0
SLOW_SECONDS = 3.0

#: Seconds between two cuts, and the longest that a Retry-After holds everyone back.
_APART = 1.0
_LONGEST_PAUSE = 60.0


@dataclass
class AdaptiveLimiter:
    """Limit requests in flight: more after good answers, half under pressure, at most `most`."""

    most: int
    clock: Callable[[], float] = time.monotonic
    allowed: float = FIRST
    active: int = 0
    cuts: int = 0
    _usual: dict[object, float] = field(default_factory=dict)
    _cut_at: float = -math.inf
    _paused_until: float = -math.inf
    _free: anyio.Condition = field(default_factory=anyio.Condition)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until one more request may go out."""
        async with self._free:
            while self.active >= int(min(self.most, self.allowed)):
                await self._free.wait()
            self.active += 1
        try:
            while (rest := self._paused_until - self.clock()) > 0:
                await anyio.sleep(rest)
            yield
        finally:
            self.active -= 1
            with anyio.CancelScope(shield=True):
                async with self._free:
                    self._free.notify_all()

    def record_response(self, kind: object, response: httpx.Response, seconds: float) -> None:
        """Learn from an answer; requests of one kind are compared with each other only."""
        if response.status_code in (408, 429) or response.status_code >= 500:
            asked = retry_after(response)
            if asked is not None:
                until = self.clock() + min(asked, _LONGEST_PAUSE)
                self._paused_until = max(self._paused_until, until)
            self.back_off()
            return
        usual = self._usual.get(kind, seconds)
        self._usual[kind] = min(seconds, usual * 1.05)
        if seconds > max(SLOW_SECONDS, SLOW_TIMES * usual):
            self.back_off()
        else:
            self.allowed = min(self.most, self.allowed + 1 / self.allowed)

    def back_off(self) -> None:
        """Halve what is allowed, once for all the requests that hit the same wall."""
        now = self.clock()
        if now - self._cut_at >= _APART:
            self._cut_at = now
            self.cuts += 1
            self.allowed = max(1.0, self.allowed / 2)


class ThrottledClient(httpx.AsyncClient):
    """An HTTP client whose requests wait for a free slot, but for long-polls, slow by design."""

    def __init__(self, limiter: AdaptiveLimiter, **settings: Any) -> None:
        super().__init__(**settings)
        self.limiter = limiter

    async def send(self, request: httpx.Request, **given: Any) -> httpx.Response:
        if request.method == "GET" and request.url.params.get("wait", "0") != "0":
            return await super().send(request, **given)
        scope = request.extensions.get(SCOPE)
        if scope is not None:
            scope.deadline = math.inf  # a request that waits for its turn is not late
        async with self.limiter.slot():
            if scope is not None:  # from now on the answer may take all its seconds
                scope.deadline = anyio.current_time() + request.extensions["seconds"]
            began = time.monotonic()
            try:
                response = await super().send(request, **given)
            except httpx.TransportError:
                self.limiter.back_off()
                raise
            # Requests of one kind: the same method, depth of path, and whether it is a price.
            kind = (request.method, request.url.path.count("/"), "whatif" in request.url.params)
            self.limiter.record_response(kind, response, time.monotonic() - began)
            return response
