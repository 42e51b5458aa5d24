"""What both servers share of HTTP: how much a request may bring, how slowly, and how it ends.

Who may call is decided by the access policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from civitai_skill.servers.access import BACKLOG, AccessPolicy, open_listener, ready_line
from civitai_skill.servers.session import ServerSession

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
#: Seconds that an idle connection is kept: longer than clients and proxies commonly do (60), so
#: that it is they who close it, and no request meets a connection that is just being closed.
KEEP_ALIVE = 75


@dataclass
class Connection:
    """One client's connection, as its requests are told in their scope's state."""

    #: Did it break before the answer was written?
    cut_off: bool = False
    #: Purchases whose answers went through it; the next request says that those were read.
    told: set[str] = field(default_factory=set)


def connection_of(scope: Message) -> Connection:
    """The connection of a request."""
    found: Connection = scope.get("state", {}).get("connection") or Connection()
    return found


def after_answer(scope: Message, tell: Callable[[bool], Awaitable[None]]) -> None:
    """Have `tell` called when the answer was written; it hears whether that was possible."""
    scope["answered"].append(tell)


class _RequestRefused(Exception):
    """A request that goes no further: its status, a slug and a sentence, as `args`."""


class AccessMiddleware:
    """Pass on what the access policy allows, with its whole body already read."""

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

        scope["answered"] = []
        written = False
        try:
            await self._app(scope, replay, send)
            written = not connection_of(scope).cut_off
        finally:
            for tell in scope["answered"]:
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
_LINGER = 1.0


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
                        await asyncio.sleep(_LINGER)
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


# -- serving -------------------------------------------------------------------------------
#: Seconds for what is still open when all have their answers: streams that only the end ends.
_LAST_SECONDS = 2


def serve(
    app: App, policy: AccessPolicy, session: ServerSession, name: str, path: str = ""
) -> None:
    """Serve until SIGINT or SIGTERM; prints one line when ready. Port 0 takes a free one.

    At the end nobody new is let in, whoever waits gets what is known, and a purchase that is being
    made is finished. Raises ConfigError where the address can't be taken.
    """
    counter = RequestCounter(app)
    most = _most_connections()
    protocol: Any = partial(BoundedProtocol, policy.head_seconds, most=most)
    config = uvicorn.Config(
        counter,
        http=protocol,
        backlog=max(1, most // 8),  # accepted in one turn, before the bound is looked at
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    with open_listener(policy.host, policy.port) as listener:
        ready = ready_line(f"{name} server", listener, path)
        _Server(config, session, counter, ready).run([listener])


#: Connections where the system tells no bound.
_MOST_CONNECTIONS = 1000


def _most_connections() -> int:
    """How many connections may be open: each may need one more to the service, and a file."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return _MOST_CONNECTIONS
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        soft = min(most, 65536) if most != resource.RLIM_INFINITY else 65536
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    return max(8, soft // 3)


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with bounds: a request's head may take `head_seconds`, and of more than
    `most` connections the one that has been idle for longest is closed."""

    def __init__(self, head_seconds: float, *, most: int = _MOST_CONNECTIONS, **given: Any) -> None:
        super().__init__(**given)
        self._head_seconds = head_seconds
        self._most = most
        self._timer: asyncio.TimerHandle | None = None
        self._used = 0.0
        self._connection = Connection()
        self.app_state = {**self.app_state, "connection": self._connection}

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._used = self.loop.time()
        self._time_head(True)
        others: Any = [c for c in self.connections if not c.transport.is_closing()]
        if len(others) > self._most:
            _warn_of_bound(self._most)
            idle = [c for c in others if c.is_idle]
            min(idle, key=lambda one: one._used).transport.close()

    def data_received(self, data: bytes) -> None:
        self._used = self.loop.time()
        super().data_received(data)
        self._time_head(self.is_idle)  # what came was a part of a head

    def connection_lost(self, exc: Exception | None) -> None:
        self._time_head(False)
        self._connection.cut_off = not self.is_idle
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Is no request under way?"""
        return self.cycle is None or self.cycle.response_complete

    def _time_head(self, begun: bool) -> None:
        if begun and self._timer is None:
            self._timer = self.loop.call_later(self._head_seconds, self.transport.close)
        elif not begun and self._timer is not None:
            self._timer.cancel()
            self._timer = None


@cache
def _warn_of_bound(most: int) -> None:
    """Say it once, not for each connection."""
    logging.getLogger("uvicorn.error").warning(
        "There are more than %d connections; idle ones are closed, the oldest first.", most
    )


class _Server(uvicorn.Server):
    """uvicorn, with our ready line and our graceful stop."""

    def __init__(
        self, config: uvicorn.Config, session: ServerSession, counter: RequestCounter, ready: str
    ) -> None:
        super().__init__(config)
        self._session = session
        self._counter = counter
        self._ready = ready
        self._leaving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # whatever is accepted at once
        if self.started:
            print(self._ready, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._session.close()

    async def _stop_gracefully(self, number: int) -> None:
        """Let those inside come to their answers before uvicorn, and what watches it, cuts them
        off."""
        self._session.stop()
        await self._counter.drain(self._session.grace + _LINGER)
        self.handle_exit(number, None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again when all is done; here the end is a normal one."""
        loop = asyncio.get_running_loop()

        def leave(number: int) -> None:
            if self._leaving is None:
                self._leaving = loop.create_task(self._stop_gracefully(number))
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
