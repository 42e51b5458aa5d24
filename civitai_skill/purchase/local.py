"""What a request wants done on this machine, for nothing: size, crop, format, quality, metadata."""

from __future__ import annotations

import math
from dataclasses import replace

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.convert import Conversion
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.finishing import read_exact
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import FinishPlan, Planned

Asked = ImageRequest | FinishRequest | WorkflowBody


def conversion_of(asked: Asked) -> Conversion | None:
    """What becomes of each picture here; None for nothing. Raises RequestInvalid."""
    if isinstance(asked, WorkflowBody) or asked.on_service or asked.svg is not None:
        return None
    quality, width = (getattr(asked, name) for name in asked.local)
    kind = asked.output_format
    if not (quality or width or asked.exact or asked.crop or asked.strip_metadata):
        # What is drawn and not finished, the engine itself saves in this format.
        drawn = isinstance(asked, ImageRequest) and not (asked.upscale or asked.remove_background)
        if kind is None or drawn:
            return None
    try:
        return Conversion(
            crop=asked.crop,
            width=width,
            exact=None if asked.exact is None else read_exact(asked.exact),
            format=None if kind is None else kind.lower(),
            quality=quality,
            metadata=not asked.strip_metadata,
            enlarge=math.inf,
        )
    except RequestInvalid as error:
        raise in_words_of(asked, error) from None


def check_conversion(asked: Asked, conversion: Conversion, plan: Planned) -> None:
    """Refuse before it is paid for what can't be made of pictures of these pixels."""
    drawn = (
        plan.finished if isinstance(plan, FinishPlan) else (getattr(plan, "finished", plan.size),)
    )
    if conversion.exact is None:
        # A width of one's own is enlarged no further than exact pixels are.
        conversion = replace(conversion, enlarge=Conversion().enlarge)
    try:
        for size in drawn:
            if size is not None:
                conversion.size(size)
    except RequestInvalid as error:
        raise in_words_of(asked, error) from None


def in_words_of(asked: Asked, error: RequestInvalid) -> RequestInvalid:
    """The same refusal with the names of the request's own fields."""
    assert not isinstance(asked, WorkflowBody), "a body is not converted here"
    quality, width = asked.local
    own = {"format": "output_format", "quality": quality, "width": width}
    renamed = (replace(p, field=own.get(p.field, p.field)) for p in error.problems)
    return RequestInvalid(*renamed, engine=error.engine, advice=error.advice)


def for_the_service(asked: Asked) -> Asked:
    """The same where nobody brings the pictures home: the service converts them.

    Raises RequestInvalid for what only this machine can do.
    """
    if isinstance(asked, WorkflowBody) or conversion_of(asked) is None:
        return asked
    for name in ("exact", "crop"):
        if getattr(asked, name) is not None:
            why = "is made on this machine, once the picture is here"
            accepted = f"{name} where the picture is waited for"
            raise RequestInvalid(Problem(name, getattr(asked, name), accepted, None, why))
    return asked.model_copy(update={"on_service": True})
