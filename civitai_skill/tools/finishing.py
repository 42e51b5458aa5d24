"""What a model may say to the tool that finishes pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from civitai_skill.schema.types import Bounds, Buzz, Text, Whole, lower
from civitai_skill.tools import arguments


class FinishImage(arguments.Arguments):
    """What shall become of pictures that are there."""

    images: Annotated[
        list[Text], BeforeValidator(arguments.to_list), Field(min_length=1, max_length=24)
    ] = Field(description="Local paths or https URLs.")
    upscale: Annotated[Whole, Bounds(1, 3)] | None = Field(
        default=None, description="Passes; each doubles."
    )
    remove_background: bool = Field(default=False, description="true: a transparent PNG.")
    exact: Text | None = Field(default=None, description="Such as 256x256.")
    crop: Text | None = Field(
        default=None, description="800x600 (middle), 800x600+LEFT+TOP, or 16:9."
    )
    svg: Annotated[Literal["vtracer", "starvector", "omnisvg"], BeforeValidator(lower)] | None = (
        Field(default=None, description="vtracer for logos.")
    )
    caption: bool = Field(default=False, description="true: in words.")
    auto_tags: bool = Field(default=False, description="true: tags.")
    rate: bool = Field(default=False, description="true: maturity.")
    output_format: Annotated[Literal["jpeg", "png", "webp"], BeforeValidator(lower)] | None = Field(
        default=None, description="Free."
    )
    quality: Annotated[Whole, Bounds(1, 100)] | None = Field(
        default=None, description="JPEG, WebP."
    )
    width: Annotated[Whole, Bounds(1)] | None = Field(default=None, description="Pixels.")
    strip_metadata: bool = Field(default=False, description="true: free.")
    max_buzz: Buzz | None = Field(default=None, description="Refuse above it.")
    wait_seconds: arguments.Seconds = Field(
        default=arguments.WAIT, description=f"Default {arguments.WAIT}; 0 only submits."
    )
    estimate_only: bool = Field(default=False, description="true: only the price.")
    folder: Text | None = Field(default=None, description=arguments.FOLDER)
    include_image: arguments.IncludeImage = Field(default="no", description=arguments.SEE)
