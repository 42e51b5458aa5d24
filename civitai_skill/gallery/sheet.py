"""A contact sheet: pictures side by side, each with its caption below, under one heading."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.storage.files import write_atomic

if TYPE_CHECKING:
    from PIL import Image

#: Pixels: the side that a picture fits into, what is left free around it, and a line of text.
CELL, GAP, LINE = 512, 16, 22
#: Pictures on one sheet; more are no comparison, and a file that few programs show.
MOST = 48
_INK, _PALE, _PAPER = "#1c1c1c", "#8a8a8a", "#ffffff"


@dataclass(frozen=True)
class Entry:
    """A picture on the sheet, or None where there is none, and the lines below it."""

    picture: Path | None
    caption: tuple[str, ...] = ()


def write_sheet(entries: Sequence[Entry], file: Path, heading: str = "") -> Path:
    """Write a JPEG (or what the file's ending says) with all entries, in order.

    Raises RequestInvalid for none or too many, and for a picture that can't be read.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not 1 <= len(entries) <= MOST:
        raise RequestInvalid(Problem("pictures", len(entries), f"1 to {MOST} on a sheet"))
    pictures = [None if entry.picture is None else _fit(entry.picture) for entry in entries]
    cell = max((small.height for small in pictures if small is not None), default=CELL // 2)
    columns = min(len(entries), 4 if len(entries) > 4 else 3 if len(entries) == 3 else 2)
    rows = math.ceil(len(entries) / columns)
    lines = max(len(entry.caption) for entry in entries)
    top = GAP + (LINE + GAP if heading else 0)
    step = cell + lines * LINE + 2 * GAP
    size = (GAP + columns * (CELL + GAP), top + rows * step)
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)

    def write(x: int, y: int, text: str, width: int) -> None:
        while text and draw.textlength(text, font) > width:
            text = text[:-2].rstrip() + "…"
        draw.text((x, y), text, fill=_INK, font=font)

    write(GAP, GAP, heading, size[0] - 2 * GAP)
    for n, (entry, small) in enumerate(zip(entries, pictures, strict=True)):
        x, y = GAP + n % columns * (CELL + GAP), top + n // columns * step
        if small is None:
            draw.rectangle((x, y, x + CELL - 1, y + cell - 1), outline=_PALE)
            draw.text((x + GAP, y + GAP), "no picture", fill=_PALE, font=font)
        else:
            sheet.paste(small, (x + (CELL - small.width) // 2, y + (cell - small.height) // 2))
        for i, line in enumerate(entry.caption):
            write(x, y + cell + 4 + i * LINE, " ".join(line.split()), CELL)
    data = io.BytesIO()
    kind = {".png": "PNG", ".webp": "WEBP"}.get(file.suffix.lower(), "JPEG")
    sheet.save(data, kind, quality=90)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, data.getvalue())
    except OSError as error:
        problem = Problem("out", str(file), "a file that can be written", None, str(error.strerror))
        raise RequestInvalid(problem) from None
    return file


def _fit(path: Path) -> Image.Image:
    """A picture that fits into a cell, on white where it is transparent."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * CELL, 2 * CELL))
            turned = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        why = getattr(error, "strerror", None) or "it can't be read as a picture"
        raise RequestInvalid(Problem("picture", str(path), "a picture", None, why)) from None
    turned.thumbnail((CELL, CELL))
    flat = Image.new("RGB", turned.size, _PAPER)
    flat.paste(turned, mask=turned.getchannel("A"))
    return flat
