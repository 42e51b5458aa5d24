"""Fonts for captions: Pillow's own, and the system's where a prompt needs other letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Common fonts with many scripts, as Linux, Windows and macOS name them.
_FACES = (
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "msyh.ttc",
    "arial.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
)

# A code point that no font has.
_NOBODY = "\U0010fffe"


@lru_cache(maxsize=128)
def font(size: int, face: str | None = None) -> Font:
    """A font of this size in pixels; without a face it is Pillow's own, which is plain ASCII."""
    return ImageFont.load_default(size) if face is None else ImageFont.truetype(face, size)


def face_for(text: str) -> str | None:
    """The face that can write most of a text; None for Pillow's own."""
    strange = {letter for letter in text if not letter.isascii()}
    if not strange:
        return None
    found = [(sum(_has(face, letter) for letter in strange), face) for face in _installed()]
    best = max(found, default=(0, None), key=lambda pair: pair[0])
    return best[1] if best[0] > sum(_has(None, letter) for letter in strange) else None


def spelt(text: str, face: str | None) -> str:
    """The text with what the face lacks spelt out: accents dropped, else the code point."""
    return "".join(c if c.isascii() or _has(face, c) else _spelling(c) for c in text)


def _spelling(letter: str) -> str:
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or f"<{ord(letter):X}>"


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    return tuple(face for face in _FACES if _is_installed(face))


def _is_installed(face: str) -> bool:
    try:
        font(16, face)
    except OSError:
        return False
    return True


@lru_cache(maxsize=4096)
def _has(face: str | None, letter: str) -> bool:
    drawn = font(16, face)
    return bytes(drawn.getmask(letter)) != bytes(drawn.getmask(_NOBODY))
