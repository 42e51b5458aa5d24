"""The forms that the sandbox alone has: an older step, and an engine of tomorrow.

textToImage is what official clients still send and the service phases out. By the switch of that
name there is what a client can't have heard of: `comfy aurora sketch` makes and edits, with a mask,
sizes by name (one of them says no shape) and a mood; and a form that is known today has a field and
a value more.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from civitai_skill.engines.forms import (
    ABSENT,
    ComfyBare,
    ControlNet,
    Create,
    Edit,
    Guidance30,
    LongText,
    ModelAir,
    Quantity4,
    Steps150,
    Wire,
)
from civitai_skill.engines.published import ours
from civitai_skill.engines.published.grow import grown_form
from civitai_skill.engines.sizing import Named
from civitai_skill.schema.types import AirText, Mask, Number, Picture, Text, Whole
from civitai_skill.steps.form import StepForm

_Sampler = Literal[
    "eulerA", "euler", "lms", "heun", "dpM2", "dpM2A", "dpM2SA", "dpM2M", "dpmsde", "dpmFast",
    "dpmAdaptive", "lmsKarras", "dpM2Karras", "dpM2AKarras", "dpM2SAKarras", "dpM2MKarras",
    "dpmsdeKarras", "ddim", "plms", "uniPC", "undefined", "lcm", "ddpm", "deis", "dpM3MSDE",
]  # fmt: skip
_Side = Annotated[Whole, Field(ge=64, le=4084)]
_Count = Annotated[Whole, Field(ge=1, le=100)]


class Network(BaseModel):
    """Schema ImageJobNetworkParams."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    strength: Number | None = None
    triggerWord: Text | None = None
    type: Text | None = None


class TextToImage(StepForm):
    """Schema TextToImageInput, in its own words, into which no request is translated. It requires
    seed and cfgScale, which official examples leave out; the service fills them in."""

    kind = "textToImage"
    gives = "output.images[0]"
    raster = True
    does = "draws pictures, as older clients ask for them"
    charges = "not documented"

    quantity: _Count = 1
    batchSize: _Count = 1
    model: ModelAir = "urn:air:sd1:checkpoint:civitai:4384@128713"
    additionalNetworks: dict[AirText, Network] = {}
    controlNets: list[ControlNet] = []
    prompt: Text
    negativePrompt: Text | None = None
    scheduler: _Sampler | None = None
    steps: Steps150 = 30
    cfgScale: Annotated[Guidance30, Field(ge=1)] = 7.5
    width: _Side = 512
    height: _Side = 512
    seed: Annotated[Whole, Field(ge=0, le=2**32 - 1)] = ABSENT
    clipSkip: Whole = 2
    imageMetadata: Text | None = None
    engine: Text | None = None
    outputFormat: Literal["png", "jpeg", "webP"] | None = None
    sourceImage: Text | None = None
    # Spelled so by the document.
    sourceImageDenoiseStrenght: Number = 0.8


# -- of tomorrow -----------------------------------------------------------------------------------
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
