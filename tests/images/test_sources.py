"""Source pictures: checked before anything is sent, and made fit to travel."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image, ImageFile

from civitai_skill.errors import RequestInvalid
from civitai_skill.images import sources
from civitai_skill.images.sources import Source, SourcePolicy, open_source
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import build_workflow, prepare
from civitai_skill.schema.request import ImageRequest
from tests.support.pictures import claiming, picture


def kept(data: bytes, folder: Path, name: str = "a.png") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def opened(text: str) -> Source:
    source = open_source(text)
    assert isinstance(source, Source)
    return source


def test_a_local_picture_is_opened_as_it_is(tmp_path: Path) -> None:
    data = picture()

    assert opened(kept(data, tmp_path)) == Source(data, "image/png", (40, 20))


def test_an_https_url_is_left_alone() -> None:
    assert open_source("https://a.test/x.png") == "https://a.test/x.png"


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_what_the_service_does_not_take_becomes_a_png(kind: str, tmp_path: Path) -> None:
    source = opened(kept(picture(kind), tmp_path, f"a.{kind.lower()}"))

    assert (source.mime, source.size) == ("image/png", (40, 20))
    with Image.open(io.BytesIO(source.data)) as png:
        red, green, blue = png.convert("RGB").getpixel((5, 5))
        assert (png.format, red > 180, green < 60, blue < 60) == ("PNG", True, True, True)


@pytest.mark.parametrize("mode", ["CMYK", "F", "I;16", "1", "LAB", "YCbCr"])
def test_colours_that_a_png_does_not_know_are_converted(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.new(mode, (8, 4)).save(path)

    assert (opened(str(path)).mime, opened(str(path)).size) == ("image/png", (8, 4))


def test_a_phones_heic_is_read_with_the_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.new("RGB", (64, 32), "red")).save(path)

    assert (opened(str(path)).mime, opened(str(path)).size) == ("image/png", (64, 32))


def test_a_phones_heic_without_the_extra_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with pytest.raises(RequestInvalid, match="HEIC") as caught:
        open_source(kept(head + bytes(100), tmp_path, "a.heic"))

    assert "pip install '.[heif]'" in caught.value.advice
    assert "jpeg or png" in caught.value.advice


def test_the_orientation_is_applied_and_the_location_left_behind(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    exif.get_ifd(0x8825)[1] = "N"  # GPS latitude reference
    source = opened(kept(picture("JPEG", exif=exif.tobytes()), tmp_path, "a.jpg"))

    assert source.size == (20, 40)
    assert not Image.open(io.BytesIO(source.data)).getexif()


def test_a_data_url_is_opened_and_comes_out_the_same() -> None:
    url = Source(picture(), "image/png", (40, 20)).data_url()

    assert opened(url).data_url() == url


ENCODED = base64.b64encode(picture()).decode()
SPELLINGS = {
    "wrapped": "data:image/png;base64,"
    + "\r\n".join(ENCODED[i : i + 20] for i in range(0, len(ENCODED), 20)),
    "percent-encoded": f"data:image/png;base64,{quote(ENCODED, safe='')}",
    "unpadded": f"data:image/png;base64,{ENCODED.rstrip('=')}",
    "of the address alphabet": "data:image/png;base64,"
    + base64.urlsafe_b64encode(picture()).decode(),
    "with parameters": f"data:image/png;name=a.png;charset=utf-8;base64,{ENCODED}",
    "in capitals": f"DATA:IMAGE/PNG;BASE64,{ENCODED}",
    "without a type": f"data:;base64,{ENCODED}",
    "of an unknown type": f"data:application/octet-stream;base64,{ENCODED}",
    "with space around": f"  data:image/png;base64, {ENCODED}\n",
    "not base64": f"data:image/png,{quote(picture())}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_data_url_is_read_however_it_is_spelled(spelling: str) -> None:
    assert opened(SPELLINGS[spelling]) == Source(picture(), "image/png", (40, 20))


def test_bare_base64_is_told_what_it_lacks() -> None:
    with pytest.raises(RequestInvalid, match="write data:image/png;base64, before it"):
        open_source(ENCODED, policy=SourcePolicy(local=False))


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_names_a_file(host: str, tmp_path: Path) -> None:
    path = tmp_path / "a cat.png"
    path.write_bytes(picture())

    assert opened(path.as_uri().replace("file://", f"FILE://{host}")).size == (40, 20)
    with pytest.raises(RequestInvalid, match="files of this machine are not allowed here"):
        open_source(path.as_uri(), policy=SourcePolicy(local=False))


def test_the_type_follows_the_bytes_and_not_the_name(tmp_path: Path) -> None:
    assert opened(kept(picture("JPEG"), tmp_path, "a.png")).mime == "image/jpeg"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("missing.png", "no such file"),
        ("http://a.test/x.png", "unencrypted"),
        ("https:///x.png", "names no host"),
        ("data:text/plain,hello", "not a data URL of a picture"),
        ("data:image/png;base64,@@@", "base64 is broken"),
        ("data:image/png;base64", "not a data URL of a picture"),
        ("data:image/png;base64,aGVsbG8=", "not a jpeg, png, webp"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("file://another-host/a.png", "can't be read"),
        ("s3://bucket/a.png", "s3:// is not read"),
        ("https://civitai.com/images/12345", "is a web page and not a picture"),
        ("https://www.civitai.com/models/1/a?modelVersionId=2", "is a web page"),
        ("https://civitai.red/images/1", "is a web page"),
        ("https://example.com/gallery/a.HTML?x=1", "is a web page"),
        ("a\0b", "no such file"),
        ("~nobody-of-this-name/x.png", "not a usable path"),
        ("x" * 5000, "can't be read"),
    ],
)
def test_what_is_no_source_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        open_source(text)

    assert why in str(caught.value)
    assert "https URL" in caught.value.accepted


def test_a_folder_a_text_and_a_broken_picture_are_refused(tmp_path: Path) -> None:
    whole = picture(size=(300, 300))
    for text, why in [
        (str(tmp_path), "a folder"),
        (kept(b"hello", tmp_path, "a.txt"), "not a jpeg, png, webp"),
        (kept(whole[: len(whole) // 2], tmp_path, "b.png"), "broken picture"),
        (kept(b"%PDF-1.7", tmp_path, "c.pdf"), "not a jpeg, png, webp"),
    ]:
        with pytest.raises(RequestInvalid, match=why):
            open_source(text)


def test_too_many_bytes_and_too_many_pixels_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(picture(), tmp_path)
    monkeypatch.setattr(sources, "MAX_PIXELS", 799)
    with pytest.raises(RequestInvalid, match="million pixels"):
        open_source(path)
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    with pytest.raises(RequestInvalid, match="larger than"):
        open_source(path)


@pytest.mark.parametrize("size", [(1, 99_999_999), (99_999_999, 1), (20_000, 20_000)])
def test_a_size_is_judged_before_the_picture_is_decoded(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(RequestInvalid, match=r"more than (65535 pixels|100 million pixels)"):
        open_source(kept(claiming(*size), tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory is in use from /proc")
def test_where_memory_is_short_that_is_the_reason(tmp_path: Path) -> None:
    Image.new("RGB", (9000, 9000)).save(tmp_path / "a.png", compress_level=1)
    code = """if True:
        import resource, sys
        from civitai_skill import RequestInvalid
        from civitai_skill.images.sources import open_source
        open_source("small.png")
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + 100 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            open_source("a.png")
        except RequestInvalid as error:
            print(error)
    """
    (tmp_path / "small.png").write_bytes(picture())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "9000x9000, and there is not the memory to decode it" in done.stdout, done.stderr


def test_a_workflow_carries_a_local_source_inside(tmp_path: Path) -> None:
    path = kept(picture(), tmp_path)
    body = build_workflow(ImageRequest(prompt="winter", images=[path]))

    assert body["steps"][0]["input"]["images"] == [opened(path).data_url()]


def test_the_refusal_names_which_source(tmp_path: Path) -> None:
    path = kept(picture(), tmp_path)
    request = ImageRequest(prompt="winter", images=[path, "gone.png"])

    with pytest.raises(RequestInvalid) as caught:
        prepare(Order(request))

    assert caught.value.field == "images.1"
