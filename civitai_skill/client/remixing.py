"""What both clients do with pictures that are there: read how they were made, make them once more.

Reading pictures is loaded where it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import httpx

from civitai_skill.api.drivers import adrive, drive
from civitai_skill.api.service import Flow, Work
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.models import model_site
from civitai_skill.client.options import AgainOptions, Call, PurchaseOptions, RemixOptions
from civitai_skill.config import expand_home
from civitai_skill.images.sources import EVERY_SOURCE
from civitai_skill.purchase import generate
from civitai_skill.purchase.result import Generation
from civitai_skill.schema.request import ImageRequest

if TYPE_CHECKING:
    from civitai_skill.remix.remix import Remix

#: Seconds until waiting is given up. A step times out after 20 minutes on the service, and may
#: stand in the queue before (civitai-api facts; medians of upstream facts 1.4).
TIMEOUT = 1800.0


class RemixFlows(BaseClient):
    """The flows behind the methods."""

    def _remix(self, source: Any, given: Mapping[str, Any]) -> Flow[Remix]:
        from civitai_skill.client.again import find_own
        from civitai_skill.remix.remix import remix

        said = dict(given)
        sources = replace(said.pop("sources", EVERY_SOURCE), service=self.settings.base_url)
        own = yield Work(partial(find_own, source, sources, self.ledger))
        return (yield from remix(model_site(self), source, said, sources, own))

    def _again(
        self, picture: Folder, out: Folder, timeout: float, given: PurchaseOptions
    ) -> Flow[Generation]:
        from civitai_skill.client.again import same_again, vary_picture

        more: dict[str, Any] = {"notes": True, **given}
        said = {name: more.pop(name) for name in given if name in ImageRequest.model_fields}
        path = expand_home(picture)
        request = yield Work(partial(vary_picture, path, said, self.ledger))
        order = self._order(Call(request, more), out)
        if not said:
            order = replace(order, told=same_again(request))
        return (yield from generate.generate(self._service, order, timeout=timeout))


class Remixing(RemixFlows):
    """The methods of the synchronous client."""

    _http: httpx.Client

    def again(
        self,
        picture: Folder,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[AgainOptions],
    ) -> Generation:
        """Make a picture of ours once more, with what is said otherwise.

        `picture` is its file: found by the NAME.json beside it, by the ledger however it is called
        now, or by what stands in it. Engine, prompt and seed stay. Raises RequestInvalid for a
        picture that nobody knows here; else as `generate`.
        """
        return drive(self._again(picture, out, timeout, given), self._http)

    def remix(self, source: Any, **changes: Unpack[RemixOptions]) -> Remix:
        """Make a request of a picture's generation data; spends nothing.

        `source` is a picture's file (path or bytes), a text, or the address of a picture's page on
        Civitai; `changes` are fields of a request, and win. `Remix.request` is what to generate: of
        a picture of ours, however it is called now, exactly what made it.
        """
        return drive(self._remix(source, changes), self._http)


class AsyncRemixing(RemixFlows):
    """The methods of the asynchronous client."""

    _http: httpx.AsyncClient

    async def again(
        self,
        picture: Folder,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[AgainOptions],
    ) -> Generation:
        """See Civitai.again."""
        return await adrive(self._again(picture, out, timeout, given), self._http)

    async def remix(self, source: Any, **changes: Unpack[RemixOptions]) -> Remix:
        """See Civitai.remix."""
        return await adrive(self._remix(source, changes), self._http)
