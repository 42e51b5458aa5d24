"""Civitai and AsyncCivitai: the same methods over the same flows.

    with Civitai() as client:
        result = client.generate("a red fox in the snow", engine="z-image", out="pictures")
        print(result.paths, result.workflow.cost.total)

Whatever buys takes an ImageRequest, or a prompt with the request's fields as keywords. Errors are
those of `civitai_skill.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from civitai_skill.api.connections import AsyncTransport, SyncTransport
from civitai_skill.api.models import Workflow
from civitai_skill.client.base import BaseClient
from civitai_skill.client.methods import TIMEOUT as TIMEOUT
from civitai_skill.client.methods import Methods
from civitai_skill.client.options import QueryFilters
from civitai_skill.errors import AnswerLost


class Civitai(Methods):
    __doc__ = f"The synchronous client.\n\n{BaseClient.__doc__}"

    _http: httpx.Client

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.Client(transport=self._transport or SyncTransport())

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

    def query(self, **filters: Unpack[QueryFilters]) -> Iterator[Workflow]:
        """Every matching workflow; pages are read as they are wanted."""
        cursor: str | None = None
        while True:
            page = self.page(cursor, **filters)
            yield from page.items
            if page.next is None or page.next == cursor:
                return
            cursor = page.next


class AsyncCivitai(Methods):
    __doc__ = f"The asynchronous client.\n\n{BaseClient.__doc__}"

    asynchronous = True
    _http: httpx.AsyncClient

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.AsyncClient(transport=self._transport or AsyncTransport())

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


def open_client(client: Civitai | None) -> AbstractContextManager[Civitai]:
    """The client that was given; or one of the call's own, which is closed after it."""
    return Civitai() if client is None else nullcontext(client)


def aopen_client(client: AsyncCivitai | None) -> AbstractAsyncContextManager[AsyncCivitai]:
    """See open_client."""
    return AsyncCivitai() if client is None else nullcontext(client)
