"""The landscape behind every caption: sky, sun, ridges and spruces, from one random generator."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageOps

Colour = tuple[int, int, int]

# Sky at the top, sky at the horizon, the sun, the farthest ridge, the nearest one.
_PALETTES = (
    ("#1b2a4e", "#f4a261", "#ffe8c2", "#8d6a86", "#141a2e"),
    ("#4a7c9b", "#e8f1f2", "#ffffff", "#9dbfcf", "#1f4e5f"),
    ("#5f0f40", "#fb8b24", "#ffe3a8", "#a8475c", "#24061c"),
    ("#264653", "#e9c46a", "#fff4cf", "#6f9c85", "#122b2f"),
    ("#3d348b", "#f2a6c2", "#fff0f0", "#8678c4", "#1b1647"),
    ("#10454f", "#bde0d6", "#fdfce8", "#6ea99b", "#07262c"),
)

# The scene is drawn on at most this many pixels, up to half as wide again as wanted, and then
# brought to its size: shrinking smooths the edges, and a large picture takes no longer to draw.
_CANVAS = 1_300_000


def draw_scene(random: Random, wanted: tuple[int, int]) -> Image.Image:
    """An RGB landscape of exactly this size."""
    scale = min(1.5, math.sqrt(_CANVAS / (wanted[0] * wanted[1])))
    width, height = (max(32, round(side * scale)) for side in wanted)
    top, low, light, far, near = (_tint(random, text) for text in random.choice(_PALETTES))
    horizon = random.uniform(0.45, 0.62)
    picture = Image.new("RGB", (width, height), low)
    sky = ImageOps.colorize(Image.linear_gradient("L"), top, low)
    picture.paste(sky.resize((width, round(height * horizon))))
    draw = ImageDraw.Draw(picture)

    radius = round(min(width, height) * random.uniform(0.05, 0.1)) + 1
    x = round(width * random.uniform(0.2, 0.8))
    y = round(height * horizon * random.uniform(0.45, 0.95))
    glow = Image.radial_gradient("L").point(lambda v: max(0, 255 - v * 1.42) * 0.6)
    glow = glow.resize((radius * 12, radius * 12))
    picture.paste(light, (x - radius * 6, y - radius * 6), glow)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), light)

    count, step = random.randint(4, 6), max(1, width // 400)
    for i in range(count):
        share = (i + 0.6) / count
        base, swing = horizon + (0.98 - horizon) * share * 0.75, 0.065 - share * 0.035
        waves = [(random.uniform(0, math.tau), random.uniform(4, 8) * 1.9**k, 0.6**k)
                 for k in range(7)]  # fmt: skip
        ridge = []
        for x in range(0, width + step, step):
            wave = sum(math.sin(begin + x / width * turns) * tall for begin, turns, tall in waves)
            ridge.append((x, height * (base - swing * wave)))
        draw.polygon([*ridge, (width, height), (0, height)], fill=_mix(far, near, share))
    spruce, dark, at = min(width, height) * 0.075, _mix(near, (0, 0, 0), 0.35), 0.0
    while at < width:
        foot = next(y for x, y in ridge if x >= at) + spruce * 0.12
        size = spruce * random.uniform(0.35, 1.0)
        for part in range(3):
            base, peak = foot - size * 0.28 * part, foot - size * (0.46 + 0.27 * part)
            half = size * (0.22 - 0.05 * part)
            draw.polygon([(at - half, base), (at + half, base), (at, peak)], fill=dark)
        at += spruce * random.uniform(0.12, 1.1)
    return picture.resize(wanted, Image.Resampling.BICUBIC)


def _tint(random: Random, text: str) -> Colour:
    """A colour of a palette, a little warmer or colder."""
    red, green, blue = ImageColor.getrgb(text)[:3]
    shift = random.randint(-10, 10)
    return min(max(red + shift, 0), 255), green, min(max(blue - shift, 0), 255)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
