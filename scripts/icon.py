"""Draw the bundle's icon, .claude-plugin/icon.png: 512 pixels square.

    python scripts/icon.py           draw it
    python scripts/icon.py --check   change nothing; exit 1 if it would come out different

A picture frame open at one corner, in it a sun over two hills under an evening sky: a picture that
is still being made. Drawn four times too large and scaled down, so that edges are smooth.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

ICON = Path(__file__).resolve().parent.parent / ".claude-plugin" / "icon.png"
SIDE = 512
FINE = 4
#: Decoders agree on pixels, encoders do not on bytes; this much difference of a channel is none.
SLACK = 2

Colour = tuple[int, int, int]
NIGHT: Colour = (24, 22, 58)
DUSK: Colour = (96, 44, 122)
EMBER: Colour = (246, 126, 96)
GLOW: Colour = (255, 206, 130)
FAR: Colour = (88, 44, 116)
NEAR: Colour = (38, 26, 72)
PALE: Colour = (222, 206, 240)
PAPER: Colour = (252, 247, 238)


def draw() -> Image.Image:
    """The icon, with a transparent outside."""
    side = SIDE * FINE
    sky = _sky(side)
    sun_at, sun = (side * 0.62, side * 0.47), side * 0.13
    glow = Image.new("L", (side, side))
    ImageDraw.Draw(glow).ellipse(_box(sun_at, sun * 1.9), fill=150)
    glow = glow.filter(ImageFilter.GaussianBlur(side * 0.06))
    sky.paste(Image.new("RGB", sky.size, GLOW), mask=glow)
    pen = ImageDraw.Draw(sky)
    pen.ellipse(_box(sun_at, sun), fill=(255, 238, 196))
    for x, y, size in ((0.25, 0.22, 0.017), (0.36, 0.33, 0.012), (0.19, 0.4, 0.011)):
        _star(pen, (side * x, side * y), side * size, PALE)
    pen.polygon(_hill(side, ((0, 0.7), (0.2, 0.53), (0.34, 0.63), (0.5, 0.57), (1, 0.79))), FAR)
    pen.polygon(_hill(side, ((0, 0.87), (0.3, 0.77), (0.52, 0.81), (0.78, 0.64), (1, 0.78))), NEAR)
    picture = Image.new("RGBA", (side, side))
    picture.paste(sky, mask=_rounded(side, 0.0, 0.225))
    _frame(picture, side)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _sky(side: int) -> Image.Image:
    column = Image.new("RGB", (1, side))
    stops = ((0.0, NIGHT), (0.42, DUSK), (0.68, EMBER), (1.0, GLOW))
    for y in range(side):
        at = y / side
        (low, first), (high, second) = next(pair for pair in pairwise(stops) if at <= pair[1][0])
        part = (at - low) / (high - low)
        column.putpixel(
            (0, y), tuple(round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
        )
    return column.resize((side, side))


def _hill(side: int, ridge: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """A ridge through the points, eased so that it rolls, closed along the bottom."""
    points = []
    for (x0, y0), (x1, y1) in pairwise(ridge):
        for step in range(64):
            part = step / 64
            eased = part * part * (3 - 2 * part)
            points.append(((x0 + (x1 - x0) * part) * side, (y0 + (y1 - y0) * eased) * side))
    return [*points, (side, ridge[-1][1] * side), (side, side), (0, side)]


def _frame(picture: Image.Image, side: int) -> None:
    """A paper frame inside the edge, its top right corner opened by a spark."""
    frame = ImageChops.subtract(_rounded(side, 0.105, 0.125), _rounded(side, 0.147, 0.09))
    spark, size = (side * 0.83, side * 0.17), side * 0.115
    gap = Image.new("L", (side, side))
    ImageDraw.Draw(gap).ellipse(_box(spark, size * 1.28), fill=255)
    frame = ImageChops.subtract(frame, gap)
    picture.paste(Image.new("RGBA", picture.size, (*PAPER, 255)), mask=frame)
    _star(ImageDraw.Draw(picture), spark, size, PAPER)


def _star(pen: ImageDraw.ImageDraw, at: tuple[float, float], size: float, fill: Colour) -> None:
    """A spark of four points with hollow sides."""
    x, y = at
    points: list[tuple[float, float]] = []
    tips = ((0, -size), (size, 0), (0, size), (-size, 0))
    for (ax, ay), (bx, by) in zip(tips, (*tips[1:], tips[0]), strict=True):
        for step in range(32):
            part = step / 32
            # A quadratic curve from tip to tip, drawn in towards the centre.
            cx, cy = (ax + bx) * 0.12, (ay + by) * 0.12
            one = ((1 - part) ** 2, 2 * part * (1 - part), part**2)
            points.append(
                (x + one[0] * ax + one[1] * cx + one[2] * bx,
                 y + one[0] * ay + one[1] * cy + one[2] * by)
            )  # fmt: skip
    pen.polygon(points, fill)


def _rounded(side: int, inset: float, radius: float) -> Image.Image:
    mask = Image.new("L", (side, side))
    edge = side * inset
    box = (edge, edge, side - 1 - edge, side - 1 - edge)
    ImageDraw.Draw(mask).rounded_rectangle(box, side * radius, fill=255)
    return mask


def _box(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius


def same(one: Image.Image, other: Image.Image) -> bool:
    """Do two pictures look the same?"""
    if (one.size, one.mode) != (other.size, other.mode):
        return False
    extremes = ImageChops.difference(one, other).getextrema()
    return all(most <= SLACK for _, most in extremes)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw the icon.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if different")
    check = parser.parse_args(arguments).check
    wanted = draw()
    if ICON.exists():
        with Image.open(ICON) as current:
            if same(wanted, current):
                return 0
    if check:
        print("outdated: the icon; run scripts/icon.py")
        return 1
    ICON.parent.mkdir(exist_ok=True)
    wanted.save(ICON, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
