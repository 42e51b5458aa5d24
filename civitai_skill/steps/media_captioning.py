"""mediaCaptioning: what is in the picture, in words."""

from __future__ import annotations

from typing import Literal

from civitai_skill.schema.types import Number, Picture, Text, Whole
from civitai_skill.steps.form import StepForm


class Captioning(StepForm):
    """Schema MediaCaptioningInput; its picture is an address, never inline bytes."""

    kind = "mediaCaptioning"
    gives = "output.caption"
    does = "describes it in words"
    charges = "1 Buzz"
    notes = (
        "joy-caption writes prose; ideogram4 writes JSON with boxes, as the engine ideogram4 "
        "reads it.",
        "Measured: 12 s in the median (service catalogue, 2026-08-31).",
    )

    model: Literal["joy-caption", "ideogram4"] = "joy-caption"
    media_url: Picture
    temperature: Number = 0.5
    max_new_tokens: Whole = 300
    custom_instructions: Text | None = None
