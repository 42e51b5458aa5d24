"""The pixels that come out of the finishing steps."""

from __future__ import annotations

from typing import Any

from civitai_skill.sandbox.steps.sources import Size

_LARGEST = 8192


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
