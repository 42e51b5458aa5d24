"""A contact sheet: every picture in its place, captions below, honest about what can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from civitai_skill.errors import RequestInvalid
from civitai_skill.gallery.sheet import CELL, GAP, Entry, write_sheet


def colour(sheet: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = sheet.getpixel((x, y))
    assert isinstance(found, tuple)
    return tuple(round(part / 50) for part in found[:3])


def test_pictures_stand_in_order_with_their_captions(tmp_path: Path) -> None:
    Image.new("RGB", (1024, 768), (200, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGBA", (300, 300), (0, 200, 0, 255)).save(tmp_path / "b.webp")
    entries = [
        Entry(tmp_path / "a.png", ("one", "x" * 300)),
        Entry(tmp_path / "b.webp", ("two",)),
        Entry(None, ("three", "failed")),
    ]
    file = write_sheet(entries, tmp_path / "new" / "sheet.png", heading="猫 heading")

    with Image.open(file) as sheet:
        assert sheet.width == GAP + 3 * (CELL + GAP)
        middle = GAP + CELL // 2
        assert colour(sheet, middle, 250) == (4, 0, 0)
        assert colour(sheet, middle + CELL + GAP, 250) == (0, 4, 0)
        assert colour(sheet, middle + 2 * (CELL + GAP), 250) == (5, 5, 5)
        below = sheet.crop((0, sheet.height - 70, sheet.width, sheet.height)).convert("L")
        assert below.getextrema()[0] < 60, "captions are written"


def test_a_sheet_of_nothing_or_of_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    for entries in ([], [Entry(tmp_path / "a.png")], [Entry(tmp_path / "gone.png")]):
        with pytest.raises(RequestInvalid):
            write_sheet(entries, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
