"""Serving over HTTP: the bounds of connections, the ready line, a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from civitai_skill.servers.access import BACKLOG, AccessPolicy, open_listener, ready_line
from civitai_skill.servers.http import LINGER, App, Connection, RequestCounter
from civitai_skill.servers.session import ServerSession

#: Seconds that an idle connection is kept: longer than clients and proxies commonly do (60), so
#: that it is they who close it, and no request meets a connection that is just being closed.
KEEP_ALIVE = 75
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
_BOUND = "There are more than %d connections; idle ones are closed, the oldest first."


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

    warned = False

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
            if not BoundedProtocol.warned:  # once, not for each connection
                BoundedProtocol.warned = True
                logging.getLogger("uvicorn.error").warning(_BOUND, self._most)
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
        await self._counter.drain(self._session.grace + LINGER)
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
