"""An engine of tomorrow, by the switch of that name: what a client can't have heard of.

`comfy aurora sketch` makes and edits: with a mask, sizes by name (one of them says no shape) and a
mood. Beside it, a form that is known today has a field and a value more.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.forms import ABSENT, ComfyBare, Create, Edit, LongText, Quantity4, Wire
from civitai_skill.engines.published import ours
from civitai_skill.engines.published.grow import grown_form
from civitai_skill.engines.sizing import Named
from civitai_skill.schema.types import Mask, Number, Picture


class Aurora(ComfyBare):
    """What both of its forms share."""

    sizing = Named(
        ("image_size",),
        {"square": (1024, 1024), "portrait_3_4": (768, 1024), "landscape_16_9": (1280, 720),
         "poster": (768, 1152)},
    )  # fmt: skip
    ecosystem: Literal["aurora"] = "aurora"
    model_name: Literal["sketch"] = Field("sketch", alias="model")
    prompt: LongText
    negative_prompt: LongText | None = None
    guidance: Annotated[Number, Field(ge=0, le=12)] = Field(4.0, alias="guidanceScale")
    quantity: Quantity4 = Field(1, alias="numImages")
    image_size: Literal["square", "portrait_3_4", "landscape_16_9", "poster"] = "square"
    mood: Literal["calm", "wild"] = "calm"


class AuroraCreate(Aurora, Create):
    pass


class AuroraEdit(Aurora, Edit):
    images: Annotated[list[Picture], Field(min_length=1, max_length=2)] = ABSENT
    mask: Mask | None = Field(None, alias="maskImage")


NEW_FORMS: tuple[type[Wire], ...] = (AuroraCreate, AuroraEdit)

#: The form that is known today, and what it has more.
_KNOWN = {"engine": "sdcpp", "ecosystem": "zImage", "model": "turbo", "operation": "createImage"}
_MORE = {"glow": {"type": "number", "minimum": 0, "maximum": 1}, "sampleMethod": ["euler_next"]}


@cache
def forms(tomorrow: bool = False) -> tuple[type[Wire], ...]:
    """Every wire form that the sandbox takes; with `tomorrow` those that nobody knows yet too."""
    if not tomorrow:
        return ours.forms()
    grown = (grown_form(form, _MORE) if form.tags() == _KNOWN else form for form in ours.forms())
    return (*grown, *NEW_FORMS)
