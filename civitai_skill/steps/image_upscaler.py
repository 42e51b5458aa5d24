"""imageUpscaler: more pixels, by a model that draws the detail in between."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from civitai_skill.engines.sizing import Size
from civitai_skill.schema.types import Picture, Text, Whole
from civitai_skill.steps.form import StepForm

#: The model that the service takes when none is named.
REMACRI = "urn:air:other:upscaler:civitai:147759@164821"


class Upscaler(StepForm):
    """Schema ImageUpscalerInput: each pass doubles width and height."""

    kind = "imageUpscaler"
    gives = "output.blob"
    raster = True
    does = "doubles width and height with each pass"
    charges = "1 Buzz for each started megapixel of the source, doubled with each pass"
    notes = (
        "It keeps no transparency: remove the background after it.",
        f"The model is 4x-Remacri ({REMACRI}) when none is named.",
    )

    image: Picture
    model: Text | None = None
    passes: Annotated[Whole, Field(ge=1, le=3, alias="numberOfRepeats")] = 1

    def buzz(self, source: Size) -> int:
        # Recipe page image-upscaler: 512x512 2, 1024x1024 4, 2048x2048 10, 1024x1024 twice 8.
        megapixels = max(1, math.ceil(source[0] * source[1] / 1_000_000))
        return int(megapixels * 2**self.passes)

    def drawn(self, source: Size) -> Size:
        factor = 2**self.passes
        return source[0] * factor, source[1] * factor
