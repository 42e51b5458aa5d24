"""Civitai and AsyncCivitai: the same methods over the same flows.

    with Civitai() as client:
        result = client.generate("a red fox in the snow", engine="z-image", out="pictures")
        print(result.paths, result.workflow.cost.total)

Whatever buys takes an ImageRequest, or a prompt with the request's fields as keywords. Errors are
those of `civitai_skill.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from civitai_skill.api.changes import Canceled
from civitai_skill.api.connections import AsyncTransport, SyncTransport
from civitai_skill.api.drivers import adrive, drive
from civitai_skill.api.models import Workflow
from civitai_skill.api.workflows import Health, Page, Quote
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.finishing import AsyncFinishing, Finishing
from civitai_skill.client.models import AsyncModelClient, ModelClient
from civitai_skill.client.options import (
    PriceOptions,
    PurchaseOptions,
    QueryFilters,
    RequestLike,
)
from civitai_skill.client.refresh import Refreshed
from civitai_skill.client.remixing import TIMEOUT as TIMEOUT
from civitai_skill.errors import AnswerLost
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import Preview
from civitai_skill.purchase.events import Releasing, Tell
from civitai_skill.purchase.generate import OnSubmitted
from civitai_skill.purchase.result import Generation


class Civitai(ModelClient, Finishing):
    __doc__ = f"The synchronous client.\n\n{BaseClient.__doc__}"

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.Client(transport=self._transport or SyncTransport())

    @property
    def is_closed(self) -> bool:
        return self._http.is_closed

    def close(self) -> None:
        """Close the connections. Work that was submitted goes on."""
        self.confirm()
        self._http.close()
        self._models.close()
        if self.ledger is not None:
            self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and (kind is AnswerLost or not issubclass(kind, Exception)):
            self.keep_open()  # interrupted, or its answer was lost
        self.close()

    def estimate(self, request: RequestLike, **given: Unpack[PriceOptions]) -> Quote:
        """Ask the service for the price in Buzz. Spends nothing."""
        return drive(self._estimate(request, given), self._http)

    def submit(
        self,
        request: RequestLike,
        *,
        told: OnSubmitted | None = None,
        out: Folder | None = None,
        **given: Unpack[PurchaseOptions],
    ) -> Workflow:
        """Submit and come back at once; the price is checked first.

        `told` gets the workflow before the ledger takes it for handed over: where it raises, the
        same request goes on with this purchase. `out` is where its pictures will go: a `generate`
        into that folder goes on with it, and so does `resume`. Raises OverBudget above `max_buzz`,
        TransportFailed with the key when it is not known whether the service took it.
        """
        return drive(self._submit(request, told, out, given), self._http)

    def generate(
        self,
        request: RequestLike,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[PurchaseOptions],
    ) -> Generation:
        """Price, submit, wait up to `timeout` seconds, and save the pictures in the folder `out`.

        Raises WorkflowFailed when fewer pictures came than were asked for (those that came are
        saved and stand in `error.result`), StillRunning at the deadline; giving up never cancels.
        """
        return drive(self._generate(request, out, timeout, given), self._http)

    def preview(
        self, request: RequestLike, *, out: Folder | None = None, **given: Unpack[PurchaseOptions]
    ) -> Preview:
        """Say what buying this would do; sends nothing.

        `out` is the folder that `generate` would be given, None for `submit`. Raises StillRunning
        while another call is making the same.
        """
        return drive(self._preview(request, out, given), self._http)

    def buzz_left(self) -> int | None:
        """Buzz that the budget still allows; None where there is none."""
        return drive(self._left_buzz(), self._http)

    def get(self, workflow_id: str, *, wait: float = 0.0) -> Workflow:
        """Read a workflow; with `wait` (seconds, at most 90) the service may hold the answer."""
        return drive(self._get(workflow_id, wait), self._http)

    def wait(
        self, workflow: Workflow | str, *, timeout: float = TIMEOUT, tell: Tell | None = None
    ) -> Workflow:
        """Wait until a workflow ends. Raises StillRunning after `timeout` seconds."""
        return drive(self._wait(workflow, timeout, tell), self._http)

    def page(self, cursor: str | None = None, **filters: Unpack[QueryFilters]) -> Page:
        """One page of past workflows, newest first; `Page.next` is the next one's cursor."""
        return drive(self._page(cursor, filters), self._http)

    def saved_paths(self, page: Page) -> dict[str, list[str]]:
        """{workflow's id: where its pictures were saved}, as far as this machine's ledger knows."""
        return drive(self._saved_paths(page), self._http)

    def query(self, **filters: Unpack[QueryFilters]) -> Iterator[Workflow]:
        """Every matching workflow; pages are read as they are wanted."""
        cursor: str | None = None
        while True:
            page = self.page(cursor, **filters)
            yield from page.items
            if page.next is None or page.next == cursor:
                return
            cursor = page.next

    def cancel(self, workflow_id: str) -> Canceled:
        """Cancel a workflow; says what was refunded. One that has ended is left as it is."""
        return drive(self._cancel(workflow_id), self._http)

    def download(
        self, workflow: Workflow | str, out: Folder = ".", *, tell: Tell | None = None
    ) -> Generation:
        """Save the pictures of a finished workflow in the folder `out`.

        Raises StillRunning when it has not ended, WorkflowFailed when pictures are missing.
        """
        return drive(self._download(workflow, out, tell), self._http)

    def settle(self, key: str) -> Workflow:
        """Send a submit of unknown fate again, the same bytes and key: it can't pay twice."""
        return drive(self._settle(key), self._http)

    def resume(
        self,
        run: Run,
        *,
        timeout: float = TIMEOUT,
        out: Folder | None = None,
        tell: Tell | None = None,
        max_buzz: int | None = None,
    ) -> Generation:
        """Finish an open run of the ledger (`ledger.unfinished()`), which is never bought anew; or
        buy one of `ledger.failed()` once more."""
        return drive(self._resume(run, timeout, out, tell, max_buzz), self._http)

    def release(
        self,
        workflow_id: str,
        *,
        max_buzz: int | None = None,
        tell: Callable[[Releasing], None] | None = None,
    ) -> Workflow:
        """Accept a mature result that is held back; `tell` hears the price (yellow Buzz) first."""
        return drive(self._release(workflow_id, max_buzz, tell), self._http)

    def health(self) -> Health:
        """Does the service answer, and does it take the key? Spends nothing, raises nothing."""
        return drive(self._health(), self._http)

    def refresh_engines(self) -> Refreshed:
        """Fetch the service's published document and its catalogue, without the key.

        What they have beyond our files works from then on: new engines by their names, new fields
        and values with a warning; the catalogue's times replace ours while they are fresh. Raises
        TransportFailed or ApiError where neither could be had; what was kept before holds on.
        """
        return drive(self._refresh_engines(), self._http)


class AsyncCivitai(AsyncModelClient, AsyncFinishing):
    __doc__ = f"The asynchronous client.\n\n{BaseClient.__doc__}"

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.AsyncClient(transport=self._transport or AsyncTransport())

    @property
    def is_closed(self) -> bool:
        return self._http.is_closed

    async def close(self) -> None:
        """Close the connections. Work that was submitted goes on."""
        self.confirm()
        await self._http.aclose()
        self._models.close()
        if self.ledger is not None:
            self.ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and (kind is AnswerLost or not issubclass(kind, Exception)):
            self.keep_open()
        await self.close()

    async def estimate(self, request: RequestLike, **given: Unpack[PriceOptions]) -> Quote:
        """See Civitai.estimate."""
        return await adrive(self._estimate(request, given), self._http)

    async def submit(
        self,
        request: RequestLike,
        *,
        told: OnSubmitted | None = None,
        out: Folder | None = None,
        **given: Unpack[PurchaseOptions],
    ) -> Workflow:
        """See Civitai.submit."""
        return await adrive(self._submit(request, told, out, given), self._http)

    async def generate(
        self,
        request: RequestLike,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[PurchaseOptions],
    ) -> Generation:
        """See Civitai.generate."""
        return await adrive(self._generate(request, out, timeout, given), self._http)

    async def preview(
        self, request: RequestLike, *, out: Folder | None = None, **given: Unpack[PurchaseOptions]
    ) -> Preview:
        """See Civitai.preview."""
        return await adrive(self._preview(request, out, given), self._http)

    async def buzz_left(self) -> int | None:
        """See Civitai.buzz_left."""
        return await adrive(self._left_buzz(), self._http)

    async def get(self, workflow_id: str, *, wait: float = 0.0) -> Workflow:
        """See Civitai.get."""
        return await adrive(self._get(workflow_id, wait), self._http)

    async def wait(
        self, workflow: Workflow | str, *, timeout: float = TIMEOUT, tell: Tell | None = None
    ) -> Workflow:
        """See Civitai.wait."""
        return await adrive(self._wait(workflow, timeout, tell), self._http)

    async def page(self, cursor: str | None = None, **filters: Unpack[QueryFilters]) -> Page:
        """See Civitai.page."""
        return await adrive(self._page(cursor, filters), self._http)

    async def saved_paths(self, page: Page) -> dict[str, list[str]]:
        """See Civitai.saved_paths."""
        return await adrive(self._saved_paths(page), self._http)

    async def query(self, **filters: Unpack[QueryFilters]) -> AsyncIterator[Workflow]:
        """See Civitai.query."""
        cursor: str | None = None
        while True:
            page = await self.page(cursor, **filters)
            for workflow in page.items:
                yield workflow
            if page.next is None or page.next == cursor:
                return
            cursor = page.next

    async def cancel(self, workflow_id: str) -> Canceled:
        """See Civitai.cancel."""
        return await adrive(self._cancel(workflow_id), self._http)

    async def download(
        self, workflow: Workflow | str, out: Folder = ".", *, tell: Tell | None = None
    ) -> Generation:
        """See Civitai.download."""
        return await adrive(self._download(workflow, out, tell), self._http)

    async def settle(self, key: str) -> Workflow:
        """See Civitai.settle."""
        return await adrive(self._settle(key), self._http)

    async def resume(
        self,
        run: Run,
        *,
        timeout: float = TIMEOUT,
        out: Folder | None = None,
        tell: Tell | None = None,
        max_buzz: int | None = None,
    ) -> Generation:
        """See Civitai.resume."""
        return await adrive(self._resume(run, timeout, out, tell, max_buzz), self._http)

    async def release(
        self,
        workflow_id: str,
        *,
        max_buzz: int | None = None,
        tell: Callable[[Releasing], None] | None = None,
    ) -> Workflow:
        """See Civitai.release."""
        return await adrive(self._release(workflow_id, max_buzz, tell), self._http)

    async def health(self) -> Health:
        """See Civitai.health."""
        return await adrive(self._health(), self._http)

    async def refresh_engines(self) -> Refreshed:
        """See Civitai.refresh_engines."""
        return await adrive(self._refresh_engines(), self._http)
