"""Pictures that this program made: the request stands in them, and comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import RequestInvalid
from civitai_skill.images.sidecar import merge_fields
from civitai_skill.remix.changes import Fitted
from civitai_skill.remix.reading import Reading
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_request


def fit_own(reading: Reading, said: Mapping[str, Any]) -> Fitted | None:
    """The request of a picture of our own with what is said otherwise; None for any other's, or
    where somebody else wrote into it what no request takes. Raises RequestInvalid for what is
    said."""
    fields = reading.own_request()
    if fields is None:
        return None
    try:
        ImageRequest(**fields)
    except RequestInvalid:
        return None
    merged = merge_fields(fields, said)
    fitted = Fitted(merged)
    try:
        plan_request(ImageRequest(**merged))
    except RequestInvalid as error:
        fitted.refusal = error
    return fitted
