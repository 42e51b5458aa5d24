"""A workflow of the service's own form as a tool's argument, beside the shaped ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from civitai_skill.bodies import taken
from civitai_skill.delivery import looked_at
from civitai_skill.errors import StillRunning
from civitai_skill.scalars import Text, Whole
from civitai_skill.tools.answers import Result, running, still, told
from civitai_skill.tools.arguments import (
    WAIT,
    Arguments,
    IncludeImage,
    Seconds,
    said,
    unpacked,
)
from civitai_skill.tools.fixed import PURPOSE, Fixed
from civitai_skill.tools.reading import read
from civitai_skill.tools.registry import Steps, seen

NAME = "civitai_generate_image"

DESCRIPTION = (
    "Instead of prompt and its settings, for experts: a whole workflow template of the service's "
    "own form, imageGen and finishing steps only. Beside it only max_buzz, wait_seconds, "
    "estimate_only, folder and include_image."
)


class GenerateBody(Arguments):
    """What may be said with a body."""

    body: Annotated[dict[str, Any], BeforeValidator(unpacked)]
    max_buzz: Annotated[Whole, Field(ge=0)] | None = None
    wait_seconds: Seconds = WAIT
    estimate_only: bool = False
    folder: Text | None = None
    include_image: IncludeImage = "no"


def given_body(
    models: Mapping[str, type[Arguments]], name: str, raw: Mapping[str, Any]
) -> GenerateBody | None:
    """The arguments, where they hold a body and tool `name` takes one. Raises RequestInvalid."""
    fields = models[name].model_fields
    if "body" not in fields or not said(raw.get("body")):
        return None
    # Some hosts fill in every argument; what is as if left out is left out.
    kept = {
        n: value
        for n, value in raw.items()
        if n in GenerateBody.model_fields
        or n not in fields
        or (said(value) and value != fields[n].default)
    }
    kept.setdefault("include_image", fields["include_image"].default)
    found = read({NAME: GenerateBody}, NAME, kept)
    assert isinstance(found, GenerateBody)
    return found


def steps(fixed: Fixed, given: GenerateBody) -> Steps:
    """What civitai_generate_image does with a body."""
    body = taken(given.body, fixed.sources(fixed.service))
    out, limit = fixed.folder(given.folder), fixed.limit(given.max_buzz)
    if given.estimate_only:
        return (yield from _priced(body, limit))
    rules: dict[str, Any] = {"max_buzz": limit, "purpose": PURPOSE, "tell": fixed.tell}
    try:
        if given.wait_seconds == 0:
            workflow = yield lambda client: client.submit_body(body, **rules)
            return running(looked_at(workflow))
        generation = yield lambda client: client.generate_body(
            body, out=out, timeout=given.wait_seconds, **rules
        )
    except StillRunning as error:
        return still(error)
    small = yield from seen(given.include_image, generation)
    return Result(told(generation), generation, small)


def _priced(body: Mapping[str, Any], limit: int) -> Steps:
    quote = yield lambda client: client.estimate_body(body)
    within = quote.total is not None and quote.total <= limit
    data = {"buzz": quote.total, "enough_buzz": not quote.insufficient_buzz}
    return Result({**data, "within_limit": within, "limit": limit}, quote)
