"""The schemas that the sandbox alone has: the workflow and its steps around a picture, an older
step, and an engine of tomorrow.

The forms of the inputs are the engines' and the steps' own (`civitai_skill.engines`,
`civitai_skill.steps`). An enum that the document gives by reference may be null wherever it stands.
textToImage is what official clients still send and the service phases out. By the switch of that
name there is what a client can't have heard of: `comfy aurora sketch` makes and edits, with a mask,
sizes by name (one of them says no shape) and a mood; and a form that is known today has a field and
a value more.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from civitai_skill.engines import forms as bases
from civitai_skill.engines.forms import ABSENT, Wire, WireObject
from civitai_skill.engines.published import ours
from civitai_skill.engines.published.grow import grown_form
from civitai_skill.engines.sizing import Named, Pixels, Size
from civitai_skill.schema.types import AirText, Flag, Mask, Number, Picture, Text, Whole
from civitai_skill.steps.form import StepForm


class Shape(BaseModel):
    """A closed object with camel-case names."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, regex_engine="python-re"
    )


def _unlike(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("must not hold the same tag twice")
    return values


Currency = Literal["yellow", "blue", "green", "fakeRed"]
Level = Literal["pg", "pg13", "r", "x", "xxx", "na"]
Metadata = dict[str, Any]
_KEY = "^[A-Za-z0-9_-]+$"
_EVENT = (
    r"(workflow|step|job):"
    r"(\*|unassigned|preparing|scheduled|processing|succeeded|failed|expired|canceled)\Z"
)


class Callback(Shape):
    """Schema WorkflowCallback."""

    url: Text
    type: list[Annotated[str, Field(strict=True, pattern=_EVENT)]]
    detailed: Flag | None = None


class Tips(Shape):
    """Schema WorkflowTips: rates on top of the price."""

    civitai: Annotated[Number, Field(ge=0, le=2)]
    creators: Annotated[Number, Field(ge=0, le=2)]


class Template(Shape):
    """Schema WorkflowTemplate; its steps are checked one by one."""

    metadata: Metadata | None = None
    tags: Annotated[list[Text], Field(max_length=10), AfterValidator(_unlike)] | None = None
    steps: Annotated[list[Any], Field(min_length=1)]
    callbacks: list[Callback] | None = None
    tips: Tips | None = None
    arguments: Metadata | None = None
    nsfw_level: Level | None = None
    experimental: Flag | None = None
    allow_mature_content: Flag | None = None
    upgrade_mode: Literal["manual", "automatic"] | None = None
    currencies: list[Currency | None] = []
    ephemeral: Flag | None = None
    download_priority: Literal["high", "normal", "low"] | None = None
    external_id: Annotated[str, Field(strict=True, max_length=128, pattern=_KEY)] | None = None


class Step(Shape):
    """Schema WorkflowStepTemplate with an input, which is checked by the step's type."""

    type: Text = Field(alias="$type")
    name: Text | None = None
    priority: Literal["high", "normal", "low"] | None = None
    timeout: Text | None = None
    retries: Whole | None = None
    metadata: Metadata | None = None
    input: Annotated[dict[str, Any], Field(strict=True)]


# -- updates -------------------------------------------------------------------------------------
class Update(Shape):
    """Schema UpdateWorkflowRequest."""

    status: Literal["canceled"] | None = None
    metadata: Metadata | None = None
    tags: list[Text] | None = None
    allow_mature_content: Flag | None = None


class StepUpdate(Shape):
    """Schema UpdateWorkflowStepRequest."""

    metadata: Metadata


# -- known to the service, not to the sandbox ----------------------------------------------------
OTHER_STEPS = frozenset({
    "aceStepAudio", "ageClassification", "audioCaptioning", "blobArchive", "chatCompletion",
    "comfy", "comfyNodepackSnapshot", "composeMedia", "customComfy", "echo",
    "imageResourceTraining", "imageUpload", "mediaHash", "miniMaxMusic3", "model3DPreview",
    "modelClamScan", "modelHash", "modelParseMetadata", "modelPickleScan", "polyGen",
    "preprocessImage", "qwenImageBench", "shieldstralModeration", "textToSpeech",
    "training", "transcode", "transcription", "videoBackgroundRemoval", "videoEnhancement",
    "videoFrameExtraction", "videoGen", "videoInterpolation", "videoMetadata", "videoUpscaler",
    "xGuardModeration",
})  # fmt: skip


# -- an older step ---------------------------------------------------------------------------------
_Sampler = Literal[
    "eulerA", "euler", "lms", "heun", "dpM2", "dpM2A", "dpM2SA", "dpM2M", "dpmsde", "dpmFast",
    "dpmAdaptive", "lmsKarras", "dpM2Karras", "dpM2AKarras", "dpM2SAKarras", "dpM2MKarras",
    "dpmsdeKarras", "ddim", "plms", "uniPC", "undefined", "lcm", "ddpm", "deis", "dpM3MSDE",
]  # fmt: skip
_Side = Annotated[Whole, Field(ge=64, le=4084)]
_Count = Annotated[Whole, Field(ge=1, le=100)]


class Network(WireObject):
    """Schema ImageJobNetworkParams."""

    strength: Number | None = None
    trigger_word: Text | None = None
    type: Text | None = None


class TextToImage(StepForm):
    """Schema TextToImageInput, into which no request is translated. It requires seed and cfgScale,
    which official examples leave out; the service fills them in."""

    kind = "textToImage"
    gives = "output.images[0]"
    raster = True
    does = "draws pictures, as older clients ask for them"
    charges = "not documented"
    sizing: ClassVar[Pixels] = Pixels()

    quantity: _Count = 1
    batch_size: _Count = 1
    model: bases.ModelAir = "urn:air:sd1:checkpoint:civitai:4384@128713"
    additional_networks: dict[AirText, Network] = {}
    control_nets: list[bases.ControlNet] = []
    prompt: Text
    negative_prompt: Text | None = None
    scheduler: _Sampler | None = None
    steps: bases.Steps150 = 30
    cfg_scale: Annotated[bases.Guidance30, Field(ge=1)] = 7.5
    width: _Side = 512
    height: _Side = 512
    seed: Annotated[Whole, Field(ge=0, le=2**32 - 1)] = ABSENT
    clip_skip: Whole = 2
    image_metadata: Text | None = None
    engine: Text | None = None
    output_format: Literal["png", "jpeg", "webP"] | None = None
    source_image: Text | None = None
    # Spelled so by the document.
    strength: Number = Field(0.8, alias="sourceImageDenoiseStrenght")

    def buzz(self, source: Size | None = None) -> None:
        return None


# -- of tomorrow -----------------------------------------------------------------------------------
class Aurora(bases.ComfyBare):
    """What both of its forms share."""

    sizing = Named(
        ("image_size",),
        {"square": (1024, 1024), "portrait_3_4": (768, 1024), "landscape_16_9": (1280, 720),
         "poster": (768, 1152)},
    )  # fmt: skip
    ecosystem: Literal["aurora"] = "aurora"
    model_name: Literal["sketch"] = Field("sketch", alias="model")
    prompt: bases.LongText
    negative_prompt: bases.LongText | None = None
    guidance: Annotated[Number, Field(ge=0, le=12)] = Field(4.0, alias="guidanceScale")
    quantity: bases.Quantity4 = Field(1, alias="numImages")
    image_size: Literal["square", "portrait_3_4", "landscape_16_9", "poster"] = "square"
    mood: Literal["calm", "wild"] = "calm"


class AuroraCreate(Aurora, bases.Create):
    pass


class AuroraEdit(Aurora, bases.Edit):
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
