"""A workflow of the service's own form as a tool's argument, beside the shaped ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from civitai_skill.errors import Problem, RequestInvalid, StillRunning
from civitai_skill.purchase.body_rules import check_body
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.purchase.result import summarize_unsaved
from civitai_skill.schema.types import Text, Whole
from civitai_skill.tools.answers import (
    Result,
    generation_data,
    running_result,
    still_running_result,
)
from civitai_skill.tools.arguments import (
    WAIT,
    Arguments,
    IncludeImage,
    Seconds,
    is_given,
    unpack_json,
)
from civitai_skill.tools.fixed import PURPOSE, ToolSettings
from civitai_skill.tools.reading import read_arguments
from civitai_skill.tools.registry import Steps, add_thumbnails

NAME = "civitai_generate_image"

_BESIDE = "nothing but max_buzz, wait_seconds, estimate_only, folder and include_image beside it"
DESCRIPTION = (
    "Instead of prompt and its settings, for experts: a whole workflow template of the service's "
    f"own form, imageGen and finishing steps only; {_BESIDE}."
)


class GenerateBody(Arguments):
    """What may be said with a body."""

    body: Annotated[dict[str, Any], BeforeValidator(unpack_json)]
    max_buzz: Annotated[Whole, Field(ge=0)] | None = None
    wait_seconds: Seconds = WAIT
    estimate_only: bool = False
    folder: Text | None = None
    include_image: IncludeImage = "no"


def read_body_arguments(
    models: Mapping[str, type[Arguments]], name: str, raw: Mapping[str, Any]
) -> GenerateBody | None:
    """The arguments, where they hold a body and tool `name` takes one. Raises RequestInvalid."""
    fields = models[name].model_fields
    if "body" not in fields or not is_given(raw.get("body")):
        return None
    kept = {n: v for n, v in raw.items() if n in GenerateBody.model_fields or n not in fields}
    # Some hosts fill in every argument; what is as if left out is left out.
    beside = [
        Problem(n, v, _BESIDE, None, "the body says it all itself")
        for n, v in raw.items()
        if n not in kept and is_given(v) and v not in (fields[n].default, [], {})
    ]
    if beside:
        raise RequestInvalid(*beside)
    kept.setdefault("include_image", fields["include_image"].default)
    found = read_arguments({NAME: GenerateBody}, NAME, kept)
    assert isinstance(found, GenerateBody)
    return found


def check_allowed(fixed: ToolSettings, given: GenerateBody) -> dict[str, Any]:
    """The body, where it is one that is taken. Raises RequestInvalid."""
    # The service reads no files, so an address is all that a body can name.
    return check_body(given.body, replace(fixed.sources(fixed.service), local=False))


def purchase_options(fixed: ToolSettings, given: GenerateBody) -> dict[str, Any]:
    """What surrounds the purchase."""
    return {"max_buzz": fixed.limit(given.max_buzz), "purpose": PURPOSE, "tell": fixed.tell}


def run_body(fixed: ToolSettings, given: GenerateBody) -> Steps:
    """What civitai_generate_image does with a body."""
    body, rules = check_allowed(fixed, given), purchase_options(fixed, given)
    out = fixed.folder(given.folder)
    if given.estimate_only:
        return (yield from _estimate(body, rules["max_buzz"]))
    try:
        if given.wait_seconds == 0:
            workflow = yield lambda client: client.submit(
                WorkflowBody(body), told=fixed.told, out=out, **rules
            )
            return running_result(summarize_unsaved(workflow))
        generation = yield lambda client: client.generate(
            WorkflowBody(body), out=out, timeout=given.wait_seconds, **rules
        )
    except StillRunning as error:
        return still_running_result(error)
    small = yield from add_thumbnails(given.include_image, generation)
    return Result(generation_data(generation), generation, small)


def _estimate(body: Mapping[str, Any], limit: int) -> Steps:
    quote = yield lambda client: client.estimate(WorkflowBody(body))
    within = quote.total is not None and quote.total <= limit
    data = {"buzz": quote.total, "enough_buzz": not quote.insufficient_buzz}
    return Result({**data, "within_limit": within, "limit": limit}, quote)
