"""The caption on every sandbox picture: that it is one, the prompt, and what made it."""

from __future__ import annotations

import math
import unicodedata
from contextlib import suppress
from functools import cache, lru_cache

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SMALLEST = 8

# Letters of a prompt beyond which no caption ever gets.
_MOST = 4000

# Common fonts with many scripts, as Linux, Windows and macOS name them.
_FACES = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "NotoSans-Regular.ttf", "msyh.ttc",
          "arial.ttf", "PingFang.ttc", "Arial Unicode.ttf")  # fmt: skip

# A code point that no font has.
_NOBODY = "\U0010fffe"


def write(picture: Image.Image, prompt: str, facts: str) -> None:
    """Write the caption as large as it reads well; a prompt too long ends in an ellipsis."""
    width, height = picture.size
    ideal = math.sqrt(width * height) / 36
    margin = 2 if min(width, height) < 160 else max(2, round(ideal * 0.7))
    pad = max(2, round(margin * 0.6))
    inner = width - 2 * (margin + pad)
    room = (height - 2 * margin if height < 220 else round(height * 0.42)) - 2 * pad
    face = find_face(prompt)
    prompt = spell(" ".join(prompt.split())[:_MOST], face)
    least = max(_SMALLEST, round(ideal * 0.55))
    for size in range(max(_SMALLEST + 1, round(ideal)), least - 1, -1):
        small = max(_SMALLEST, round(size * 0.72))
        font, small_font = load_font(size, face), load_font(small)
        head, step, small_step = (round(n * 1.28) for n in (small * 1.25, size, small))
        lines, more = wrap(prompt, font, inner), wrap(facts, small_font, inner)
        fits = (room - head - small_step * len(more)) // step
        if fits >= len(lines):
            break
    else:
        if height < 160:  # no room for both: the prompt is worth more than what made the picture
            fits, more = (room - head) // step, []
        if fits < len(lines):
            *lines, last = lines[: max(fits, 1)]
            while last and font.getlength(f"{last}…") > inner:
                last = last[:-1]
            lines.append(f"{last.rstrip()}…")
    tall = head + step * len(lines) + small_step * len(more) + 2 * pad
    top = max(margin, height - margin - tall)
    box = (margin, top, width - margin, min(height - margin, top + tall))
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rounded_rectangle(box, min(width, tall) // 14, fill=(12, 16, 24, 184))
    x, y = margin + pad, top + pad
    write_badge(picture, x, y, small)
    y += head
    for line in lines:
        draw.text((x, y), line, fill="#ffffff", font=font)
        y += step
    for line in more:
        draw.text((x, y), line, fill="#d7dde5", font=small_font)
        y += small_step


def write_badge(picture: Image.Image, x: int, y: int, size: int) -> None:
    """The word that every picture bears, in letters of this size."""
    draw, font = ImageDraw.Draw(picture), load_font(size)
    pad = max(1, round(size * 0.3))
    right, bottom = x + round(font.getlength("SANDBOX")) + 2 * pad, y + round(size * 1.3)
    draw.rounded_rectangle((x, y, right, bottom), pad, fill="#ffb703")
    draw.text((x + pad, (y + bottom) / 2), "SANDBOX", fill="#1a1200", font=font, anchor="lm")


def wrap(text: str, font: Font, width: int) -> list[str]:
    """Text in lines of at most `width` pixels; a word that is too long is broken."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


# -- fonts ---------------------------------------------------------------------------------------
@lru_cache(maxsize=128)
def load_font(size: int, face: str | None = None) -> Font:
    """A font of this size in pixels; without a face it is Pillow's own, which is plain ASCII."""
    return ImageFont.load_default(size) if face is None else ImageFont.truetype(face, size)


def find_face(text: str) -> str | None:
    """The face that can write most of a text; None for Pillow's own."""
    strange = {letter for letter in text if not letter.isascii()}
    faces = (None, *_installed()) if strange else (None,)
    return max(faces, key=lambda face: sum(_has(face, letter) for letter in strange))


def spell(text: str, face: str | None) -> str:
    """The text with what the face lacks spelt out: accents dropped, else the code point."""
    letters = list(text)
    for i, letter in enumerate(letters):
        if not letter.isascii() and not _has(face, letter):
            plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
            letters[i] = plain or f"<{ord(letter):X}>"
    return "".join(letters)


@cache
def _installed() -> tuple[str, ...]:
    found = []
    for face in _FACES:
        with suppress(OSError):
            load_font(16, face)
            found.append(face)
    return tuple(found)


@lru_cache(maxsize=4096)
def _has(face: str | None, letter: str) -> bool:
    font = load_font(16, face)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NOBODY))
