"""A workflow of the service's own form as a tool's argument, beside the shaped ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.types import Buzz, Text
from civitai_skill.tools.arguments import (
    WAIT,
    Arguments,
    IncludeImage,
    Seconds,
    is_given,
    unpack_json,
)
from civitai_skill.tools.reading import read_arguments

NAME = "civitai_generate_image"

_BESIDE = (
    "nothing but max_buzz, wait_seconds, estimate_only, folder, include_image and again beside it"
)
DESCRIPTION = (
    "Instead of prompt and its settings, for experts: a whole workflow template of the service's "
    f"own form, imageGen and finishing steps only; {_BESIDE}."
)


class GenerateBody(Arguments):
    """What may be said with a body."""

    body: Annotated[dict[str, Any], BeforeValidator(unpack_json)]
    max_buzz: Buzz | None = None
    wait_seconds: Seconds = WAIT
    estimate_only: bool = False
    folder: Text | None = None
    include_image: IncludeImage = "no"
    again: bool = False


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
    for own in ("include_image", "wait_seconds"):
        kept.setdefault(own, fields[own].default)
    found = read_arguments({NAME: GenerateBody}, NAME, kept)
    assert isinstance(found, GenerateBody)
    return found
