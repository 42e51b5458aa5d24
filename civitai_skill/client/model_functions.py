"""Plain functions that find models on the site; each has an async twin with an `a` before its name.

They need no key and spend nothing.
"""

from __future__ import annotations

from typing import Unpack

from civitai_skill.client.clients import AsyncCivitai, Civitai, aopen_client, open_client
from civitai_skill.client.options import SearchOptions
from civitai_skill.resources.describe import ModelDescription
from civitai_skill.resources.search import FoundModels


def search_models(
    query: str = "", *, client: Civitai | None = None, **given: Unpack[SearchOptions]
) -> FoundModels:
    """Models that can be generated with, as the site's search finds them. Needs no key."""
    with open_client(client) as civitai:
        return civitai.search_models(query, **given)


async def asearch_models(
    query: str = "", *, client: AsyncCivitai | None = None, **given: Unpack[SearchOptions]
) -> FoundModels:
    """See search_models."""
    async with aopen_client(client) as civitai:
        return await civitai.search_models(query, **given)


def describe_model(named: str, *, client: Civitai | None = None) -> ModelDescription:
    """All about one model, named by its AIR, its page's address, a file hash or name:TEXT."""
    with open_client(client) as civitai:
        return civitai.describe_model(named)


async def adescribe_model(named: str, *, client: AsyncCivitai | None = None) -> ModelDescription:
    """See describe_model."""
    async with aopen_client(client) as civitai:
        return await civitai.describe_model(named)
