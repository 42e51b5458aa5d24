"""Pictures that this program made: the request is known, and comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import RequestInvalid
from civitai_skill.images.sidecar import merge_fields
from civitai_skill.remix.changes import Fitted
from civitai_skill.remix.reading import Reading
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_request

#: What a request and a reading call the same.
_SHARED = ("prompt", "negative_prompt", "steps", "seed", "guidance", "width", "height")


def is_request(fields: Mapping[str, Any]) -> bool:
    """Does a request take them? Somebody else may have written them into the picture."""
    try:
        ImageRequest(**fields)
    except RequestInvalid:
        return False
    return True


def read_own(fields: Mapping[str, Any]) -> Reading:
    """What the request of a picture of ours says, as a reading."""
    return Reading("civitai-skill", **{n: fields[n] for n in _SHARED if fields.get(n) is not None})


def fit_own(fields: Mapping[str, Any], said: Mapping[str, Any]) -> Fitted:
    """The request of a picture of our own with what is said otherwise. Raises RequestInvalid for
    what is said."""
    merged = merge_fields(fields, said)
    fitted = Fitted(merged)
    try:
        # Trigger words are looked up where it is bought.
        plan_request(ImageRequest(**{n: v for n, v in merged.items() if n != "trigger"}))
    except RequestInvalid as error:
        fitted.refusal = error
    return fitted
