"""imageToSvg: the picture as curves, which stay sharp at any size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.sizing import Size
from civitai_skill.schema.types import Number, Picture, Text, Whole
from civitai_skill.steps.form import ABSENT, StepForm

Angle = Annotated[Whole, Field(ge=0, le=180)]
Tenth = Annotated[Whole, Field(ge=0, le=10)]


class ToSvg(StepForm):
    """Schema ComfyImageToSvgInput; `ecosystem` says who draws the curves."""

    kind = "imageToSvg"
    gives = "output.svg"
    does = "draws it as an SVG of curves, sharp at any size"
    charges = "not documented; the service is asked"
    notes = (
        "vtracer traces what is there: logos, icons, flat art. starvector and omnisvg are models "
        "that write the SVG anew, for simple icons.",
    )

    engine: Literal["comfy"]
    image: Picture

    def buzz(self, source: Size) -> int | None:
        return None


class Vtracer(ToSvg):
    """Schema VTracerImageToSvgInput."""

    ecosystem: Literal["vtracer"]
    hierarchical: Literal["stacked", "cutout"] = "stacked"
    mode: Literal["spline", "polygon", "none"] = "spline"
    filter_speckle: Annotated[Whole, Field(ge=0, le=100)] = 8
    color_precision: Tenth = 6
    layer_difference: Annotated[Whole, Field(ge=0, le=256)] = 24
    corner_threshold: Angle = 65
    length_threshold: Annotated[Number, Field(ge=3.5, le=10)] = 5
    max_iterations: Annotated[Whole, Field(ge=1, le=70)] = 10
    splice_threshold: Angle = 50
    path_precision: Tenth = 2


class StarVector(ToSvg):
    """Schema StarVectorImageToSvgInput."""

    ecosystem: Literal["starvector"]
    model: Literal["starvector-1b", "starvector-8b"] = "starvector-1b"
    precision: Literal["fp16", "bf16"] = "fp16"
    max_length: Annotated[Whole, Field(ge=100, le=16000)] = 4000


class OmniSvg(ToSvg):
    """Schema OmniSvgImageToSvgInput."""

    ecosystem: Literal["omnisvg"]
    model: Literal["omnisvg-4b", "omnisvg-8b"] = "omnisvg-4b"
    max_length: Annotated[Whole, Field(ge=256, le=2048)] = 1536
    seed: Annotated[Whole, Field(ge=0, le=2**31 - 1)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] = 0.9
    top_k: Annotated[Whole, Field(ge=1, le=1000)] = 50
    temperature: Annotated[Number, Field(ge=0, le=1)] = 0.3
    repetition_penalty: Annotated[Number, Field(ge=0, le=10)] = 1.05
    prompt: Annotated[Text, Field(max_length=1000)] | None = ABSENT


#: By `ecosystem`, which with `engine` selects the form.
TO_SVG: dict[str, type[ToSvg]] = {
    "vtracer": Vtracer,
    "starvector": StarVector,
    "omnisvg": OmniSvg,
}
