"""imageBackgroundRemoval: the subject alone, on transparent ground (BiRefNet)."""

from __future__ import annotations

from typing import Literal

from civitai_skill.engines.sizing import Size
from civitai_skill.schema.types import Picture
from civitai_skill.steps.form import StepForm


class BackgroundRemoval(StepForm):
    """Schema ImageBackgroundRemovalInput. The document lets `format` be null."""

    kind = "imageBackgroundRemoval"
    gives = "output.image"
    raster = True
    does = "makes everything but the subject transparent"
    charges = "about 7 Buzz for a megapixel, 9 for four, 18 for sixteen"
    notes = (
        "One clear subject on a plain ground gives the cleanest edge.",
        "Transparency is kept by png and webp only.",
    )

    image: Picture
    format: Literal["png", "webp"] | None = None

    def buzz(self, source: Size) -> int:
        # Recipe page image-background-removal: 512x768 6, 1024x1024 7, 2048x2048 9, 4096x4096 18.
        megapixels = source[0] * source[1] / 1_000_000
        return max(1, round((4.7 + 0.6 * megapixels) * 10 / 8))
