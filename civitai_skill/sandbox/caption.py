"""The caption on every sandbox picture: that it is one, the prompt, and what made it."""

from __future__ import annotations

import math
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

_INK, _PALE, _BADGE, _BADGE_INK = "#ffffff", "#d7dde5", "#ffb703", "#1a1200"
_SHADE = (12, 16, 24)
_SMALLEST = 8


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def write(picture: Image.Image, prompt: str, facts: str) -> None:
    """Write the caption onto an RGB picture, as large as it may be read comfortably.

    Small pictures give it all their room; a prompt that does not fit ends in an ellipsis.
    """
    width, height = picture.size
    ideal = math.sqrt(width * height) / 36
    margin = max(2, round(ideal * 0.7)) if min(width, height) >= 160 else 2
    room = height - 2 * margin if height < 220 else round(height * 0.42)
    inner = width - 2 * margin - 2 * _pad(margin)
    size = max(_SMALLEST + 1, round(ideal))
    floor = max(_SMALLEST, round(ideal * 0.55))
    while True:
        small = max(_SMALLEST, round(size * 0.72))
        lines = wrapped(" ".join(prompt.split()), size, inner)
        below = wrapped(facts, small, inner)
        badge = round(small * 1.5)
        spare = room - 2 * _pad(margin) - badge - _step(small) * len(below)
        if _step(size) * len(lines) <= spare or size <= floor:
            break
        size -= 1
    if _step(size) * len(lines) > spare and room < 160:
        # No room for both: the prompt is worth more than what made the picture.
        below, spare = [], room - 2 * _pad(margin) - badge
    fitting = max(1, int(spare // _step(size)))
    if len(lines) > fitting:
        lines = [*lines[: fitting - 1], _cut(lines[fitting - 1], size, inner)]
    tall = 2 * _pad(margin) + badge + _step(size) * len(lines) + _step(small) * len(below)
    top = max(margin, height - margin - tall)
    _panel(picture, (margin, top, width - margin, min(height - margin, top + tall)))
    draw = ImageDraw.Draw(picture)
    x, y = margin + _pad(margin), top + _pad(margin)
    _badge(draw, x, y, small)
    y += badge + max(0, round(small * 0.1))
    for line in lines:
        draw.text((x, y), line, fill=_INK, font=_font(size))
        y += _step(size)
    for line in below:
        draw.text((x, y), line, fill=_PALE, font=_font(small))
        y += _step(small)


def badge(picture: Image.Image) -> None:
    """Only the mark, in a corner."""
    size = max(_SMALLEST, round(math.sqrt(picture.width * picture.height) / 40))
    _badge(ImageDraw.Draw(picture), size // 2, size // 2, size)


def _badge(draw: ImageDraw.ImageDraw, x: int, y: int, size: int) -> None:
    text, font = "SANDBOX", _font(size)
    pad = max(1, round(size * 0.3))
    wide, tall = round(font.getlength(text)), round(size * 1.3)
    draw.rounded_rectangle((x, y, x + wide + 2 * pad, y + tall), pad, fill=_BADGE)
    draw.text((x + pad, y + tall / 2), text, fill=_BADGE_INK, font=font, anchor="lm")


def _panel(picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    part = picture.crop(box)
    dark = Image.blend(part, Image.new("RGB", part.size, _SHADE), 0.72)
    mask = Image.new("L", part.size, 0)
    radius = max(1, min(part.size) // 14)
    corner = (0, 0, part.width - 1, part.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corner, radius, fill=255)
    picture.paste(dark, box[:2], mask)


def _pad(margin: int) -> int:
    return max(2, round(margin * 0.6))


def _step(size: int) -> int:
    return round(size * 1.28)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Text in lines of at most `width` pixels; a word that is too long is broken."""
    font = _font(size)
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while len(word) > 1 and font.getlength(word) > width:
            fits = max(1, _fitting(word, font, width))
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines


def _fitting(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> int:
    low, high = 0, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(word[:middle]) <= width else (low, middle - 1)
    return low


def _cut(line: str, size: int, width: int) -> str:
    font = _font(size)
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
