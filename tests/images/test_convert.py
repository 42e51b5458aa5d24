"""Pictures converted on this machine: nothing is lost that was not asked to go."""

from __future__ import annotations

import io
import math
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from civitai_skill.errors import RequestInvalid
from civitai_skill.images.convert import Conversion, convert_picture, enlargement
from tests.support.pictures import claiming, picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MADE = "a fox, é\nSteps: 20, Seed: 7"


def written(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def quarters(mode: str = "RGB") -> Image.Image:
    """80x40 in four colours, a quarter each: red, green, blue, white."""
    image = Image.new("RGB", (80, 40), "red")
    for colour, place in (("lime", (40, 0)), ("blue", (0, 20)), ("white", (40, 20))):
        image.paste(Image.new("RGB", (40, 20), colour), place)
    return image.convert(mode)


def cut_out() -> bytes:
    """A red disc on nothing, whose hidden pixels are black."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    mask = Image.radial_gradient("L").point(lambda v: 255 if v < 100 else 0).resize((64, 64))
    image.paste((255, 0, 0, 255), (0, 0), mask)
    return written(image)


def refused(data: bytes = b"", /, **asked: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        convert_picture(data or written(quarters()), Conversion(**asked), "fox.png")
    return caught.value


# -- sizes -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (80, 40)),
        ({"width": 20}, (20, 10)),
        ({"width": 120}, (120, 60)),
        ({"width": 1}, (1, 1)),
        ({"crop": "30x20"}, (30, 20)),
        ({"crop": "30x20+50+20"}, (30, 20)),
        ({"crop": "1:1"}, (40, 40)),
        ({"crop": "5:1", "width": 40}, (40, 8)),
        ({"exact": (40, 40)}, (40, 40)),
        ({"exact": (120, 10)}, (120, 10)),
        ({"exact": (800, 400), "enlarge": math.inf}, (800, 400)),
    ],
)
def test_the_size_that_is_planned_comes_out(asked: Any, size: Any) -> None:
    data = written(quarters())
    conversion = Conversion(**asked)
    made = convert_picture(data, conversion)
    assert conversion.size((80, 40)) == size == made.size == opened(made.data).size
    assert (made.data == data) is (not asked)
    assert made.suffix == ".png"


def test_a_crop_takes_the_part_that_it_names() -> None:
    image = opened(convert_picture(written(quarters()), Conversion(crop="30x20+50+20")).data)
    assert image.getcolors() == [(600, (255, 255, 255))]
    image = opened(convert_picture(written(quarters()), Conversion(exact=(10, 10))).data)
    corners = [image.getpixel(at) for at in ((0, 0), (9, 0), (0, 9), (9, 9))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.mark.parametrize(
    ("asked", "field", "nearest"),
    [
        ({"width": 121}, "width", 120),
        ({"crop": "40x40", "exact": (100, 10)}, "exact", "60x6"),
        ({"crop": "81x40"}, "crop", "80x40"),
        ({"crop": "30x20+60+30"}, "crop", "30x20+50+20"),
        ({"width": 60_000, "enlarge": math.inf}, "width", None),
        ({"format": "jpeg", "exact": (70_000, 2)}, "exact", None),
        ({"format": "gif"}, "format", None),
        ({"format": "png", "quality": 80}, "quality", None),
        ({"quality": 80}, "quality", None),
        ({"quality": 0, "format": "webp"}, "quality", None),
        ({"width": 0}, "width", None),
        ({"width": 10, "exact": (10, 10)}, "width", None),
        ({"crop": "0x10"}, "crop", None),
        ({"crop": "16:9+1+1"}, "crop", None),
        ({"crop": "the face"}, "crop", None),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(asked: Any, field: str, nearest: Any) -> None:
    error = refused(**asked)
    assert (error.field, error.nearest) == (field, nearest)
    assert ("Upscale it first" in error.advice) is (nearest in (120, "60x6"))
    if nearest is not None:
        again = nearest if field != "exact" else tuple(map(int, nearest.split("x")))
        convert_picture(written(quarters()), Conversion(**{**asked, field: again}))


def test_how_many_times_larger_is_the_side_that_lacks_most() -> None:
    assert enlargement((1536, 640), (5000, 200)) == 5000 / 1536
    assert enlargement((1000, 1000), (500, 250)) == 0.5


def test_a_webp_is_at_most_16383_pixels_wide() -> None:
    long = written(Image.new("L", (16_384, 1)))
    assert (refused(long, format="webp").field, refused(long, format="webp").nearest) == (
        "format", "png",
    )  # fmt: skip
    assert convert_picture(long, Conversion(format="jpeg")).size == (16_384, 1)
    tall = written(Image.new("L", (1, 400)))
    assert refused(tall, width=400, enlarge=math.inf).field == "width"


# -- formats ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "YCbCr", "I;16"])
def test_every_kind_of_colours_becomes_every_format(mode: str, target: str) -> None:
    grey = mode in ("L", "1", "I;16")
    if mode == "I;16":
        source = Image.new("I;16", (80, 40), 65535)
        source.paste(32896, (0, 0, 40, 40))
    else:
        source = quarters(mode)
    data = written(source, "TIFF")
    made = convert_picture(data, Conversion(format=target, quality=None if target == "png" else 95))
    image = opened(made.data).convert("RGB")
    assert made.suffix == f".{target}"
    right: Any = image.getpixel((70, 30))
    left: Any = image.getpixel((10, 10))
    assert min(right) > 250
    assert abs(left[0] - (128 if mode == "I;16" else 76 if mode == "L" else left[0])) < 4
    if not grey:
        assert left[0] > 220
        assert max(left[1:]) < 40


def test_transparency_is_kept_without_a_dark_edge_and_is_no_jpeg() -> None:
    for target in ("png", "webp"):
        made = convert_picture(cut_out(), Conversion(width=48, format=target))
        image = opened(made.data)
        assert image.mode == "RGBA"
        soft = [p for _, p in image.getcolors(99_999) or [] if 40 < p[3] < 255]  # type: ignore[index]
        assert soft
        assert all(p[0] > 200 for p in soft)  # type: ignore[index]
    error = refused(cut_out(), format="jpeg")
    assert (error.field, error.nearest) == ("format", "png")
    assert "transparent" in str(error)
    opaque = written(quarters("RGBA"))
    assert opened(convert_picture(opaque, Conversion(format="jpeg")).data).mode == "RGB"


def test_quality_counts() -> None:
    data = written(Image.effect_noise((128, 128), 80).convert("RGB"))
    sizes = [
        len(convert_picture(data, Conversion(format=kind, quality=q)).data)
        for kind in ("jpeg", "webp")
        for q in (20, 95)
    ]
    assert sizes[0] < sizes[1] / 2
    assert sizes[2] < sizes[3] / 2


def test_what_is_no_whole_still_picture_is_refused() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    moving = written(frames[0], "GIF", save_all=True, append_images=frames[1:])
    for data, words in (
        (moving, "moves"), (b"<svg/>", "not a"), (picture()[:60], "broken"),
        (claiming(60_000, 60_000), "million pixels"),
    ):  # fmt: skip
        error = refused(data, width=4)
        assert (error.field, words in str(error), "fox.png" in str(error)) == (
            "picture",
            True,
            True,
        )


# -- metadata --------------------------------------------------------------------------------------
def telling(kind: str, orientation: int = 1) -> bytes:
    """A picture that says how it was made and, in EXIF, where; sideways where so oriented."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A camera of Pariser Platz", orientation
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", MADE)
    if kind != "PNG":
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + MADE.encode("utf-16-be")
    more = {"pnginfo": info} if kind == "PNG" else {"quality": 95}
    return written(quarters(), kind, exif=exif, icc_profile=PROFILE, **more)


@pytest.mark.parametrize("target", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_how_it_was_made_stays_until_told_otherwise(kind: str, target: str) -> None:
    made = opened(convert_picture(telling(kind, 6), Conversion(width=20, format=target)).data)
    assert made.size == (20, 40)  # upright
    assert 0x0112 not in made.getexif()
    assert made.getexif()[0x010F] == "A camera of Pariser Platz"
    comment = made.getexif().get_ifd(0x8769).get(0x9286, b"")
    says = made.info["parameters"] if target == "png" else comment[8:].decode("utf-16-be")
    assert says == MADE
    assert made.info["icc_profile"] == PROFILE

    bare = convert_picture(
        telling(kind, 6), Conversion(width=20, format=target, metadata=False)
    ).data
    assert not any(word in bare for word in (b"Pariser", b"Seed", "Seed".encode("utf-16-be")))
    assert opened(bare).info["icc_profile"] == PROFILE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_metadata_alone_is_cut_out_of_the_file(kind: str) -> None:
    data = telling(kind)
    bare = convert_picture(data, Conversion(metadata=False))
    assert b"Pariser" in data
    assert b"Pariser" not in bare.data
    assert opened(bare.data).tobytes() == opened(data).tobytes()
    assert opened(bare.data).info["icc_profile"] == PROFILE
    sideways = convert_picture(telling(kind, 6), Conversion(metadata=False))
    assert opened(sideways.data).size == (40, 80) == sideways.size
    assert b"Pariser" not in sideways.data


def test_what_a_jpeg_cannot_hold_is_left_out_and_broken_files_are_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "x" * 70_000)
    data = written(quarters(), pnginfo=info)
    assert not opened(convert_picture(data, Conversion(format="jpeg")).data).getexif()
    assert len(convert_picture(data, Conversion(format="webp")).data) > 140_000

    random, kinds = Random(5), {True: 0, False: 0}
    whole = [telling(kind, 6) for kind in ("JPEG", "PNG", "WEBP")]
    for _ in range(300):
        broken = bytearray(random.choice(whole))
        broken[random.randrange(random.choice((300, len(broken))))] = random.randrange(256)
        try:
            convert_picture(bytes(broken), Conversion(width=20, format="jpeg"))
            kinds[True] += 1
        except RequestInvalid:
            kinds[False] += 1
    assert min(kinds.values()) > 30
