"""The sandbox as an httpx transport, for clients in the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import httpx

from civitai_skill.sandbox.service import Dropped, Sandbox
from civitai_skill.sandbox.wire import Outcome


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Drives a sandbox, sync and async.

    `sleep` takes the seconds to wait; a test passes one that moves its clock.
    """

    def __init__(self, sandbox: Sandbox, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.sandbox, self._sleep = sandbox, sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; a dropped connection and a read timeout raise as httpx would."""
        request.read()
        for step in self._steps(request):
            if not isinstance(step, int | float):
                return step() if callable(step) else step
            self._sleep(step)
        raise AssertionError

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, without blocking."""
        await request.aread()
        for step in self._steps(request):
            if not isinstance(step, int | float):
                return await asyncio.to_thread(step) if callable(step) else step
            if self._sleep is not time.sleep:
                self._sleep(step)
            await asyncio.sleep(step if self._sleep is time.sleep else 0)
        raise AssertionError

    def _steps(self, request: httpx.Request) -> Iterator[float | Outcome]:
        """The sandbox's steps; ends as httpx would when the answer never comes."""
        left = request.extensions.get("timeout", {}).get("read")
        try:
            for step in self.sandbox.handle(request):
                if left is not None and isinstance(step, int | float):
                    if step > left:
                        yield left
                        raise httpx.ReadTimeout("the sandbox took too long", request=request)
                    left -= step
                yield step
        except Dropped as dropped:
            kind = httpx.ConnectError if dropped.refused else httpx.ReadError
            raise kind(f"connection {dropped} by the sandbox", request=request) from None
