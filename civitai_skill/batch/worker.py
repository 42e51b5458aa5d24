"""The client that batches buy with: paced, and in three parts where `generate` has one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx

from civitai_skill.api.connections import AsyncTransport
from civitai_skill.api.drivers import adrive
from civitai_skill.batch.tempo import AdaptiveLimiter, ThrottledClient
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.client.options import Call
from civitai_skill.images.save import Place
from civitai_skill.ledger.run import Run
from civitai_skill.purchase import generate
from civitai_skill.purchase.buy import buy
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.result import Generation

#: Requests at once when nothing else is said.
CONCURRENCY = 16


class BatchClient(AsyncCivitai):
    """An AsyncCivitai that limits its requests in flight, with buying, waiting and downloading as
    separate calls."""

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self.limiter = AdaptiveLimiter(CONCURRENCY)
        self._http: httpx.AsyncClient = ThrottledClient(
            self.limiter, transport=self._transport or AsyncTransport()
        )

    def build_order(self, call: Call) -> Order:
        """The rules of a call's purchases. Reads the ledger's budget."""
        return self._order(call)

    async def buy(self, order: Order, out: Path) -> Purchase:
        """Price, write down, submit; or go on with what the key has bought already."""
        return await adrive(buy(self._service, replace(order, out=out)), self._http)

    async def bring_home(
        self, order: Order, purchase: Purchase, out: Path, place: Place
    ) -> Generation:
        """Bring home a purchase whose workflow has ended. Raises what `generate` raises."""
        order = replace(order, out=out)
        flow = generate.finish(self._service, order, purchase, timeout=0.0, place=place)
        return await adrive(flow, self._http)

    async def take_up(self, run: Run) -> Run:
        """Make this process the owner of an open run."""
        assert self.ledger is not None, "only a ledger has runs to take up"
        return await anyio.to_thread.run_sync(partial(self.ledger.take_up, run.key))

    async def record_gone(self, key: str) -> None:
        """Write down that the service does not know a purchase any more."""
        assert self.ledger is not None, "only a ledger has runs that are old"
        await anyio.to_thread.run_sync(partial(self.ledger.record_missing, key))
