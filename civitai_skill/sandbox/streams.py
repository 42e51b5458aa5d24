"""Bodies that go wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

from civitai_skill.sandbox.faults import OF_BYTES

_CHUNK = 64 * 1024
_PAGE = b"<!DOCTYPE html><html><body>Not a picture.</body></html>"


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The first part of a body, then nothing: the connection breaks."""

    def __init__(self, part: bytes) -> None:
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        yield self._part
        raise httpx.RemoteProtocolError("peer closed connection without sending complete body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that starts well and never ends."""

    def __init__(self, start: bytes) -> None:
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        yield self._start
        while True:
            yield b"\0" * _CHUNK

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def faulty(answer: httpx.Response, kind: str) -> httpx.Response:
    """The answer with its bytes cut, swapped or never ending, if that is the fault."""
    if answer.status_code != 200 or kind not in OF_BYTES:
        return answer
    data, headers = answer.content, dict(answer.headers)
    half = data[: max(1, len(data) // 2)]
    if kind == "truncated":
        return httpx.Response(200, headers=headers, stream=Broken(half))
    del headers["content-length"]
    if kind == "short":
        return httpx.Response(200, headers=headers, content=half)
    if kind == "wrong-type":
        return httpx.Response(200, headers={"Content-Type": "text/html"}, content=_PAGE)
    return httpx.Response(200, headers=headers, stream=Endless(data))
