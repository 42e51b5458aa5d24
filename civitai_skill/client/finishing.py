"""What both clients do with pictures that are there: finish them."""

from __future__ import annotations

from typing import Any, Unpack

from civitai_skill.api.drivers import adrive, drive
from civitai_skill.api.service import Flow
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.options import Call, FinishOptions, finishing
from civitai_skill.client.remixing import TIMEOUT, AsyncRemixing, Remixing
from civitai_skill.purchase.finish import finish_pictures
from civitai_skill.purchase.result import Generation


class Finishing(Remixing):
    """The synchronous client's part."""

    def finish(
        self,
        pictures: Any,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[FinishOptions],
    ) -> Generation:
        """Finish pictures that are there: upscale, cut out, as SVG, in exact pixels, described.

        `pictures` is one or several, each as a source of a request is named, or a FinishRequest;
        `given` are its fields and what surrounds a purchase. What needs no service is done on this
        machine and costs nothing; the rest is one workflow, priced first. Errors as for `generate`.
        """
        return drive(_finish(self, pictures, out, timeout, given), self._http)


class AsyncFinishing(AsyncRemixing):
    """The asynchronous client's part."""

    async def finish(
        self,
        pictures: Any,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[FinishOptions],
    ) -> Generation:
        """See Civitai.finish."""
        return await adrive(_finish(self, pictures, out, timeout, given), self._http)


def _finish(
    client: BaseClient, pictures: Any, out: Folder, timeout: float, given: FinishOptions
) -> Flow[Generation]:
    order = client._order(Call(*finishing(pictures, given)), out)
    return finish_pictures(client._service, order, timeout=timeout)
