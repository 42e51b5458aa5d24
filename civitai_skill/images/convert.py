"""What becomes of a picture on this machine, at no cost: crop, size, format, quality, metadata."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.decode import (
    MAX_PIXELS,
    SUFFIXES,
    FetchedPicture,
    Unreadable,
    decode,
    orient,
    strip_metadata,
    without_pillow_limits,
)
from civitai_skill.images.sources import FORMATS

Size = tuple[int, int]
Box = tuple[int, int, int, int]

#: Format names, and Pillow's for them.
WRITTEN = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}

#: How many times larger a picture is made here; above, pixels only get soft, and an upscaler serves
#: better.
MAX_ENLARGE = 1.5

#: Of JPEG and WebP that are encoded anew where no quality is named.
DEFAULT_QUALITY = 90

#: Pixels a side that a format can hold: JPEG by its 16-bit size, WebP by its 14-bit one (RFC 9649);
#: PNG ends where what is read here does.
_LONGEST = {"JPEG": 65_535, "PNG": 65_535, "WEBP": 16_383}

_CROP = re.compile(r"(\d{1,5})([x:])(\d{1,5})(?:\+(\d{1,5})\+(\d{1,5}))?", re.ASCII)
_SIDE = "pixels from 1 to 65535"
_CROPS = "WIDTHxHEIGHT from the middle, WIDTHxHEIGHT+LEFT+TOP, or a ratio such as 16:9"
_UPSCALE = "Upscale it first: each pass doubles width and height."

_ORIENTATION, _EXIF, _USER_COMMENT, _UNICODE = 0x0112, 0x8769, 0x9286, b"UNICODE\0"

# Bytes of a JPEG's segment, whose length is two of them.
_LONGEST_EXIF = 65_533


@dataclass(frozen=True)
class Conversion:
    """What becomes of a picture, in this order: turned upright, cropped, sized, encoded.

    `crop`      pixels as 'WIDTHxHEIGHT' from the middle or 'WIDTHxHEIGHT+LEFT+TOP', or the largest
                part of a ratio, '16:9'
    `width`     pixels; the height follows
    `exact`     (width, height): scaled until it covers them, then cropped to them from the middle
    `format`    jpeg, png, webp; None: as it is, or png where that is none of these
    `quality`   1 to 100, of jpeg and webp; None: 90 where a picture is encoded anew
    `metadata`  False: nothing but the colours' profile stays; True: EXIF (of a JPEG, up to 64 kB)
                and how it was made stay
    `enlarge`   how many times larger it may become; math.inf: any

    Raises RequestInvalid for what contradicts itself.
    """

    crop: str | None = None
    width: int | None = None
    exact: Size | None = None
    format: str | None = None
    quality: int | None = None
    metadata: bool = True
    enlarge: float = MAX_ENLARGE

    def __post_init__(self) -> None:
        quality, sides = self.quality, self.exact or ()
        wrong = {
            "crop": _CROPS if self.crop is not None and not _is_crop(self.crop) else "",
            "width": "" if self.width is None or _is_side(self.width) else _SIDE,
            "exact": "" if all(map(_is_side, sides)) else f"width and height, each {_SIDE}",
            "format": "" if self.format in (None, *WRITTEN) else ", ".join(WRITTEN),
            "quality": "" if quality is None or 1 <= quality <= 100 else "1 to 100",
        }
        found = [Problem(name, getattr(self, name), text) for name, text in wrong.items() if text]
        if self.width is not None and self.exact is not None:
            found.append(Problem("width", self.width, "a width or an exact size, not both"))
        if quality is not None and self.format == "png":
            found.append(_no_quality(quality))
        if found:
            raise RequestInvalid(*found)

    def size(self, source: Size) -> Size:
        """The pixels that a picture of `source` pixels ends with. Raises RequestInvalid."""
        return _measure(self, source)[1]


def _no_quality(given: int) -> Problem:
    why = "PNG loses nothing and has no quality"
    return Problem("quality", given, "a quality with jpeg or webp", why=why)


def enlargement(source: Size, target: Size) -> float:
    """How many times a picture must be enlarged until it covers the target; below 1: it shrinks."""
    return max(target[0] / source[0], target[1] / source[1])


def convert_picture(data: bytes, conversion: Conversion, name: str = "") -> FetchedPicture:
    """The picture in `data`, converted; byte for byte the same where nothing changes.

    Decodes up to 300 million pixels and writes no file: see `images.save.save_picture`. `name` is
    what an error calls the picture. Raises RequestInvalid for what is no whole picture, moves,
    would be enlarged too much, is cropped beyond its edge, or has transparent parts and is to
    become JPEG.
    """
    try:
        with decode(data, FORMATS, MAX_PIXELS) as picture:
            return _convert(data, picture, conversion)
    except Unreadable as error:
        accepted = f"a picture ({', '.join(FORMATS).lower()})"
        problem = Problem("picture", name or None, accepted, None, str(error))
        raise RequestInvalid(problem, advice=error.advice) from None


def _convert(data: bytes, picture: Any, conversion: Conversion) -> FetchedPicture:
    kind = picture.format
    if kind != "JPEG" and getattr(picture, "n_frames", 1) > 1:
        raise Unreadable("a picture that moves, of which only the first frame would be left")
    target = WRITTEN.get(conversion.format or "", kind if kind in WRITTEN.values() else "PNG")
    upright = orient(picture)
    box, size = _measure(conversion, upright.size)
    is_whole = box == (0, 0, *upright.size) and size == upright.size
    if kind == target and is_whole and conversion.quality is None:
        same = data if conversion.metadata else None
        if same is None and upright is picture:
            same = strip_metadata(data, kind)
        if same is not None:
            return FetchedPicture(same, SUFFIXES[kind], picture.size)
    if conversion.quality is not None and target == "PNG":
        raise RequestInvalid(_no_quality(conversion.quality))
    if max(size) > _LONGEST[target]:
        accepted = f"at most {_LONGEST[target]} pixels a side"
        raise RequestInvalid(Problem("format", target.lower(), accepted, "png"))
    plain = _simplify(upright)
    if not is_whole:
        from PIL import Image

        # Lanczos reads beyond what is kept, so the part is cut out first: no seam from outside it.
        plain = plain.crop(box)
        if plain.size != size:
            plain = plain.resize(size, Image.Resampling.LANCZOS)
    if target == "JPEG" and "A" in plain.getbands():
        if plain.getchannel("A").getextrema()[0] < 255:
            why = "the picture has transparent parts, which JPEG can't hold"
            raise RequestInvalid(Problem("format", "jpeg", "png, webp", "png", why))
        plain = plain.convert("RGB")
    profile = picture.info.get("icc_profile") if _keeps_colours(picture, plain) else None
    encoded = _encode(plain, target, conversion, profile, picture)
    return FetchedPicture(encoded, SUFFIXES[target], size)


def _simplify(picture: Any) -> Any:
    """The picture in a mode that all three formats hold: L, RGB or RGBA."""
    if picture.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _keeps_colours(picture: Any, plain: Any) -> bool:
    """Does the profile of the source still say what the numbers mean?"""
    return picture.mode == plain.mode or (
        plain.mode != "L" and picture.mode in ("P", "PA", "RGB", "RGBA")
    )


def _encode(plain: Any, kind: str, conversion: Conversion, profile: Any, source: Any) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    bare = plain.copy()
    bare.info = {}
    more: dict[str, Any] = {"icc_profile": profile}
    if kind != "PNG":
        more["quality"] = conversion.quality or DEFAULT_QUALITY
    if conversion.metadata:
        with without_pillow_limits():
            exif, texts = _read_metadata(source, kind)
        if exif:
            more["exif"] = exif
        if kind == "PNG":
            more["pnginfo"] = PngInfo()
            for key, text in texts.items():
                more["pnginfo"].add_itxt(key, text)
    out = io.BytesIO()
    bare.save(out, kind, **more)
    return out.getvalue()


def _read_metadata(source: Any, kind: str) -> tuple[bytes, dict[str, str]]:
    """EXIF for a file of this kind, without what was true of the source alone, and a PNG's texts.

    How a picture was made stands in a PNG's text `parameters`, elsewhere in EXIF's UserComment.
    """
    from PIL import Image

    exif, texts = Image.Exif(), dict(getattr(source, "text", {}))
    data = b""
    with suppress(Exception):  # EXIF that can't be read says nothing
        exif = source.getexif()
        exif.pop(_ORIENTATION, None)
        comment = exif.get_ifd(_EXIF).get(_USER_COMMENT, b"")
        if comment.startswith(_UNICODE):
            texts.setdefault("parameters", comment[len(_UNICODE) :].decode("utf-16-be"))
    if kind != "PNG" and "parameters" in texts:
        words = texts["parameters"].encode("utf-16-be", errors="replace")
        exif.get_ifd(_EXIF).setdefault(_USER_COMMENT, _UNICODE + words)
    with suppress(Exception):  # nor EXIF that can't be written again
        data = exif.tobytes() if exif or exif.get_ifd(_EXIF) else b""
    return b"" if kind == "JPEG" and len(data) > _LONGEST_EXIF else data, texts


# -- sizes ---------------------------------------------------------------------------------------
def _measure(conversion: Conversion, source: Size) -> tuple[Box, Size]:
    """The part of the source that is used, and the size that it is brought to."""
    box = _crop_box(source, conversion.crop)
    part, field = (box[2] - box[0], box[3] - box[1]), "width"
    target = part
    if conversion.width is not None:
        target = conversion.width, max(1, round(part[1] * conversion.width / part[0]))
    elif conversion.exact is not None:
        target, field = conversion.exact, "exact"
        left, top, right, bottom = _middle(part, target)
        box = box[0] + left, box[1] + top, box[0] + right, box[1] + bottom
    most = conversion.enlarge
    times = enlargement(part, target) if field == "exact" else target[0] / part[0]
    if times > most * (1 + 1e-9):
        nearest = tuple(max(1, int(side * most / times)) for side in target)
        shown = (target[0], nearest[0]) if field == "width" else (_write(target), _write(nearest))
        why = f"the picture would have to be enlarged {times:.3g} times"
        problem = Problem(field, shown[0], f"at most {most:g} times as large", shown[1], why)
        raise RequestInvalid(problem, advice=_UPSCALE)
    if target[0] * target[1] > MAX_PIXELS or max(target) > _LONGEST["PNG"]:
        accepted = f"at most {MAX_PIXELS // 10**6} million pixels, and {_LONGEST['PNG']} a side"
        raise RequestInvalid(Problem(field, _write(target), accepted))
    return box, target


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and 1 <= side <= _LONGEST["PNG"]


def _is_crop(text: str) -> bool:
    found = _CROP.fullmatch(text)
    whole = found is not None and int(found[1]) > 0 and int(found[3]) > 0
    return whole and not (":" in text and "+" in text)


def _crop_box(size: Size, crop: str | None) -> Box:
    if crop is None:
        return 0, 0, *size
    found = _CROP.fullmatch(crop)
    assert found is not None
    wanted = int(found[1]), int(found[3])
    if found[2] == ":":
        return _middle(size, wanted)
    free = size[0] - wanted[0], size[1] - wanted[1]
    left, top = (int(found[4]), int(found[5])) if found[4] else (free[0] // 2, free[1] // 2)
    if min(left, top) < 0 or left > free[0] or top > free[1]:
        why = f"reaches beyond the picture, which has {_write(size)} pixels"
        nearest = _write((min(wanted[0], size[0]), min(wanted[1], size[1])))
        if found[4]:
            nearest += f"+{min(left, max(free[0], 0))}+{min(top, max(free[1], 0))}"
        raise RequestInvalid(Problem("crop", crop, _CROPS, nearest, why))
    return left, top, left + wanted[0], top + wanted[1]


def _middle(size: Size, shape: Size) -> Box:
    """The largest part of a shape, around the middle."""
    share = min(size[0] / shape[0], size[1] / shape[1])
    width = min(size[0], max(1, round(shape[0] * share)))
    height = min(size[1], max(1, round(shape[1] * share)))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _write(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
