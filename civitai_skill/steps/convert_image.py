"""convertImage: another file format, another width, blurred regions, no metadata; on the service.

What is brought home is converted here and for nothing; this serves what stays on the service.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines.forms import WireObject
from civitai_skill.engines.sizing import Size
from civitai_skill.schema.types import Flag, Picture, Whole
from civitai_skill.steps.form import StepForm

#: Pixels of the widest picture that a resize makes.
WIDEST = 4096

Percent = Annotated[Whole, Field(ge=1, le=100)]


class Region(WireObject):
    """Schema BlurRegion, in pixels."""

    x1: Whole
    y1: Whole
    x2: Whole
    y2: Whole


class Resize(WireObject):
    """Schema ResizeTransform; the height follows."""

    type: Literal["resize"] = "resize"
    target_width: Annotated[Whole, Field(ge=1, le=WIDEST)] | None = None


class Blur(WireObject):
    """Schema BlurTransform."""

    type: Literal["blur"] = "blur"
    blur: Percent
    mode: Literal["include", "exclude"] | None
    regions: list[Region] = []


class PngOutput(WireObject):
    """Schemas ImageOutputFormat and PngOutputFormat."""

    format: Literal["png"] = "png"
    hide_metadata: Flag


class JpegOutput(PngOutput):
    """Schema JpegOutputFormat."""

    format: Literal["jpeg"] = "jpeg"  # type: ignore[assignment]
    quality: Percent = 85


class WebpOutput(PngOutput):
    """Schema WebpOutputFormat."""

    format: Literal["webp"] = "webp"  # type: ignore[assignment]
    quality: Percent = 85
    lossless: Flag = False
    max_frames: Whole | None = None


class GifOutput(PngOutput):
    """Schema GifOutputFormat."""

    format: Literal["gif"] = "gif"  # type: ignore[assignment]
    max_frames: Whole | None = None


class Convert(StepForm):
    """Schema ConvertImageInput."""

    kind = "convertImage"
    gives = "output.blob"
    raster = True
    does = "saves as another format, narrower or wider, without metadata"
    charges = "1 Buzz"
    notes = ("What is brought home is converted here instead, for nothing.",)

    image: Picture
    transforms: list[Annotated[Resize | Blur, Field(discriminator="type")]] = []
    output: Annotated[
        JpegOutput | PngOutput | WebpOutput | GifOutput, Field(discriminator="format")
    ]

    def drawn(self, source: Size) -> Size:
        width, height = source
        for transform in self.transforms:
            target: Any = getattr(transform, "target_width", None)
            if target is not None:
                width, height = target, max(1, round(height * target / width))
        return width, height
