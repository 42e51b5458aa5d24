"""What both servers share of HTTP: how much a request may bring, how slowly, and how it ends.

Who may knock is the door's to say (door.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from civitai_skill.adapters.door import Door, bracketed
from civitai_skill.desk import Desk
from civitai_skill.errors import ConfigError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Bytes of a request's body, with room for a few source pictures as data URLs.
MOST_BODY = 16 * 1024 * 1024
#: Up to here a body that is too large is read and thrown away, so that its sender can hear why.
_DRAINED = 64 * 1024 * 1024
#: Seconds that an idle connection is kept: longer than clients and proxies commonly do (60), so
#: that it is they who close it, and no request meets a connection that is just being closed.
KEEP_ALIVE = 75


class _Refused(Exception):
    """A request that goes no further: its status, a slug and a sentence."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class Guard:
    """Lets through what the door allows, with its whole body already read."""

    def __init__(self, app: App, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._check(scope, headers)
            if "content-length" in headers or "transfer-encoding" in headers:
                receive = _replayed(await self._body(headers, receive), receive)
        except _Refused as refused:
            await _answer(send, refused)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Message, headers: dict[str, str]) -> None:
        if not self._door.knows_host(headers.get("host", "")):
            raise _Refused(421, "host_refused", "This server does not answer to that Host.")
        origin = headers.get("origin")
        if origin is not None and not self._door.knows_origin(origin, headers["host"]):
            raise _Refused(403, "origin_refused", "Pages of that Origin may not ask this server.")
        # A browser asks in advance without the token (CORS), and such a request does nothing.
        if scope["path"] in self._door.open_paths or scope["method"] == "OPTIONS":
            return
        if not self._door.knows_token(headers.get("authorization", "")):
            raise _Refused(401, "token_refused", "Send `Authorization: Bearer TOKEN`.")

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > _DRAINED:
            raise _too_large()
        try:
            async with asyncio.timeout(self._door.body_seconds):
                return await _read(receive)
        except TimeoutError:
            raise _Refused(408, "body_too_slow", "The body did not arrive in time.") from None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Refused(400, "body_broken", "The body broke off.")
        part = message.get("body", b"")
        size += len(part)
        if size > _DRAINED:
            raise _too_large()
        if size <= MOST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            break
    if size > MOST_BODY:
        raise _too_large()
    return b"".join(parts)


def _too_large() -> _Refused:
    most = MOST_BODY // 2**20
    return _Refused(413, "body_too_large", f"A body has at most {most} MiB here.")


def _headers(scope: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "authorization", "content-length"):
            raise _Refused(400, "header_repeated", f"The header {key} came twice.")
        found[key] = value.decode("latin-1")
    return found


def _replayed(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


#: Seconds in which somebody who has left may come back.
_LINGER = 1.0


class Turnstile:
    """Counts who is inside, and lets nobody in once they have left at the end of the server."""

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
            await _answer(send, _Refused(503, "stopping", "This server is about to end."))
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
            self._left.set()

    async def emptied(self, seconds: float) -> None:
        """Wait until everybody has left, at most so long, then close.

        Whoever has just got an answer may have to ask once more to read it: an MCP client looks its
        schema up. So while somebody is inside, and a moment longer, others are let in.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._inside:
                    await self._left.wait()
                    self._left.clear()
                    if not self._inside:
                        await asyncio.sleep(_LINGER)
        self._closed = True


async def _answer(send: Send, refused: _Refused) -> None:
    """Say no, as application/problem+json (RFC 9457)."""
    content = json.dumps(problem(refused.status, refused.code, refused.detail)).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def problem(status: int, code: str, detail: str, spent: str = "no") -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:civitai-skill:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "code": code,
        "spent": spent,
    }


# -- serving -------------------------------------------------------------------------------
#: Seconds for what is still open when all have their answers: streams that only the end ends.
_LAST_SECONDS = 2


def serve(app: App, door: Door, desk: Desk, name: str, path: str = "") -> None:
    """Serve until SIGINT or SIGTERM; prints one line when ready. Port 0 takes a free one.

    At the end nobody new is let in, whoever waits gets what is known, and a purchase that is being
    made is finished. Raises ConfigError where the address can't be taken.
    """
    listener = _listener(door)
    host, port = listener.getsockname()[:2]
    address = f"http://{bracketed(host)}:{port}{path}"
    turnstile = Turnstile(app)
    timely: Any = partial(Timely, door.head_seconds)
    config = uvicorn.Config(
        turnstile,
        http=timely,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    words = f"The {name} server is ready on {address} (stop it with Ctrl-C)."
    with contextlib.closing(listener):
        _Server(config, desk, turnstile, words).run([listener])


def _listener(door: Door) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
        return socket.create_server((door.host, door.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "not a usable address"
        raise ConfigError(
            f"The address {door.host}:{door.port} can't be taken: {reason}.",
            hint="Choose another with --port N (0 takes a free one).",
        ) from None


class Timely(H11Protocol):
    """uvicorn's protocol, and it hangs up on who does not bring the head of a request in
    `seconds`."""

    def __init__(self, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds = seconds
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect()  # no request is under way, so this was a part of a head
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self._seconds, self.transport.close)

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """uvicorn, with our first words and our end."""

    def __init__(
        self, config: uvicorn.Config, desk: Desk, turnstile: Turnstile, words: str
    ) -> None:
        super().__init__(config)
        self._desk = desk
        self._turnstile = turnstile
        self._words = words
        self._leaving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._words, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._desk.close()

    async def _leave(self, number: int) -> None:
        """Let those inside come to their answers before uvicorn, and what watches it, cuts them
        off."""
        self._desk.stop()
        await self._turnstile.emptied(self._desk.grace + _LINGER)
        self.handle_exit(number, None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again when all is done; here the end is a normal one."""
        loop = asyncio.get_running_loop()

        def leave(number: int) -> None:
            if self._leaving is None:
                self._leaving = loop.create_task(self._leave(number))
            else:
                self.handle_exit(number, None)  # who asks twice will not wait

        def signaled(number: int, frame: object) -> None:
            loop.call_soon_threadsafe(leave, number)

        numbers = [signal.SIGINT, signal.SIGTERM]
        if sys.platform == "win32":
            numbers.append(signal.SIGBREAK)
        before = {number: signal.signal(number, signaled) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
