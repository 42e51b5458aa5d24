"""FinishRequest: what shall become of pictures that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema import finishing, pictures
from civitai_skill.schema.parts import Asked
from civitai_skill.schema.types import FieldWords, Format, Picture

#: How many pictures one call finishes; each has steps of its own in one workflow.
MOST_PICTURES = 24


class FinishRequest(Asked):
    """What shall become of pictures: each gets the same.

    `quality` (1 to 100) and `width` (pixels) are those of the saved file. Raises RequestInvalid for
    what can't follow each other, with what can.
    """

    local: ClassVar[tuple[str, str]] = ("quality", "width")

    images: Annotated[
        list[Annotated[Picture, BeforeValidator(pictures.to_text)]],
        Field(min_length=1, max_length=MOST_PICTURES),
        BeforeValidator(pictures.to_list),
        FieldWords(
            "Pictures to finish: https URL, data URL or local file.",
            "SRC",
            tool="Pictures to finish: local paths (as returned here) or https URLs.",
        ),
    ]
    upscale: finishing.Passes = None
    upscale_model: finishing.UpscaleModel = None
    remove_background: finishing.RemoveBackground = None
    svg: finishing.Svg = None
    svg_settings: finishing.SvgSettings = {}
    caption: finishing.Caption = None
    auto_tags: finishing.AutoTags = None
    rate: finishing.Rate = None
    exact: finishing.ExactSize = None
    free: finishing.Free = None
    crop: finishing.Crop = None
    output_format: Annotated[Format | None, FieldWords("jpeg, png or webP.", "F", "--format")] = (
        None
    )
    quality: finishing.FileQuality = None
    width: finishing.FileWidth = None
    strip_metadata: finishing.StripMetadata = None
    on_service: finishing.OnService = None

    @model_validator(mode="after")
    def _something_that_goes_together(self) -> FinishRequest:
        problems = list(finishing.check(self))
        if not any(getattr(self, name) for name in WORK):
            accepted = "one of " + ", ".join(WORK)
            problems.append(Problem("request", None, accepted, None, "says nothing to be done"))
        if problems:
            raise RequestInvalid(*problems)
        return self


def is_finishing(body: Mapping[str, Any]) -> bool:
    """Does a body ask for pictures to be finished, and not for a new one?"""
    return "prompt" not in body and "images" in body and any(name in body for name in WORK)


#: The fields that ask for something of themselves.
WORK = (
    "upscale", "remove_background", "svg", "caption", "auto_tags", "rate", "exact", "crop",
    "output_format", "quality", "width", "strip_metadata",
)  # fmt: skip
