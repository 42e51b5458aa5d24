"""Pictures that somebody else made: opened without trust, and freed of what tells about people.

A picture's own bytes are kept wherever they can be: what is taken out (EXIF with its location, XMP,
IPTC, comments, thumbnails, whatever follows the picture) is cut out of the file, and nothing is
encoded anew.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from civitai_skill.errors import from_clone

#: Pixels of one delivered picture: the largest engine makes 8192 x 4320, an upscaler 16384 x 16384.
MAX_PIXELS = 300_000_000

#: What a delivered picture may be, in Pillow's names, and the suffix of its file.
SUFFIXES = {"JPEG": ".jpeg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}


@dataclass(frozen=True)
class FetchedPicture:
    """The checked bytes of one picture; `size` is pixels, `suffix` what the bytes are."""

    data: bytes
    suffix: str
    size: tuple[int, int]


# What Pillow keeps for the whole process is changed for a moment only, by one thread at a time.
_LOCK = threading.Lock()


@contextmanager
def without_pillow_limits() -> Iterator[None]:
    """Without Pillow's own limit, which is not ours, and warnings that nobody here can heed."""
    from PIL import Image

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


class Unreadable(Exception):
    """The bytes are no whole picture of an accepted kind. `broken` says that it was meant as one,
    so that fetching it again may help; `advice` says what else may."""

    def __init__(self, why: str, *, broken: bool = False, advice: str = "") -> None:
        super().__init__(why)
        self.broken = broken
        self.advice = advice


class ShortOfMemory(Unreadable):
    """The picture may be whole, but this process has not the memory to decode it."""


#: JPEG ends here, and Pillow takes 8 bytes for each line before it reads the first.
_LONGEST_SIDE = 65_535


@contextmanager
def decode(data: bytes, formats: list[str], most: int) -> Iterator[Any]:
    """A decoded picture of at most `most` pixels. Raises Unreadable, also for what the caller does
    with it where memory runs out."""
    picture = open_picture(data, formats)
    size = f"{picture.width}x{picture.height}"
    with picture:
        if picture.width * picture.height > most:
            raise Unreadable(f"{size}, more than {most // 10**6} million pixels")
        if max(picture.size) > _LONGEST_SIDE:
            raise Unreadable(f"{size}, a side of more than {_LONGEST_SIDE} pixels")
        try:
            try:
                picture.load()
            except MemoryError:
                raise
            except Exception:  # decoders raise whatever they stumble over
                raise Unreadable("a broken picture", broken=True) from None
            yield picture
        except MemoryError:
            raise ShortOfMemory(f"{size}, and there is not the memory to decode it") from None


def open_picture(data: bytes, formats: list[str], again: bool = True) -> Any:
    """A picture whose header is read and nothing else. Raises Unreadable."""
    from PIL import Image, UnidentifiedImageError

    if "HEIF" in formats and _is_heic(data):
        try:
            import pillow_heif
        except ImportError:
            advice = f"Save it as jpeg or png, or install the extra. {from_clone('heif')}"
            raise Unreadable("a HEIC picture, which needs an extra", advice=advice) from None
        pillow_heif.register_heif_opener()
    else:
        formats = [name for name in formats if name != "HEIF"]
    try:
        with without_pillow_limits():
            picture = Image.open(io.BytesIO(data), formats=formats)
        if picture.format == "MPO":
            picture.format = "JPEG"  # with more pictures behind it
        return picture
    except UnidentifiedImageError:
        *others, last = (name.lower() for name in formats)
        raise Unreadable(f"not a {', '.join(others)} or {last} picture") from None
    except MemoryError:
        raise ShortOfMemory("a picture that there is not the memory to read") from None
    except Exception:
        # Pillow gives up where the EXIF is broken, though the picture may be whole.
        bare = _strip_jpeg(data) if again and data[:2] == b"\xff\xd8" else None
        if bare is None:
            raise Unreadable("a broken picture", broken=True) from None
        return open_picture(bare, formats, again=False)


_HEIC = re.compile(rb"hei[cxmsf]|hev[cxms]|mif1|msf1")


def _is_heic(data: bytes) -> bool:
    """Is it a phone's HEIC or HEIF, which Pillow alone does not read?"""
    brands = data[8:12] + data[16 : int.from_bytes(data[:4], "big")][:400]
    return data[4:8] == b"ftyp" and b"avi" not in brands and _HEIC.search(brands) is not None


def size_of(data: bytes, formats: list[str]) -> tuple[int, int]:
    """The pixels of a picture, without decoding it. Raises Unreadable."""
    with open_picture(data, formats) as picture:
        return picture.width, picture.height


def orient(picture: Any) -> Any:
    """The picture as it is meant to be seen, by its EXIF orientation; itself where that is so."""
    from PIL.Image import Transpose as To

    ways = (
        To.FLIP_LEFT_RIGHT, To.ROTATE_180, To.FLIP_TOP_BOTTOM, To.TRANSPOSE, To.ROTATE_270,
        To.TRANSVERSE, To.ROTATE_90,
    )  # fmt: skip
    try:
        with without_pillow_limits():
            way = dict(enumerate(ways, 2)).get(picture.getexif().get(0x0112))
    except Exception:  # EXIF that can't be read turns nothing
        return picture
    return picture if way is None else picture.transpose(way)


_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})


def encode(picture: Any, kind: str) -> bytes:
    """The picture as JPEG or PNG, with its colours' profile and nothing else about it."""
    profile = picture.info.get("icc_profile")
    if kind == "PNG" and picture.mode not in _PNG_MODES:
        picture = picture.convert("RGBA" if "A" in picture.mode.upper() else "RGB")
        profile = None  # it was about other colours
    bare = picture.copy()
    bare.info = {n: v for n, v in picture.info.items() if n == "transparency"}
    out = io.BytesIO()
    more: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {}
    bare.save(out, kind, icc_profile=profile, **more)
    return out.getvalue()


def strip_metadata(data: bytes, kind: str) -> bytes | None:
    """The same file without what tells about people; None where its structure is unusual."""
    ways = {"JPEG": _strip_jpeg, "PNG": _strip_png, "WEBP": _strip_webp}
    return ways[kind](data) if kind in ways else None


# A marker of a JPEG; in a scan, 0xff00 is a byte and 0xffd0 to 0xffd7 only part the data.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
#: The segments of programs that stay, by how they begin and how long they are, where that counts:
#: density without a thumbnail, the colours' profile, the colours' transform.
_HARMLESS = {0xE0: (b"JFIF\0", 16), 0xE2: (b"ICC_PROFILE\0", None), 0xEE: (b"Adobe", 14)}


def _strip_jpeg(data: bytes) -> bytes | None:
    kept, at, scanning = [data[:2]], 2, False
    while (found := _MARKER.search(data, at)) is not None:
        if found.start() != at and not scanning:
            return None
        kept.append(data[at : found.start()])
        marker, begin = found[1][0], found.end()
        if marker == _END:
            return b"".join([*kept, b"\xff\xd9"])
        length = int.from_bytes(data[begin : begin + 2], "big")
        at = begin + length
        if length < 2 or at > len(data):
            return None
        head, size = _HARMLESS.get(marker, (b"", None))
        is_told = marker == _COMMENT or (0xE0 <= marker <= 0xEF and not head)
        if not is_told and data.startswith(head, begin + 2) and size in (None, length):
            kept.append(b"\xff" + data[begin - 1 : at])
        scanning = marker == _SCAN
    return None


_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD hIST pHYs".split()
)


def _strip_png(data: bytes) -> bytes | None:
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if end > len(data):
            return None
        if name in _CHUNKS:
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end
    return None


_WEBP_CHUNKS = frozenset((b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"))
_WEBP_TELLING = 0x04 | 0x08  # the flags of XMP and EXIF in VP8X (RFC 9649, section 2.7)


def _strip_webp(data: bytes) -> bytes | None:
    kept, at = bytearray(), 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if at + 8 + length > len(data):
            return None
        if name in _WEBP_CHUNKS:
            begin = len(kept)
            kept += data[at:end].ljust(end - at, b"\0")
            if name == b"VP8X" and length:
                kept[begin + 8] &= ~_WEBP_TELLING
        at = end
    return b"RIFF" + (len(kept) + 4).to_bytes(4, "little") + b"WEBP" + bytes(kept)
