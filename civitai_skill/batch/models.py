"""The models that rows name, looked up before the batch is planned: each reference once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from civitai_skill.api.drivers import adrive
from civitai_skill.batch.rows import RawRow
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import RequestInvalid
from civitai_skill.purchase.body import Terms
from civitai_skill.resources.resolve import NAMING, resolve_request
from civitai_skill.resources.site import ModelSite
from civitai_skill.schema.request import ImageRequest


async def resolve_rows(
    raw_rows: Sequence[RawRow], client: AsyncCivitai, terms: Terms
) -> list[RawRow]:
    """The rows with the AIRs of the models that they name; a row whose model can't be used has its
    problem. Raises TransportFailed and ApiError where the site gives no answer."""
    site = ModelSite(client._public, client._models, client.account)
    mature, found = terms.allow_mature_content is True, []
    for raw in raw_rows:
        if raw.problem is None and any(raw.fields.get(name) for name in NAMING):
            raw = await _resolve_row(raw, client, site, mature)
        found.append(raw)
    return found


async def _resolve_row(raw: RawRow, client: AsyncCivitai, site: ModelSite, mature: bool) -> RawRow:
    id = {"id": raw.fields["id"]} if "id" in raw.fields else {}
    try:
        request = ImageRequest(**{n: v for n, v in raw.fields.items() if n != "id"})
    except RequestInvalid:
        return raw  # the plan says what is wrong with it, with every other row
    try:
        resolved = await adrive(resolve_request(site, request, mature=mature), client._http)
    except RequestInvalid as error:
        return replace(raw, problem=error.problems[0])
    fields = {**id, **resolved.request.said()}
    return replace(raw, fields=fields, told=resolved.notes, warned=resolved.warnings)
