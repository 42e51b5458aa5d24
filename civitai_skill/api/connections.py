"""Connections: many without a slow pool, through the right proxy, and none that outlasts its time.

httpx searches its one pool at every request, so hundreds of open long-polls make each request
slower (benchmarks/in_flight.py: 500 jobs take 46 s with one pool and 18 s with several). Here the
asynchronous connections are divided over several small pools, and a request goes to the least busy
one. The synchronous ones are read with what is left of their request's time, byte for byte.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from civitai_skill.api.proxies import PROXY, Proxy, make_ssl_context, read_network

#: Pools, and connections a pool keeps when idle. 500 in flight are about 8 in each of 64.
POOLS = 64
KEPT = 8

#: When the request of this thread is over (time.monotonic).
overdue_at: ContextVar[float] = ContextVar("overdue_at", default=float("inf"))


def _options(verify: ssl.SSLContext, proxy: Proxy | None, keep: int) -> dict[str, Any]:
    """How to make a transport of httpx's."""
    way = None
    if proxy is not None:
        tls = verify if proxy.url.startswith("https") else None
        way = httpx.Proxy(proxy.url, ssl_context=tls)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=keep)
    return {"verify": verify, "proxy": way, "limits": limits, "trust_env": False}


class SyncTransport(httpx.BaseTransport):
    """One connection pool for each proxy; every read and write ends with its request's time.

    Raises ConfigError where the environment names a proxy or certificates that can't be used.
    """

    def __init__(self) -> None:
        self._network = read_network()
        self._ssl = make_ssl_context()
        self._made: dict[Proxy | None, httpx.HTTPTransport] = {}
        self._turn = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._network.proxy_for(request.url)
        request.extensions[PROXY] = proxy
        with self._turn:
            made = self._made.get(proxy)
            if made is None:
                made = self._made[proxy] = httpx.HTTPTransport(**_options(self._ssl, proxy, 20))
                # httpx hands no backend through to its pool.
                made._pool._network_backend = _TimedBackend(made._pool._network_backend)
        return made.handle_request(request)

    def close(self) -> None:
        for made in self._made.values():
            made.close()


@dataclass
class AsyncTransport(httpx.AsyncBaseTransport):
    """Several connection pools behind one transport; each is made when it is first needed.

    A connection belongs to the event loop that made it: another loop gets pools of its own. Raises
    ConfigError like SyncTransport.
    """

    most: int = POOLS
    #: By loop and proxy, each pool with the number of its requests that wait for an answer.
    _pools: dict[Any, dict[httpx.AsyncHTTPTransport, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._network = read_network()
        self._ssl = make_ssl_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._network.proxy_for(request.url)
        request.extensions[PROXY] = proxy
        loop = _running_loop()
        for other in {key[0] for key in self._pools}:
            if other is not None and other.is_closed():
                self._pools = {k: pools for k, pools in self._pools.items() if k[0] is not other}
        busy = self._pools.setdefault((loop, proxy), {})
        pool = min(busy, key=busy.__getitem__, default=None)
        if pool is None or (busy[pool] and len(busy) < self.most):
            pool = httpx.AsyncHTTPTransport(**_options(self._ssl, proxy, KEPT))
        busy[pool] = busy.get(pool, 0) + 1
        try:
            return await pool.handle_async_request(request)
        finally:
            busy[pool] -= 1

    async def aclose(self) -> None:
        loop = _running_loop()
        for (owner, _), pools in self._pools.items():
            if owner is loop:
                for pool in pools:
                    await pool.aclose()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # another kind of loop


class _TimedBackend(httpcore.NetworkBackend):
    """Connects, and hands out connections that end with their request's time."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *given: Any, **named: Any
    ) -> httpcore.NetworkStream:
        left = _time_left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._inner.connect_tcp(host, port, left, *given, **named))


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every read and write is given what is left, not the whole again."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _time_left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In parts, because within one write the time begins anew with each byte that goes out.
        for start in range(0, len(buffer), 16384):
            part = buffer[start : start + 16384]
            self._inner.write(part, _time_left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _time_left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _time_left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    left = overdue_at.get() - time.monotonic()
    if left <= 0:
        raise late
    return timeout if left == float("inf") else min(left, left if timeout is None else timeout)
