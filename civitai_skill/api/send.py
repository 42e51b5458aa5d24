"""Send one request: its whole answer within the bytes and seconds that it allows."""

from __future__ import annotations

import logging
import math
import time
import zlib
from contextvars import ContextVar
from typing import Any

import anyio
import httpx

from civitai_skill.api.connections import overdue_at
from civitai_skill.api.failures import Closed, TooLarge

#: The extension of a request under which its clock stands, with `stop_clock` and `start_clock`.
CLOCK = "civitai_clock"

#: What the network code was seen to stumble over where an address is odd: a host that is no name,
#: a port that is no port. It means that the request did not come to its answer.
_TRANSPORT_ERRORS = (ValueError, OverflowError, OSError, ExceptionGroup, httpx.InvalidURL)


def send(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Raises httpx.TransportError; TooLarge where the answer does not end in time."""
    body = _Body(request)
    until = time.monotonic() + body.seconds
    quiet, late = _sending.set(request), overdue_at.set(until)
    try:
        head = http.send(request, stream=True, follow_redirects=False)
        try:
            body.begin(head)
            if head.is_stream_consumed:
                body.add(head.content)
            else:
                for chunk in head.iter_raw():
                    body.add(chunk)
        finally:
            head.close()
        return body.response(head)
    except httpx.TimeoutException:
        if time.monotonic() < until:
            raise
        raise TooLarge("the answer did not end") from None
    except _TRANSPORT_ERRORS as error:
        raise httpx.LocalProtocolError(type(error).__name__) from None
    except RuntimeError:
        if http.is_closed:
            raise Closed("the client was closed") from None
        raise
    finally:
        overdue_at.reset(late)
        _sending.reset(quiet)


async def asend(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """See `send`."""
    body = _Body(request)
    quiet = _sending.set(request)
    try:
        with anyio.fail_after(body.seconds) as body.scope:
            request.extensions[CLOCK] = body
            head = await http.send(request, stream=True, follow_redirects=False)
            try:
                body.begin(head)
                if head.is_stream_consumed:
                    body.add(head.content)
                else:
                    async for chunk in head.aiter_raw():
                        body.add(chunk)
            finally:
                await head.aclose()
        return body.response(head)
    except TimeoutError:
        raise TooLarge("the answer did not end") from None
    except _TRANSPORT_ERRORS as error:
        raise httpx.LocalProtocolError(type(error).__name__) from None
    except RuntimeError:
        if http.is_closed:
            raise Closed("the client was closed") from None
        raise
    finally:
        _sending.reset(quiet)


class _Body:
    """Collects a body within the bytes and seconds that the request allows."""

    def __init__(self, request: httpx.Request) -> None:
        self._limit: int = request.extensions.get("limit", 64 * 1024 * 1024)
        self.seconds: float = request.extensions.get("seconds", 300.0)
        self._until = time.monotonic() + self.seconds
        self.scope: anyio.CancelScope | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._unpack: Any = None

    def stop_clock(self) -> None:
        """Stop the clock: a request that waits for its turn is not late."""
        self._until = math.inf
        if self.scope is not None:
            self.scope.deadline = math.inf

    def start_clock(self) -> None:
        """Start it again: from now on the answer may take all its seconds."""
        self._until = time.monotonic() + self.seconds
        if self.scope is not None:
            self.scope.deadline = anyio.current_time() + self.seconds

    def begin(self, head: httpx.Response) -> None:
        """Find out how it is packed. Nothing was asked for but `identity`."""
        coding = head.headers.get("content-encoding", "identity").strip().lower()
        if head.is_stream_consumed:
            return  # made in this process: httpx has unpacked it
        if coding in ("gzip", "x-gzip", "deflate"):
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif coding not in ("", "identity"):
            raise httpx.RemoteProtocolError("the body is packed in a way that was not asked for")

    def add(self, chunk: bytes) -> None:
        """Take in some bytes, as they came."""
        if self._unpack is not None:
            # One byte above what is allowed is enough to know; a bomb unpacks no further.
            try:
                chunk = self._unpack.decompress(chunk, self._limit - self._size + 1)
            except zlib.error:
                raise httpx.RemoteProtocolError("the body does not unpack") from None
        self._size += len(chunk)
        if self._size > self._limit or time.monotonic() > self._until:
            raise TooLarge("the answer did not end")
        self._parts.append(chunk)

    def response(self, head: httpx.Response) -> httpx.Response:
        """The answer with its whole body."""
        if self._unpack is not None and not self._unpack.eof:
            raise httpx.RemoteProtocolError("the body does not unpack to its end")
        headers = head.headers.multi_items()
        if "content-encoding" in head.headers:
            # It is unpacked now; elsewhere the length is kept because a reader compares it.
            packed = ("content-encoding", "content-length")
            headers = [(k, v) for k, v in headers if k.lower() not in packed]
        whole = httpx.Response(head.status_code, content=b"".join(self._parts))
        whole.headers = httpx.Headers(headers)
        whole.request = head.request
        return whole


# -- what httpx writes to the log ----------------------------------------------------------
_sending: ContextVar[httpx.Request | None] = ContextVar("sending", default=None)


def _hide_addresses(record: logging.LogRecord) -> bool:
    """Leave signed addresses out of the records about our own requests.

    Whoever has such an address has the picture, so a program that logs at INFO must not keep it.
    """
    request = _sending.get()
    if request is None:
        return True
    if record.name != "httpx":
        return False  # the connection's own records hold the headers, and a redirect's address
    if isinstance(record.args, tuple):
        path = request.url.path if "authorization" in request.headers else "/..."
        shown = f"{request.url.scheme}://{request.url.host}{path}"
        record.args = tuple(shown if isinstance(a, httpx.URL) else a for a in record.args)
    return True


for _name in ("httpx", "httpcore.http11", "httpcore.proxy", "httpcore.connection"):
    logging.getLogger(_name).addFilter(_hide_addresses)
