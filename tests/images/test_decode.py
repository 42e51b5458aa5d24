"""Pictures from elsewhere: nothing that tells about people travels, and nothing is encoded anew."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from civitai_skill.images.decode import Unreadable, decode, strip_metadata
from civitai_skill.images.sources import open_source

SECRET = b"52.5163 N, 13.3777 E, Pariser Platz"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photo(kind: str = "JPEG", size: tuple[int, int] = (48, 32), **more: Any) -> bytes:
    picture = Image.effect_mandelbrot(size, (-2, -1, 1, 1), 60).convert("RGB")
    out = io.BytesIO()
    picture.save(out, kind, **more)
    return out.getvalue()


def pixels(data: bytes) -> bytes:
    with decode(data, ["JPEG", "PNG"], 10**6) as picture:
        return bytes(picture.tobytes())


def behind_start(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment behind its first two bytes."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def chunked(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk right before its end."""
    out = io.BytesIO()
    PngImagePlugin.putchunk(out, name, body)
    return data[:-12] + out.getvalue() + data[-12:]


def sourced(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    source = open_source(str(path))
    assert not isinstance(source, str)
    return source.data


TELLING = {
    "EXIF": behind_start(photo(), 0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + SECRET),
    "XMP": behind_start(photo(), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET),
    "extended XMP": behind_start(photo(), 0xE1, b"http://ns.adobe.com/xmp/extension/\0" + SECRET),
    "IPTC": behind_start(photo(), 0xED, b"Photoshop 3.0\0" + SECRET),
    "a comment": behind_start(photo(), 0xFE, SECRET),
    "a maker's segment": behind_start(photo(), 0xEB, SECRET),
    "a thumbnail": behind_start(photo(), 0xE0, b"JFXX\0\x10" + SECRET),
    "a picture behind it": photo() + behind_start(photo(), 0xFE, SECRET),
    "a progressive one": behind_start(photo(progressive=True), 0xFE, SECRET),
    "EXIF that can't be read": behind_start(photo(), 0xE1, b"Exif\0\0II*\0\xff\xff" + SECRET),
    "text of a PNG": chunked(photo("PNG"), b"tEXt", b"Location\0" + SECRET),
    "a chunk of nobody's": chunked(photo("PNG"), b"teSt", SECRET),
    "EXIF of a PNG": chunked(photo("PNG"), b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0" + SECRET),
    "bytes behind a PNG": photo("PNG") + SECRET,
}


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_about_people_is_cut_out_and_the_pixels_stay(name: str, tmp_path: Path) -> None:
    data = TELLING[name]
    bare = sourced(tmp_path / "photo", data)
    assert SECRET in data
    assert SECRET not in bare
    assert pixels(bare) == pixels(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_plain_picture_travels_as_it_is(kind: str, tmp_path: Path) -> None:
    data = photo(kind, icc_profile=PROFILE)
    assert sourced(tmp_path / "plain", data) == data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_profile_of_the_colours_is_kept(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    bare = sourced(tmp_path / "photo", photo(kind, exif=exif, icc_profile=PROFILE))
    with Image.open(io.BytesIO(bare)) as picture:
        assert picture.info["icc_profile"] == PROFILE
        assert picture.size == ((48, 32) if orientation == 1 else (32, 48))
        assert dict(picture.getexif()) == {}
    assert SECRET not in bare


def test_the_first_of_several_pictures_in_a_jpeg_travels(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (48, 32), colour) for colour in ("red", "blue"))
    out = io.BytesIO()
    first.save(out, "MPO", save_all=True, append_images=[second])
    bare = sourced(tmp_path / "two.jpg", out.getvalue())
    with decode(bare, ["JPEG"], 10_000) as picture:
        assert picture.format == "JPEG"
        assert picture.getpixel((5, 5))[0] > 200


def test_a_picture_may_be_larger_than_the_hosts_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = photo(size=(64, 64))
    with decode(data, ["JPEG"], 64 * 64) as picture:
        assert picture.size == (64, 64)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Unreadable, match="million pixels"), decode(data, ["JPEG"], 64 * 64 - 1):
        pass


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_mangled_picture_is_more_than_unreadable(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = photo(kind, exif=exif)
    draw = random.Random(7)
    readable = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            data[draw.randrange(len(data) // 2)] = draw.randrange(256)
        strip_metadata(bytes(data), kind)
        try:
            with decode(bytes(data), ["JPEG", "PNG", "WEBP"], 10**6):
                readable += 1
        except Unreadable:
            pass
    assert 0 < readable < 600
