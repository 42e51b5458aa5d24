"""The published document's schemas around a picture: the workflow and its steps.

The forms of the inputs are the engines' and the steps' own (`civitai_skill.engines`,
`civitai_skill.steps`); what stands here is the rest of a WorkflowTemplate that the sandbox
emulates. An enum that the document gives by reference may be null wherever it stands.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from civitai_skill.schema.types import Flag, Number, Text, Whole


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
