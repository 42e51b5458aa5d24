"""A client for the length of one call: the one that was given, or one of the call's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from civitai_skill.client.clients import AsyncCivitai, Civitai


@contextmanager
def open_client(client: Civitai | None) -> Iterator[Civitai]:
    """It is closed again where it was made here."""
    if client is not None:
        yield client
        return
    with Civitai() as own:
        yield own


@asynccontextmanager
async def aopen_client(client: AsyncCivitai | None) -> AsyncIterator[AsyncCivitai]:
    """See open_client."""
    if client is not None:
        yield client
        return
    async with AsyncCivitai() as own:
        yield own
