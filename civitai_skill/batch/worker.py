"""The client that batches buy with: paced, and in three parts where `generate` has one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx

from civitai_skill import generation
from civitai_skill.batch.tempo import PacedClient, Tempo
from civitai_skill.client import AsyncCivitai
from civitai_skill.delivery import Generation, Place
from civitai_skill.drivers import adrive
from civitai_skill.options import Call
from civitai_skill.pool import UNLIMITED, divided
from civitai_skill.purchase import Bought, Order, bought
from civitai_skill.runs import Run

#: Requests at once when nothing else is said.
CONCURRENCY = 16


class Worker(AsyncCivitai):
    """An AsyncCivitai that keeps to a tempo and lets a purchase, its end and its pictures be asked
    for one after the other."""

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self.tempo = Tempo(CONCURRENCY)
        self._http: httpx.AsyncClient = PacedClient(
            self.tempo, transport=self._transport or divided(), limits=UNLIMITED
        )

    def rules(self, call: Call) -> Order:
        """The rules of a call's purchases. Reads the ledger's budget."""
        return self._order(call)

    async def buy(self, order: Order, out: Path) -> Bought:
        """Price, write down, submit; or go on with what the key has bought already."""
        return await adrive(bought(self._service, order, out), self._http)

    async def bring(self, order: Order, purchase: Bought, out: Path, place: Place) -> Generation:
        """Bring home a purchase whose workflow has ended. Raises what `generate` raises."""
        flow = generation.finished(
            self._service, order, purchase, out=out, timeout=0.0, place=place
        )
        return await adrive(flow, self._http)

    async def take_up(self, run: Run) -> Run:
        """Make this process the owner of an open run."""
        assert self.ledger is not None, "only a ledger has runs to take up"
        return await anyio.to_thread.run_sync(partial(self.ledger.take_up, run.key))

    async def gone(self, key: str) -> None:
        """Write down that the service does not know a purchase any more."""
        assert self.ledger is not None, "only a ledger has runs that are old"
        await anyio.to_thread.run_sync(partial(self.ledger.gone, key))
