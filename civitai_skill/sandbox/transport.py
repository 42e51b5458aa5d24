"""The sandbox as an httpx transport, for clients in the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from civitai_skill.sandbox.service import Dropped, Sandbox


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Drives a sandbox, sync and async.

    `sleep` and `async_sleep` take the seconds to wait; a test passes one that moves its clock.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        sleep: Callable[[float], None] = time.sleep,
        async_sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.sandbox = sandbox
        self._sleep = sleep
        self._async_sleep = async_sleep or (
            asyncio.sleep if sleep is time.sleep else self._sleep_at_once
        )

    async def _sleep_at_once(self, seconds: float) -> None:
        self._sleep(seconds)
        await asyncio.sleep(0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; a dropped connection raises as httpx would."""
        request.read()
        answer = self.sandbox.handle(request)
        try:
            while True:
                self._sleep(next(answer))
        except StopIteration as done:
            response: httpx.Response = done.value
            return response
        except Dropped as dropped:
            raise _error(dropped, request) from None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, without blocking."""
        await request.aread()
        answer = self.sandbox.handle(request)
        try:
            while True:
                await self._async_sleep(next(answer))
        except StopIteration as done:
            response: httpx.Response = done.value
            return response
        except Dropped as dropped:
            raise _error(dropped, request) from None


def _error(dropped: Dropped, request: httpx.Request) -> httpx.TransportError:
    if dropped.refused:
        return httpx.ConnectError("connection refused by the sandbox", request=request)
    return httpx.ReadError("connection reset by the sandbox", request=request)
