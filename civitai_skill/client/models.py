"""The methods of both clients that find models on the site; they need no key and spend nothing."""

from __future__ import annotations

from typing import Unpack

import httpx

from civitai_skill.api.drivers import adrive, drive
from civitai_skill.client.base import BaseClient
from civitai_skill.client.options import SearchOptions
from civitai_skill.resources.describe import ModelDescription, describe
from civitai_skill.resources.search import FoundModels, search
from civitai_skill.resources.site import ModelSite


class ModelClient(BaseClient):
    """The synchronous methods."""

    _http: httpx.Client

    def search_models(self, query: str = "", **given: Unpack[SearchOptions]) -> FoundModels:
        """Search the site for checkpoints, LoRAs, embeddings and VAEs that can be generated with.

        Raises RequestInvalid for what can't be searched for; TransportFailed and ApiError where the
        site gives no usable answer.
        """
        return drive(search(model_site(self), query, **given), self._http)

    def describe_model(self, named: str, *, mature: bool = False) -> ModelDescription:
        """All about one model, named by its AIR, its page's address, a file hash or name:TEXT;
        `mature` lets a name mean a mature one. Raises like search_models."""
        return drive(describe(model_site(self), named, mature=mature), self._http)


class AsyncModelClient(BaseClient):
    """The asynchronous methods."""

    _http: httpx.AsyncClient

    async def search_models(self, query: str = "", **given: Unpack[SearchOptions]) -> FoundModels:
        """See Civitai.search_models."""
        return await adrive(search(model_site(self), query, **given), self._http)

    async def describe_model(self, named: str, *, mature: bool = False) -> ModelDescription:
        """See Civitai.describe_model."""
        return await adrive(describe(model_site(self), named, mature=mature), self._http)


def model_site(client: BaseClient) -> ModelSite:
    """The site, as a client asks it: what it was told of a model is kept for a day."""
    return ModelSite(client._public, client._models, client.account)
