"""Texts that programs leave in a picture: PNG's chunks, EXIF's comment, JPEG's comment.

Nothing is decoded but the container: a PNG's chunks are walked, EXIF is read by Pillow. Every text
is bounded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from civitai_skill.images.decode import open_picture, without_pillow_limits
from civitai_skill.images.sources import FORMATS

#: Bytes of one text, and how many there may be.
_LONGEST, _MOST = 8_000_000, 40

_USER_COMMENT, _EXIF_IFD, _MAKE, _MODEL = 0x9286, 0x8769, 0x010F, 0x0110


def read_texts(data: bytes) -> list[tuple[str, str]]:
    """(name, text) of every text in a picture; EXIF's are named UserComment, Make and Model.

    Raises Unreadable for bytes that are no picture.
    """
    if data[:8] == _PNG:
        return list(_png_texts(data))
    with open_picture(data, FORMATS) as picture:
        found = list(_exif_texts(_guarded(picture.getexif)))
        comment = picture.info.get("comment") if picture.format == "JPEG" else None
    if isinstance(comment, bytes) and 0 < len(comment) <= _LONGEST:
        found.append(("comment", _decode(comment)))
    return found


# -- PNG -------------------------------------------------------------------------------------------
_PNG = b"\x89PNG\r\n\x1a\n"


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    from PIL import Image

    at, left = len(_PNG), _MOST
    while at + 12 <= len(data) and left:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf") or length > _LONGEST:
            continue
        left -= 1
        if kind == b"eXIf":
            exif = Image.Exif()
            head = b"" if body.startswith(b"Exif\0\0") else b"Exif\0\0"
            _guarded(partial(exif.load, head + body))
            yield from _exif_texts(exif)
            continue
        name, _, rest = body.partition(b"\0")
        text = _chunk_text(kind, rest)
        if text is not None:
            yield name[:80].decode("latin-1"), _decode(text)


def _chunk_text(kind: bytes, rest: bytes) -> bytes | None:
    if kind == b"tEXt":
        return rest
    packed, text = True, rest[1:]
    if kind == b"iTXt":
        # The text stands behind the language and its keyword.
        packed, text = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        return zlib.decompressobj().decompress(text, _LONGEST) if packed else text
    except zlib.error:
        return None


def _decode(data: bytes) -> str:
    """tEXt is Latin-1 by its standard, and UTF-8 by what most programs write."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


# -- EXIF ------------------------------------------------------------------------------------------
def _guarded(read: Callable[[], Any]) -> Any:
    """What Pillow reads, or an empty map: broken EXIF warns, and raises what it likes."""
    try:
        with without_pillow_limits():
            return read()
    except Exception:
        return {}


def _exif_texts(exif: Any) -> Iterator[tuple[str, str]]:
    inner = _guarded(lambda: exif.get_ifd(_EXIF_IFD)) if hasattr(exif, "get_ifd") else {}
    found = [
        ("UserComment", inner.get(_USER_COMMENT)),
        ("Model", _guarded(lambda: exif.get(_MODEL))),
        ("Make", _guarded(lambda: exif.get(_MAKE))),
    ]
    for name, value in found:
        if isinstance(value, bytes) and len(value) <= _LONGEST:
            value = _decode_comment(value)
        if isinstance(value, str) and value.strip("\0 "):
            yield name, value[:_LONGEST].strip("\0")


def _decode_comment(value: bytes) -> str:
    """EXIF's UserComment: eight bytes name its character set, and not all mean what they say."""
    head, body = value[:8].rstrip(b"\0 ").upper(), value[8:]
    if head not in (b"UNICODE", b"ASCII", b"JIS", b""):
        body = value  # a text without the eight bytes
    if body[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return body.decode("utf-16", "replace")
    if head == b"UNICODE" or body[:64].count(0) > 8:
        # Of English text every second byte is 0: the first of each two where the order is big.
        part = body[:2000]
        big = part[0::2].count(0) >= part[1::2].count(0)
        return body.decode("utf-16-be" if big else "utf-16-le", "replace")
    return _decode(body)
