"""Landscapes that nobody asked for: what a sandbox picture shows behind its caption.

Everything follows from one random generator, so the same seed and prompt give the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Size = tuple[int, int]

# Sky at the top, sky at the horizon, the light, the farthest land, the nearest land.
_PALETTES: tuple[tuple[str, str, str, str, str], ...] = (
    ("#1b2a4e", "#f4a261", "#ffe8c2", "#8d6a86", "#141a2e"),
    ("#274690", "#f7c59f", "#fff3d6", "#7a8fbd", "#16213e"),
    ("#0b132b", "#3a506b", "#f5f1d6", "#34506d", "#060a17"),
    ("#4a7c9b", "#e8f1f2", "#ffffff", "#9dbfcf", "#1f4e5f"),
    ("#5f0f40", "#fb8b24", "#ffe3a8", "#a8475c", "#24061c"),
    ("#264653", "#e9c46a", "#fff4cf", "#6f9c85", "#122b2f"),
    ("#3d348b", "#f2a6c2", "#fff0f0", "#8678c4", "#1b1647"),
    ("#10454f", "#bde0d6", "#fdfce8", "#6ea99b", "#07262c"),
    ("#6b4e71", "#f5d5c0", "#fffaf0", "#ad8aa0", "#2c2033"),
    ("#2b2d42", "#ef8354", "#ffe9dd", "#856b77", "#14151f"),
)

# The scene is drawn on at most this many pixels, up to half as wide again as wanted, and then
# brought to its size: shrinking smooths the edges, and a large picture takes no longer to draw.
_CANVAS = 1_300_000


def scene(random: Random, size: Size) -> Image.Image:
    """An RGB landscape of exactly this size."""
    width, height = size
    scale = min(1.5, math.sqrt(_CANVAS / (width * height)))
    canvas = max(32, round(width * scale)), max(32, round(height * scale))
    colours = [_tinted(random, text) for text in random.choice(_PALETTES)]
    horizon = random.uniform(0.45, 0.62)
    picture = _sky(canvas, colours, horizon)
    _light(random, picture, colours, horizon)
    paint = random.choice((_mountains, _sea, _hills))
    paint(random, picture, colours, horizon)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _tinted(random: Random, text: str) -> Colour:
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    shift = random.uniform(-10, 10)
    return _clamp(red + shift), _clamp(green + shift * 0.4), _clamp(blue - shift)


def _clamp(value: float) -> int:
    return int(min(max(value, 0), 255))


def mix(one: Sequence[int], other: Sequence[int], share: float) -> Colour:
    """Between two colours; 0 is the first, 1 the second."""
    red, green, blue = (_clamp(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(size: Size, colours: list[Colour], horizon: float) -> Image.Image:
    rows = bytearray()
    for row in range(256):
        share = min(row / 255 / horizon, 1.0)
        rows += bytes(mix(colours[0], colours[1], share**1.3))
    return Image.frombytes("RGB", (1, 256), bytes(rows)).resize(size, Image.Resampling.BICUBIC)


def _light(random: Random, picture: Image.Image, colours: list[Colour], horizon: float) -> None:
    """A sun or a moon with its glow, and stars where the sky is dark."""
    width, height = picture.size
    if sum(colours[0]) < 170:
        draw = ImageDraw.Draw(picture)
        for _ in range(min(140, width * height // 6000)):
            x, y = random.randrange(width), int(random.random() ** 1.4 * horizon * height)
            draw.point((x, y), fill=mix(colours[0], colours[2], random.uniform(0.4, 1)))
    radius = round(min(width, height) * random.uniform(0.05, 0.1)) + 1
    x = round(width * random.uniform(0.2, 0.8))
    y = round(height * horizon * random.uniform(0.45, 0.85))
    for reach, strength in ((7, 110), (3, 120)):
        side = radius * reach * 2
        glow = Image.radial_gradient("L").point(
            lambda v, s=strength: max(0, 255 - v * 1.42) * s / 255
        )
        mask = glow.resize((side, side), Image.Resampling.BILINEAR)
        picture.paste(colours[2], (x - side // 2, y - side // 2), mask)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), colours[2])


def _ridge(random: Random, width: int, roughness: float) -> Callable[[int], float]:
    """A skyline: a sum of waves, each finer and lower than the one before."""
    waves = [
        (random.uniform(0, math.tau), random.uniform(0.7, 1.3) * 1.9**octave, roughness**octave)
        for octave in range(7)
    ]
    reach = sum(weight for _, _, weight in waves)

    def at(x: int) -> float:
        turn = x / width * math.tau
        return sum(math.sin(p + turn * f) * w for p, f, w in waves) / reach

    return at


def _land(
    random: Random, picture: Image.Image, base: float, swing: float, fill: Colour, rough: float
) -> list[tuple[int, float]]:
    """Fill everything below a skyline; `base` and `swing` are shares of the height."""
    width, height = picture.size
    skyline = _ridge(random, width, rough)
    step = max(1, width // 400)
    line = [(x, (base - skyline(x) * swing) * height) for x in range(0, width + step, step)]
    ImageDraw.Draw(picture).polygon([*line, (width, height), (0, height)], fill=fill)
    return line


def _layers(
    random: Random, picture: Image.Image, colours: list[Colour], horizon: float,
    count: int, swing: float, rough: float,
) -> list[tuple[int, float]]:  # fmt: skip
    line: list[tuple[int, float]] = []
    for i in range(count):
        share = (i + 0.6) / count
        fill = mix(colours[3], colours[4], share**1.1)
        base = horizon + (0.98 - horizon) * share * 0.75
        line = _land(random, picture, base, swing * (1.15 - share * 0.6), fill, rough)
    return line


def _mountains(random: Random, picture: Image.Image, colours: list[Colour], horizon: float) -> None:
    line = _layers(random, picture, colours, horizon, random.randint(4, 6), 0.16, 0.62)
    _trees(random, picture, line, mix(colours[4], (0, 0, 0), 0.35))


def _hills(random: Random, picture: Image.Image, colours: list[Colour], horizon: float) -> None:
    _layers(random, picture, colours, horizon, random.randint(5, 7), 0.11, 0.34)


def _sea(random: Random, picture: Image.Image, colours: list[Colour], horizon: float) -> None:
    """Water to the horizon, an island or two, and light on the waves."""
    width, height = picture.size
    top = round(height * horizon)
    far, near = mix(colours[1], colours[3], 0.55), mix(colours[3], colours[4], 0.75)
    rows = b"".join(bytes(mix(far, near, (row / 63) ** 0.7)) for row in range(64))
    water = Image.frombytes("RGB", (1, 64), rows)
    picture.paste(water.resize((width, max(1, height - top)), Image.Resampling.BICUBIC), (0, top))
    draw = ImageDraw.Draw(picture)
    for share in (0.45, 0.75)[: random.randint(1, 2)]:
        middle, reach = random.uniform(0.1, 0.9) * width, random.uniform(0.14, 0.3) * width
        skyline = _ridge(random, max(1, round(reach)), 0.5)
        peak = random.uniform(0.05, 0.13) * height
        step = max(1, round(reach / 90))
        outline = [
            (middle + x, top - max(0.0, 1 - (x / reach) ** 2) * peak * (1 + 0.45 * skyline(x)))
            for x in range(-round(reach), round(reach) + 1, step)
        ]
        if len(outline) > 2:
            draw.polygon([*outline, (middle + reach, top), (middle - reach, top)],
                         fill=mix(colours[3], colours[4], share))  # fmt: skip
    for _ in range(min(420, height)):
        depth = random.random() ** 1.6
        y = top + depth * (height - top)
        length = (0.012 + 0.05 * depth) * width * random.uniform(0.4, 1.2)
        x = random.uniform(-0.05, 1.0) * width
        colour = mix(mix(far, near, depth**0.7), colours[2], random.uniform(0.06, 0.3))
        draw.line((x, y, x + length, y), fill=colour, width=max(1, round(height * 0.002)))


def _trees(
    random: Random, picture: Image.Image, line: list[tuple[int, float]], fill: Colour
) -> None:
    """Spruces along the nearest skyline."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    tall = min(width, height) * 0.075
    x = 0.0
    while x < width:
        foot = line[min(len(line) - 1, round(x / width * (len(line) - 1)))][1] + tall * 0.12
        size = tall * random.uniform(0.35, 1.0)
        for part in range(3):
            low, high = foot - size * 0.28 * part, foot - size * (0.46 + 0.27 * part)
            half = size * (0.22 - 0.05 * part)
            draw.polygon([(x - half, low), (x + half, low), (x, high)], fill=fill)
        x += tall * random.uniform(0.12, 1.1)
