"""What both servers share of HTTP: how much a request may bring, how slowly, and how it ends.

Who may call is decided by the access policy.
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

from civitai_skill.errors import ConfigError
from civitai_skill.servers.access import AccessPolicy, format_host
from civitai_skill.servers.session import ServerSession

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Bytes of a request's body, with room for a few source pictures as data URLs.
MOST_BODY = 16 * 1024 * 1024
#: Up to here a body that is too large is read and thrown away, so that its sender can hear why.
_MOST_DRAINED = 64 * 1024 * 1024
#: Seconds that an idle connection is kept: longer than clients and proxies commonly do (60), so
#: that it is they who close it, and no request meets a connection that is just being closed.
KEEP_ALIVE = 75


class _RequestRefused(Exception):
    """A request that goes no further: its status, a slug and a sentence."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class AccessMiddleware:
    """Pass on what the access policy allows, with its whole body already read."""

    def __init__(self, app: App, policy: AccessPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = _parse_headers(scope)
            self._check_access(scope, headers)
            if "content-length" in headers or "transfer-encoding" in headers:
                receive = _replay_body(await self._read_body(headers, receive), receive)
        except _RequestRefused as refused:
            await _send_refusal(send, refused)
            return
        await self._app(scope, receive, send)

    def _check_access(self, scope: Message, headers: dict[str, str]) -> None:
        if not self._policy.allows_host(headers.get("host", "")):
            raise _RequestRefused(421, "host_refused", "This server does not answer to that Host.")
        origin = headers.get("origin")
        if origin is not None and not self._policy.allows_origin(origin, headers["host"]):
            raise _RequestRefused(
                403, "origin_refused", "Pages of that Origin may not ask this server."
            )
        # A browser asks in advance without the token (CORS), and such a request does nothing.
        if scope["path"] in self._policy.open_paths or scope["method"] == "OPTIONS":
            return
        if not self._policy.accepts_token(headers.get("authorization", "")):
            raise _RequestRefused(401, "token_refused", "Send `Authorization: Bearer TOKEN`.")

    async def _read_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > _MOST_DRAINED:
            raise _body_too_large()
        try:
            async with asyncio.timeout(self._policy.body_seconds):
                return await _read_limited(receive)
        except TimeoutError:
            raise _RequestRefused(
                408, "body_too_slow", "The body did not arrive in time."
            ) from None


async def _read_limited(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _RequestRefused(400, "body_broken", "The body broke off.")
        part = message.get("body", b"")
        size += len(part)
        if size > _MOST_DRAINED:
            raise _body_too_large()
        if size <= MOST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            break
    if size > MOST_BODY:
        raise _body_too_large()
    return b"".join(parts)


def _body_too_large() -> _RequestRefused:
    most = MOST_BODY // 2**20
    return _RequestRefused(413, "body_too_large", f"A body has at most {most} MiB here.")


def _parse_headers(scope: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "authorization", "content-length"):
            raise _RequestRefused(400, "header_repeated", f"The header {key} came twice.")
        found[key] = value.decode("latin-1")
    return found


def _replay_body(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


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
            await _send_refusal(
                send, _RequestRefused(503, "stopping", "This server is about to end.")
            )
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


async def _send_refusal(send: Send, refused: _RequestRefused) -> None:
    """Refuse, as application/problem+json (RFC 9457)."""
    content = json.dumps(problem_json(refused.status, refused.code, refused.detail)).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
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
    listener = _open_listener(policy)
    host, port = listener.getsockname()[:2]
    address = f"http://{format_host(host)}:{port}{path}"
    counter = RequestCounter(app)
    timely: Any = partial(HeadTimeoutProtocol, policy.head_seconds)
    config = uvicorn.Config(
        counter,
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
        _Server(config, session, counter, words).run([listener])


def _open_listener(policy: AccessPolicy) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in policy.host else socket.AF_INET
        return socket.create_server((policy.host, policy.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "not a usable address"
        raise ConfigError(
            f"The address {policy.host}:{policy.port} can't be taken: {reason}.",
            advice="Choose another with --port N (0 takes a free one).",
        ) from None


class HeadTimeoutProtocol(H11Protocol):
    """uvicorn's protocol; it closes a connection whose request head takes longer than `seconds`."""

    def __init__(self, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds = seconds
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._start_timer()  # no request is under way, so this was a part of a head
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self._seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """uvicorn, with our ready line and our graceful stop."""

    def __init__(
        self, config: uvicorn.Config, session: ServerSession, counter: RequestCounter, words: str
    ) -> None:
        super().__init__(config)
        self._session = session
        self._counter = counter
        self._words = words
        self._leaving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._words, flush=True)

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
