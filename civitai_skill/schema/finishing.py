"""What may become of a picture once it is drawn: the fields, and which of them go together.

A request for a picture has them, and a request to finish one that is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator

from civitai_skill.errors import Problem
from civitai_skill.schema import pictures
from civitai_skill.schema.types import (
    AirText,
    Bounds,
    Flag,
    Follows,
    Mask,
    Number,
    Share,
    Text,
    Whole,
    lower,
)

#: What the service's upscaler does at most (schema ImageUpscalerInput).
MOST_PASSES = 3
#: Pixels of a side that is made here; the widest JPEG there can be.
LONGEST_SIDE = 16_384

_EXACT = re.compile(r"(\d{1,5})x(\d{1,5})")


def read_exact(text: str) -> tuple[int, int]:
    """The pixels that `5000x200` means. Raises ValueError."""
    found = _EXACT.fullmatch(text.replace(" ", "").lower())
    if found is None:
        raise ValueError("no size; write it as 5000x200")
    width, height = int(found[1]), int(found[2])
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
        raise ValueError(f"a side is 1 to {LONGEST_SIDE} pixels")
    return width, height


def _check_exact(value: str) -> str:
    read_exact(value)
    return value


def _spell_exact(value: Any) -> Any:
    """Two numbers are a size."""
    if isinstance(value, list | tuple) and all(type(side) is int for side in value):
        return "x".join(map(str, value))
    return value


EnhancePrompt = Annotated[
    Flag | None,
    Follows("Have the prompt reworded for the engine before it draws; the new words are shown."),
]
Inpaint = Annotated[
    Mask | None,
    BeforeValidator(pictures.to_text),
    Follows(
        "Repair a part of the one source picture: a mask of its size, transparent where the "
        "prompt is drawn anew; by an engine that can, where none is named.",
        "SRC",
        help="a mask of the source's size: what is transparent in it is repaired",
    ),
]
Hires = Annotated[
    Annotated[Number, Ge(1), Le(4)] | None,
    Follows("Draw it a second time from the first, so many times as wide and high (1 to 4).", "X"),
]
HiresStrength = Annotated[
    Share | None,
    Follows("How far the second drawing leaves the first, 0 to 1; 0.4 when left out.", "X"),
]
Passes = Annotated[
    Annotated[Whole, Bounds(1, MOST_PASSES)] | None,
    Follows("Upscale it on the service: 1 to 3 passes, each doubles width and height.", "N"),
]
UpscaleModel = Annotated[
    AirText | None, Follows("AIR of the upscaler's model; 4x-Remacri when left out.", "AIR")
]
RemoveBackground = Annotated[Flag | None, Follows("Make everything but the subject transparent.")]
Svg = Annotated[
    Annotated[Literal["vtracer", "starvector", "omnisvg"], BeforeValidator(lower)] | None,
    Follows(
        "Draw it as SVG: vtracer traces it, starvector and omnisvg write simple icons anew.",
        "S",
        help="draw it as SVG: vtracer, starvector or omnisvg",
    ),
]
SvgSettings = Annotated[
    dict[str, Any],
    Follows("Settings of the SVG's maker, such as filterSpeckle or colorPrecision.", "K=V"),
]
Caption = Annotated[Flag | None, Follows("Describe the picture in words.")]
AutoTags = Annotated[Flag | None, Follows("Tag the picture, each tag with a score.")]
Rate = Annotated[Flag | None, Follows("Say how mature the service rates it (pg, pg13, r, x, xxx).")]
ExactSize = Annotated[
    Annotated[Text, BeforeValidator(_spell_exact), AfterValidator(_check_exact)] | None,
    Follows(
        "Exactly these pixels, such as 5000x200 or 256x256: drawn in the nearest shape, enlarged "
        "as needed, and cropped.",
        "WxH",
        help="exactly these pixels, such as 5000x200, enlarged and cropped as needed",
    ),
]
Crop = Annotated[
    Text | None,
    Follows(
        "Cut a part out: 800x600 from the middle, 800x600+LEFT+TOP, or a ratio such as 16:9.",
        "PART",
    ),
]
Free = Annotated[
    Flag | None, Follows("Reach exact pixels without a paid step: enlarge here, however much.")
]
OnService = Annotated[
    Flag | None, Follows("Convert format, quality and width on the service, for 1 Buzz.")
]
StripMetadata = Annotated[Flag | None, Follows("Save it without what its file tells about it.")]
FileQuality = Annotated[
    Annotated[Whole, Bounds(1, 100)] | None, Follows("Of the saved JPEG or WebP, 1 to 100.", "N")
]
FileWidth = Annotated[
    Annotated[Whole, Bounds(1, LONGEST_SIDE)] | None,
    Follows("Pixels of the saved file's width; its height follows.", "PX"),
]


def check(request: Any) -> Iterator[Problem]:
    """What can't follow each other, with what can.

    The request has the fields above, `output_format`, and `file_quality` and `file_width` under
    the names that `request.local` tells.
    """
    quality_name, width_name = request.local
    quality, width = getattr(request, quality_name), getattr(request, width_name)
    kind, exact, crop = request.output_format, request.exact, request.crop
    if request.svg:
        why = "an SVG is drawn from the picture itself and sharp at any size"
        for name in ("upscale", "exact", width_name, "crop"):
            if (value := getattr(request, name)) is not None:
                yield Problem(name, value, f"svg without {name}, or {name} without svg", None, why)
        if kind is not None or quality is not None:
            name = quality_name if kind is None else "output_format"
            yield Problem(name, getattr(request, name), "leave it out", None, "an SVG has none")
    if request.remove_background:
        if kind == "jpeg":
            why = "jpeg keeps no transparency, and the background would be back"
            yield Problem("output_format", "jpeg", "png or webP", "png", why)
        if getattr(request, "background", None) == "opaque":
            why = "contradicts remove_background"
            yield Problem("background", "opaque", "leave it out", None, why)
    for name, other, is_there in (
        ("upscale_model", "upscale", request.upscale or exact),
        ("svg_settings", "svg", request.svg),
        ("free", "exact", exact),
    ):
        if getattr(request, name) and not is_there:
            given, why = getattr(request, name), f"belongs to {other}"
            yield Problem(name, given, f"{other} with it", None, why)
    if exact is not None and width is not None:
        yield Problem(width_name, width, "exact alone", None, "says the same as exact")
    if quality is not None and (kind or ("png" if request.remove_background else "")) == "png":
        accepted = "output_format webP with it, or leave it out"
        why = "a PNG is whole, whatever its quality"
        yield Problem(quality_name, quality, accepted, None, why)
    if exact is not None and crop is not None:
        why = "exact crops by itself, around the middle"
        yield Problem("crop", crop, "exact alone, or crop alone", None, why)
    cut = "exact" if exact is not None else "crop" if crop else None
    if request.on_service and cut is not None:
        why = "the service's conversion sets a width and crops nothing"
        yield Problem("on_service", True, f"leave it out, or {cut}", None, why)


def check_drawing(request: Any) -> Iterator[Problem]:
    """The same of what only a request for a picture has."""
    size = next((n for n in ("aspect_ratio", "width", "height") if getattr(request, n)), None)
    if request.exact is not None and size is not None:
        why = "names a size, and so does exact"
        yield Problem(size, getattr(request, size), "exact alone, or without it", None, why)
    if request.hires_strength is not None and request.hires is None:
        why = "belongs to hires"
        yield Problem("hires_strength", request.hires_strength, "hires with it", None, why)
    if request.inpaint is None:
        return
    if len(request.images) != 1:
        given, why = len(request.images), "it repairs one source picture"
        yield Problem("images", given, "exactly one with inpaint", None, why)
    if request.mask is not None:
        why = "says the same as inpaint"
        yield Problem("mask", request.mask, "inpaint alone, or mask alone", None, why)
