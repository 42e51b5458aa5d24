"""Send one request: its whole answer within the bytes and seconds that it allows."""

from __future__ import annotations

import logging
import time
import zlib
from contextvars import ContextVar

import anyio
import httpx
from socksio.exceptions import SOCKSError

from civitai_skill.api.connections import overdue_at
from civitai_skill.api.failures import Closed, TooLarge

#: The extension of an asynchronous request under which its anyio.CancelScope stands. Who lets it
#: wait for its turn puts the scope's deadline off meanwhile: it is not late.
SCOPE = "civitai_scope"

#: What the network code was seen to stumble over where an address is odd: a host that is no name,
#: a port that is no port. It means that the request did not come to its answer.
_TRANSPORT_ERRORS = (ValueError, OverflowError, OSError, ExceptionGroup, httpx.InvalidURL)


def send(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Raises httpx.TransportError; TooLarge where the answer does not end in time."""
    limit, body = request.extensions["limit"], bytearray()
    until = time.monotonic() + request.extensions["seconds"]
    quiet, late = _sending.set(request), overdue_at.set(until)
    try:
        head = http.send(request, stream=True, follow_redirects=False)
        try:
            if head.is_stream_consumed:
                return _whole(head, head.content, limit)
            for chunk in head.iter_raw():
                body += chunk
                if len(body) > limit or time.monotonic() > until:
                    raise TooLarge("the answer did not end")
            return _whole(head, bytes(body), limit, is_raw=True)
        finally:
            head.close()
    except httpx.TimeoutException:
        if time.monotonic() < until:
            raise
        raise TooLarge("the answer did not end") from None
    except SOCKSError:  # httpcore lets it through
        raise httpx.ProxyError("it does not answer as a SOCKS5 proxy does") from None
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
    limit, body = request.extensions["limit"], bytearray()
    quiet = _sending.set(request)
    try:
        with anyio.fail_after(request.extensions["seconds"]) as scope:
            request.extensions[SCOPE] = scope
            head = await http.send(request, stream=True, follow_redirects=False)
            try:
                if head.is_stream_consumed:
                    return _whole(head, head.content, limit)
                async for chunk in head.aiter_raw():
                    body += chunk
                    if len(body) > limit or anyio.current_time() > scope.deadline:
                        raise TooLarge("the answer did not end")
                return _whole(head, bytes(body), limit, is_raw=True)
            finally:
                await head.aclose()
    except TimeoutError:
        raise TooLarge("the answer did not end") from None
    except SOCKSError:  # httpcore lets it through
        raise httpx.ProxyError("it does not answer as a SOCKS5 proxy does") from None
    except _TRANSPORT_ERRORS as error:
        raise httpx.LocalProtocolError(type(error).__name__) from None
    except RuntimeError:
        if http.is_closed:
            raise Closed("the client was closed") from None
        raise
    finally:
        _sending.reset(quiet)


def _whole(
    head: httpx.Response, body: bytes, limit: int, *, is_raw: bool = False
) -> httpx.Response:
    """The answer with its whole body. One that `is_raw` may be packed, though nothing was asked for
    but `identity`; one that was made in this process httpx has unpacked."""
    coding = head.headers.get("content-encoding", "").strip().lower() if is_raw else ""
    if coding in ("gzip", "x-gzip", "deflate"):
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            # One byte above what is allowed is enough to know; a bomb unpacks no further.
            body = unpacking.decompress(body, limit + 1)
        except zlib.error:
            raise httpx.RemoteProtocolError("the body does not unpack") from None
        if not unpacking.eof and len(body) <= limit:
            raise httpx.RemoteProtocolError("the body does not unpack to its end")
    elif coding not in ("", "identity"):
        raise httpx.RemoteProtocolError("the body is packed in a way that was not asked for")
    if len(body) > limit:
        raise TooLarge("the answer did not end")
    # It is unpacked now; elsewhere the length is kept because a reader compares it.
    gone = ("content-encoding", "content-length") if "content-encoding" in head.headers else ()
    whole = httpx.Response(head.status_code, content=body)
    whole.headers = httpx.Headers(
        [(name, value) for name, value in head.headers.multi_items() if name.lower() not in gone]
    )
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
