"""The caption on every sandbox picture: that it is one, the prompt, and what made it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from civitai_skill.sandbox.fonts import Font, face_for, font, spelt

_INK, _PALE, _BADGE, _BADGE_INK = "#ffffff", "#d7dde5", "#ffb703", "#1a1200"
_SHADE = (12, 16, 24)
_SMALLEST = 8

# Letters of a prompt beyond which no caption ever gets.
_MOST = 4000


def write(picture: Image.Image, prompt: str, facts: str) -> None:
    """Write the caption onto an RGB picture, as large as it may be read comfortably.

    Small pictures give it all their room; a prompt that does not fit ends in an ellipsis.
    """
    width, height = picture.size
    margin = 2
    if min(width, height) >= 160:
        margin = max(2, round(_ideal(picture) * 0.7))
    room = height - 2 * margin if height < 220 else round(height * 0.42)
    pad = max(2, round(margin * 0.6))
    inner = width - 2 * (margin + pad)
    text = _laid_out(
        " ".join(prompt.split())[:_MOST], facts, inner, room - 2 * pad, _ideal(picture)
    )
    tall = text.height + 2 * pad
    top = max(margin, height - margin - tall)
    _panel(picture, (margin, top, width - margin, min(height - margin, top + tall)))
    draw = ImageDraw.Draw(picture)
    x, y = margin + pad, top + pad
    _badge(draw, x, y, text.small)
    y += text.badge
    for line in text.lines:
        draw.text((x, y), line, fill=_INK, font=font(text.size, text.face))
        y += _step(text.size)
    for line in text.facts:
        draw.text((x, y), line, fill=_PALE, font=font(text.small))
        y += _step(text.small)


@dataclass(frozen=True)
class _Text:
    """Lines that fit: the prompt's in `face` at `size` pixels, the facts' at `small`."""

    lines: list[str]
    facts: list[str]
    face: str | None
    size: int
    small: int

    @property
    def badge(self) -> int:
        return round(self.small * 1.6)

    @property
    def height(self) -> int:
        return self.badge + _step(self.size) * len(self.lines) + _step(self.small) * len(self.facts)


def _laid_out(prompt: str, facts: str, width: int, height: int, ideal: float) -> _Text:
    face = face_for(prompt)
    prompt = spelt(prompt, face)
    size = max(_SMALLEST + 1, round(ideal))
    floor = max(_SMALLEST, round(ideal * 0.55))
    while True:
        small = max(_SMALLEST, round(size * 0.72))
        lines = wrapped(prompt, font(size, face), width)
        text = _Text(lines, wrapped(facts, font(small), width), face, size, small)
        if text.height <= height or size <= floor:
            break
        size -= 1
    if text.height > height and height < 160:
        # No room for both: the prompt is worth more than what made the picture.
        text = replace(text, facts=[])
    over = math.ceil((text.height - height) / _step(size))
    if over > 0:
        kept = max(1, len(lines) - over)
        last = _cut(lines[kept - 1], font(size, face), width)
        text = replace(text, lines=[*lines[: kept - 1], last])
    return text


def _ideal(picture: Image.Image) -> float:
    """The height of comfortable letters."""
    return math.sqrt(picture.width * picture.height) / 36


def badge(picture: Image.Image) -> None:
    """Only the mark, in a corner."""
    size = max(_SMALLEST, round(_ideal(picture)))
    _badge(ImageDraw.Draw(picture), size // 2, size // 2, size)


def _badge(draw: ImageDraw.ImageDraw, x: int, y: int, size: int) -> None:
    text, face = "SANDBOX", font(size)
    pad = max(1, round(size * 0.3))
    wide, tall = round(face.getlength(text)), round(size * 1.3)
    draw.rounded_rectangle((x, y, x + wide + 2 * pad, y + tall), pad, fill=_BADGE)
    draw.text((x + pad, y + tall / 2), text, fill=_BADGE_INK, font=face, anchor="lm")


def _panel(picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    part = picture.crop(box)
    dark = Image.blend(part, Image.new("RGB", part.size, _SHADE), 0.72)
    mask = Image.new("L", part.size, 0)
    radius = max(1, min(part.size) // 14)
    corner = (0, 0, part.width - 1, part.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corner, radius, fill=255)
    picture.paste(dark, box[:2], mask)


def _step(size: int) -> int:
    return round(size * 1.28)


def wrapped(text: str, face: Font, width: int) -> list[str]:
    """Text in lines of at most `width` pixels; a word that is too long is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if face.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while len(word) > 1 and face.getlength(word) > width:
            fits = max(1, _fitting(word, face, width))
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines


def _fitting(word: str, face: Font, width: int) -> int:
    low, high = 0, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if face.getlength(word[:middle]) <= width else (low, middle - 1)
    return low


def _cut(line: str, face: Font, width: int) -> str:
    while line and face.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
