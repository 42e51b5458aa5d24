"""The pixels of a picture whose wire form does not say them."""

from __future__ import annotations

import math
from typing import Any

from civitai_skill.engines.family import ratio_value
from civitai_skill.engines.wire import Wire
from civitai_skill.sandbox.steps.sources import Size

SQUARE: Size = (1024, 1024)

# What flux1-kontext delivers by ratio (engine guide, size buckets); portrait is the same swapped.
_BY_RATIO: dict[str, Size] = {
    "1:1": SQUARE,
    "4:3": (1344, 1008),
    "3:2": (1512, 1008),
    "16:9": (1792, 1008),
    "21:9": (2352, 1008),
}

# The names that fal gives to its sizes.
_BY_NAME: dict[str, Size] = {
    "square_hd": SQUARE,
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}

# A side of the square that a named resolution covers.
_SIDES = {"1k": 1024, "2k": 2048, "4k": 4096}

_LARGEST = 8192


def pixels(form: Wire, source: Size | None) -> Size:
    """The size of the pictures that a form asks for; `source` is that of its first source."""
    width, height = getattr(form, "width", None), getattr(form, "height", None)
    if form.follows_source:
        return source or SQUARE
    if width and height:
        return width, height
    name = getattr(form, "image_size", None)
    if name is not None:
        return _BY_NAME[name]
    ratio = getattr(form, "aspect_ratio", None)
    side = _SIDES.get(getattr(form, "resolution", None) or "")
    if ratio is None or ratio == "auto":
        if source is None:
            return (side, side) if side else SQUARE
        return _covering(source[0] / source[1], side) if side else source
    return _by_ratio(ratio, side)


def _by_ratio(ratio: str, side: int | None) -> Size:
    swapped = ":".join(reversed(ratio.split(":")))
    if side is None and ratio in _BY_RATIO:
        return _BY_RATIO[ratio]
    if side is None and swapped in _BY_RATIO:
        return _BY_RATIO[swapped][1], _BY_RATIO[swapped][0]
    return _covering(ratio_value(ratio), side)


def _covering(ratio: float, side: int | None) -> Size:
    """About the area of a square of this side, in this ratio, each side a multiple of 16."""
    side = side or 1024
    width = max(16, round(side * math.sqrt(ratio) / 16) * 16)
    height = max(16, round(side / math.sqrt(ratio) / 16) * 16)
    return width, height


def upscaled(source: Size, repeats: int) -> Size:
    """Four times as wide and high for each repeat, but never above 8192 pixels a side."""
    factor = min(4.0**repeats, _LARGEST / max(source))
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def resized(source: Size, transforms: list[dict[str, Any]]) -> Size:
    """The size after the resizing transforms of a convertImage step; the ratio is kept, and no
    side gets above 8192 pixels."""
    width, height = source
    for transform in transforms:
        target = transform.get("targetWidth") if transform.get("type") == "resize" else None
        if isinstance(target, int | float):
            factor = min(target / width, _LARGEST / max(width, height))
            width, height = max(1, round(width * factor)), max(1, round(height * factor))
    return width, height
