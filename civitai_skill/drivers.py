"""The two drivers: they run a flow's requests, pauses and work, and decide nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from civitai_skill.exchange import Flow, TooLarge, Work

T = TypeVar("T")


def drive(flow: Flow[T], http: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> T:
    """Run a flow to its end on this thread."""
    step: Any = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, httpx.Request):
                try:
                    response = _sent(http, step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(response)
            elif isinstance(step, Work):
                try:
                    value = step.run()
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
            else:
                sleep(step)
                step = flow.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        flow.close()


async def adrive(flow: Flow[T], http: httpx.AsyncClient) -> T:
    """Run a flow to its end in this task; work goes to a thread."""
    step: Any = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, httpx.Request):
                try:
                    response = await _asent(http, step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(response)
            elif isinstance(step, Work):
                try:
                    value = await anyio.to_thread.run_sync(step.run)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
            else:
                await anyio.sleep(step)
                step = flow.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        flow.close()


class _Body:
    """Collects a body within the bytes and seconds that the request allows."""

    def __init__(self, request: httpx.Request) -> None:
        self._limit: int = request.extensions.get("limit", 64 * 1024 * 1024)
        self._until = time.monotonic() + request.extensions.get("seconds", 300.0)
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit or time.monotonic() > self._until:
            raise TooLarge("the answer did not end")
        self._parts.append(chunk)

    def response(self, head: httpx.Response) -> httpx.Response:
        # The chunks are decoded already, so the coding is not told any more; the length is kept
        # because a reader compares it.
        headers = [(k, v) for k, v in head.headers.multi_items() if k.lower() != "content-encoding"]
        if len(headers) < len(head.headers.multi_items()):
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
        whole = httpx.Response(head.status_code, content=b"".join(self._parts))
        whole.headers = httpx.Headers(headers)
        whole.request = head.request
        return whole


def _garbled(error: httpx.DecodingError) -> httpx.TransportError:
    """A body that does not unpack is one that did not come; httpx keeps the two apart."""
    return httpx.RemoteProtocolError(str(error), request=error.request)


def _sent(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    body = _Body(request)
    head = http.send(request, stream=True, follow_redirects=False)
    try:
        for chunk in head.iter_bytes():
            body.add(chunk)
    except httpx.DecodingError as error:
        raise _garbled(error) from None
    finally:
        head.close()
    return body.response(head)


async def _asent(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    body = _Body(request)
    head = await http.send(request, stream=True, follow_redirects=False)
    try:
        async for chunk in head.aiter_bytes():
            body.add(chunk)
    except httpx.DecodingError as error:
        raise _garbled(error) from None
    finally:
        await head.aclose()
    return body.response(head)
