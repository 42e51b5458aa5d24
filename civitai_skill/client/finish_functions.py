"""Finishing pictures as plain functions; see functions.py."""

from __future__ import annotations

from typing import Any, Unpack

from civitai_skill.client.base import Folder
from civitai_skill.client.clients import (
    TIMEOUT,
    AsyncCivitai,
    Civitai,
    aopen_client,
    open_client,
)
from civitai_skill.client.options import FinishOptions, finishing
from civitai_skill.purchase.result import Generation, summarize_unsaved


def finish_image(
    pictures: Any,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: Civitai | None = None,
    **given: Unpack[FinishOptions],
) -> Generation:
    """Finish pictures that are there: upscale, cut out, as SVG, in exact pixels, described.

    See Civitai.finish; with `wait_seconds` 0 it submits only.
    """
    with open_client(client) as civitai:
        if wait_seconds == 0:
            asked, around = finishing(pictures, given)
            return summarize_unsaved(civitai.submit(asked, out=out, **around))
        return civitai.finish(pictures, out=out, timeout=wait_seconds, **given)


async def afinish_image(
    pictures: Any,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: AsyncCivitai | None = None,
    **given: Unpack[FinishOptions],
) -> Generation:
    """See finish_image."""
    async with aopen_client(client) as civitai:
        if wait_seconds == 0:
            asked, around = finishing(pictures, given)
            return summarize_unsaved(await civitai.submit(asked, out=out, **around))
        return await civitai.finish(pictures, out=out, timeout=wait_seconds, **given)
