"""wdTagging: what is in the picture, as tags with scores."""

from __future__ import annotations

from civitai_skill.schema.types import Number, Picture, Text
from civitai_skill.steps.form import StepForm


class Tagging(StepForm):
    """Schema WDTaggingInput; its picture is an address, never inline bytes."""

    kind = "wdTagging"
    gives = "output.tags"
    does = "tags it, each tag with a score of 0 to 1"
    charges = "1 Buzz"
    notes = ("Models: wd14-vit.v1 (when none is named) and, since September, cl-tagger.v2.",)

    model: Text | None = None
    media_url: Picture
    threshold: Number | None = None
    prompt: Text | None = None
