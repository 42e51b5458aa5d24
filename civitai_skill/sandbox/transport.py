"""The sandbox as an httpx transport, for clients in the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx

from civitai_skill.sandbox.service import Dropped, Sandbox
from civitai_skill.sandbox.work import Step, Work


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
        """Answer a request; a dropped connection and a read timeout raise as httpx would."""
        request.read()
        steps = _Steps(self.sandbox, request)
        for step in steps:
            if isinstance(step, Work):
                step.run()
            else:
                self._sleep(step)
        return steps.response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, without blocking."""
        await request.aread()
        steps = _Steps(self.sandbox, request)
        for step in steps:
            if isinstance(step, Work):
                await asyncio.to_thread(step.run)
            else:
                await self._async_sleep(step)
        return steps.response


class _Steps:
    """What is to be done before a response is there; ends as httpx would when it never comes."""

    def __init__(self, sandbox: Sandbox, request: httpx.Request) -> None:
        self._answer = sandbox.handle(request)
        self._request = request
        self._left: float | None = request.extensions.get("timeout", {}).get("read")
        self.response: httpx.Response

    def __iter__(self) -> Iterator[Step]:
        try:
            while True:
                step = next(self._answer)
                if self._left is not None and not isinstance(step, Work):
                    if step > self._left:
                        yield self._left
                        raise httpx.ReadTimeout("the sandbox took too long", request=self._request)
                    self._left -= step
                yield step
        except StopIteration as done:
            self.response = done.value
        except Dropped as dropped:
            if dropped.refused:
                text = "connection refused by the sandbox"
                raise httpx.ConnectError(text, request=self._request) from None
            text = "connection reset by the sandbox"
            raise httpx.ReadError(text, request=self._request) from None
