"""Many connections without a slow pool.

httpx searches its one pool at every request, so hundreds of open long-polls make each request
slower (benchmarks/in_flight.py measures it). Here the connections are divided over several small
pools, and a request goes to the least busy one.
"""

from __future__ import annotations

from urllib.request import getproxies

import httpx

#: Where httpx keeps one pool (behind a proxy, and in the sync client), nobody queues for it.
UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=20)

#: Pools, and connections a pool keeps when idle. 500 in flight are about 8 in each of 64.
POOLS = 64
KEPT = 8


class DividedTransport(httpx.AsyncBaseTransport):
    """Several connection pools behind one transport; each is made when it is first needed."""

    def __init__(self, pools: int = POOLS) -> None:
        self._pools: list[httpx.AsyncHTTPTransport] = []
        self._busy: list[int] = []
        self._most = pools
        self._ssl = httpx.create_ssl_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        n = self._least_busy()
        self._busy[n] += 1
        try:
            return await self._pools[n].handle_async_request(request)
        finally:
            self._busy[n] -= 1

    def _least_busy(self) -> int:
        n = min(range(len(self._busy)), key=self._busy.__getitem__, default=-1)
        if n < 0 or (self._busy[n] and len(self._pools) < self._most):
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT)
            self._pools.append(httpx.AsyncHTTPTransport(verify=self._ssl, limits=limits))
            self._busy.append(0)
            return len(self._pools) - 1
        return n

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


def make_transport() -> httpx.AsyncBaseTransport | None:
    """The divided transport; None where a proxy is set up, which httpx itself looks after."""
    return None if getproxies() else DividedTransport()
