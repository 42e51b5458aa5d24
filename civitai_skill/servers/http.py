"""What both servers share of HTTP: how much a request may bring, how slowly, and how it ends.

Who may call is decided by the access policy; serve.py serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.servers.access import AccessPolicy

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Bytes of a request's body, with room for a few source pictures as data URLs.
MOST_BODY = 16 * 1024 * 1024
#: Values in a body's JSON: a million small ones take a hundred times their bytes.
_MOST_VALUES = 100_000
#: Up to here a body that is too large is read and thrown away, so that its sender can hear why.
_MOST_DRAINED = 64 * 1024 * 1024


@dataclass
class Connection:
    """One client's connection, as its requests are told in their scope's state."""

    #: Did it break before the answer was written?
    cut_off: bool = False
    #: Purchases whose answers went through it; the next request says that those were read.
    told: set[str] = field(default_factory=set)


class _RequestRefused(Exception):
    """A request that goes no further: its status, a slug and a sentence, as `args`."""


class AccessMiddleware:
    """Pass on what the access policy allows, with its whole body already read.

    `scope["connection"]` is then the Connection that it came on, and what is put into
    `scope["answered"]` is called once the answer was written, with whether that was possible.
    """

    def __init__(self, app: App, policy: AccessPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left: list[Message] = []
        try:
            headers = self._check_access(scope)
            if "content-length" in headers or "transfer-encoding" in headers:
                async with asyncio.timeout(self._policy.body_seconds):
                    body = await _read_body(headers.get("content-length", ""), receive)
                left.append({"type": "http.request", "body": body, "more_body": False})
        except TimeoutError:
            await _send_refusal(send, 408, "body_too_slow", "The body did not arrive in time.")
            return
        except _RequestRefused as refused:
            await _send_refusal(send, *refused.args)
            return

        async def replay() -> Message:
            return left.pop() if left else await receive()

        connection = scope.get("state", {}).get("connection") or Connection()
        answered: list[Callable[[bool], Awaitable[None]]] = []
        scope["connection"], scope["answered"] = connection, answered
        written = False
        try:
            await self._app(scope, replay, send)
            written = not connection.cut_off
        finally:
            for tell in answered:
                await tell(written)

    def _check_access(self, scope: Message) -> dict[str, str]:
        """The request's headers, where it may go on. Raises _RequestRefused."""
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name = raw.decode("latin-1").lower()
            if name in headers and name in ("host", "origin", "authorization", "content-length"):
                raise _RequestRefused(400, "header_repeated", f"The header {name} came twice.")
            headers[name] = value.decode("latin-1")
        if not self._policy.allows_host(headers.get("host", "")):
            raise _RequestRefused(421, "host_refused", "This server does not answer to that Host.")
        origin = headers.get("origin")
        if origin is not None and not self._policy.allows_origin(origin, headers["host"]):
            raise _RequestRefused(
                403, "origin_refused", "Pages of that Origin may not ask this server."
            )
        # A browser asks in advance without the token (CORS), and such a request does nothing.
        if (
            scope["path"] not in self._policy.open_paths
            and scope["method"] != "OPTIONS"
            and self._policy.token is not None
            and not self._policy.accepts_token(headers.get("authorization", ""))
        ):
            raise _RequestRefused(401, "token_refused", "Send `Authorization: Bearer TOKEN`.")
        return headers


async def _read_body(announced: str, receive: Receive) -> bytes:
    """The whole body, `announced` by its length where it is. Raises _RequestRefused."""
    parts: list[bytes] = []
    size, more = 0, True
    if announced.isdigit() and int(announced) > _MOST_DRAINED:
        size, more = int(announced), False
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _RequestRefused(400, "body_broken", "The body broke off.")
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
        if size <= MOST_BODY:
            parts.append(message.get("body", b""))
        elif size > _MOST_DRAINED:
            break
    if size > MOST_BODY:
        most = MOST_BODY // 2**20
        raise _RequestRefused(413, "body_too_large", f"A body has at most {most} MiB here.")
    body = b"".join(parts)
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        detail = f"A body has at most {_MOST_VALUES} values here."
        raise _RequestRefused(413, "body_too_complex", detail)
    return body


#: Seconds in which a client that has its answer may send one more request.
LINGER = 1.0


class RequestCounter:
    """Count the requests in progress; refuse new ones once the stopping server has none left."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._inside = 0
        self._closed = False
        self._left = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        # A GET may be a stream that nothing but the end of the server ends, and it buys nothing.
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        if self._closed:
            await _send_refusal(send, 503, "stopping", "This server is about to end.")
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
            self._left.set()

    async def drain(self, seconds: float) -> None:
        """Wait until no request is in progress, at most `seconds`, then refuse new ones.

        A client may need one more request to read its answer: an MCP client looks the schema up.
        So new requests are accepted while others are in progress, and a moment longer.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._inside:
                    await self._left.wait()
                    self._left.clear()
                    if not self._inside:
                        await asyncio.sleep(LINGER)
        self._closed = True


async def _send_refusal(send: Send, status: int, code: str, detail: str) -> None:
    """Refuse, as application/problem+json (RFC 9457)."""
    content = json.dumps(problem_json(status, code, detail)).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def problem_json(status: int, code: str, detail: str, spent: str = "no") -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:civitai-skill:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "code": code,
        "spent": spent,
    }
