"""How a form says the size of its pictures: declared by the form, asked by every reader."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]
Sizes = Mapping[str, Size]

#: What a size counts as while it is not known (pixels).
SQUARE: Size = (1024, 1024)

_SPELT = re.compile(r"\d+x\d+")


def ratio_value(ratio: str) -> float:
    """16:9 as a number; `auto` counts as square."""
    wide, colon, high = ratio.partition(":")
    return float(wide) / float(high) if colon and float(high) else 1.0


def swapped(ratio: str) -> str:
    """9:16 for 16:9."""
    wide, _, high = ratio.partition(":")
    return f"{high}:{wide}"


def by_ratio(text: str) -> Sizes:
    """A table of sizes from its text: `1:1 1024x1024, 16:9 1392x752`."""
    return {ratio: _pixels(size) for ratio, _, size in (p.partition(" ") for p in text.split(", "))}


def _pixels(text: str) -> Size:
    width, _, height = text.partition("x")
    return int(width), int(height)


def size_at(sizes: Sizes, ratio: str) -> Size | None:
    """The pixels of a ratio in a table of landscape and square ones; portrait is turned."""
    if ratio in sizes:
        return sizes[ratio]
    turned = sizes.get(swapped(ratio))
    return None if turned is None else (turned[1], turned[0])


@dataclass(frozen=True)
class Sizing:
    """No size can be chosen. `fields` are the form's attributes that say one."""

    fields: tuple[str, ...] = ()

    def asked(self, form: Any) -> Size | None:
        """The pixels that a form asks for, where it says pixels."""
        if len(self.fields) != 2:
            return None
        width, height = (getattr(form, name) for name in self.fields)
        return (width, height) if width and height else None

    def shape(self, form: Any) -> str:
        """The shape that a form asks for, in its own words; empty where the service decides."""
        size = self.asked(form)
        return "" if size is None else "x".join(map(str, size))

    def drawn(self, form: Any, source: Size | None) -> Size:
        """The pixels of the pictures, by all that is known; `source` is its first source's size."""
        return self.asked(form) or source or SQUARE


@dataclass(frozen=True)
class Pixels(Sizing):
    """Width and height."""

    fields: tuple[str, ...] = ("width", "height")


@dataclass(frozen=True)
class PixelsOrSource(Pixels):
    """Width and height; left out, those of the source, but for more than `most`."""

    most: Size | None = None


@dataclass(frozen=True)
class FollowsSource(Sizing):
    """The picture takes its source's size.

    `fields` hold it where the service fills them in (the document marks them `readOnly`).
    """

    def drawn(self, form: Any, source: Size | None) -> Size:
        return source or SQUARE


@dataclass(frozen=True)
class Ratio(Sizing):
    """One of the ratios that the form lists; `auto` leaves it to the service.

    `sizes` are the pixels that come back, where they are known; `resolution` is the attribute that
    says the side of the square with as many pixels (1k, 2K), where there is one.
    """

    fields: tuple[str, ...] = ("aspect_ratio",)
    sizes: Sizes = field(default_factory=dict)
    resolution: str = ""

    def shape(self, form: Any) -> str:
        ratio = getattr(form, self.fields[0])
        return "" if ratio in (None, "auto") else str(ratio)

    def drawn(self, form: Any, source: Size | None) -> Size:
        ratio = self.shape(form)
        said = (
            re.match(r"\d+", str(getattr(form, self.resolution, ""))) if self.resolution else None
        )
        side = 1024 * int(said[0]) if said else None
        if not ratio and (source is None or side is None):
            return source or (side or SQUARE[0],) * 2
        known = None if side or not ratio else size_at(self.sizes, ratio)
        if known is not None:
            return known
        value = source[0] / source[1] if not ratio and source else ratio_value(ratio)
        return _covering(value, side or SQUARE[0])


@dataclass(frozen=True)
class Named(Sizing):
    """One of the names that the form lists; `sizes` are their pixels, where the name isn't them."""

    sizes: Sizes = field(default_factory=dict)

    def size(self, name: str) -> Size | None:
        """The pixels of a name; None for `auto`."""
        return _pixels(name) if _SPELT.fullmatch(name) else self.sizes.get(name)

    def ratio(self, name: str) -> str:
        """The ratio of a name."""
        size = self.size(name)
        if size is None:
            return name
        common = math.gcd(*size)
        return f"{size[0] // common}:{size[1] // common}"

    def asked(self, form: Any) -> Size | None:
        name = str(getattr(form, self.fields[0]))
        return self.size(name)

    def shape(self, form: Any) -> str:
        name = str(getattr(form, self.fields[0]))
        return "" if self.size(name) is None else name


def _covering(ratio: float, side: int) -> Size:
    """About the area of a square of this side, in this ratio, each side a multiple of 16."""
    width = max(16, round(side * math.sqrt(ratio) / 16) * 16)
    height = max(16, round(side / math.sqrt(ratio) / 16) * 16)
    return width, height
