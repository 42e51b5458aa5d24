"""Source pictures: checked before anything is sent, and made fit to travel."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from civitai_skill.errors import RequestInvalid
from civitai_skill.images import sources
from civitai_skill.images.sources import Source, open_source
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import build_workflow, prepare
from civitai_skill.schema.request import ImageRequest
from tests.support.pictures import picture


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


def test_a_webp_becomes_a_png(tmp_path: Path) -> None:
    source = opened(kept(picture("WEBP"), tmp_path, "a.webp"))

    assert (source.mime, source.size) == ("image/png", (40, 20))
    assert Image.open(io.BytesIO(source.data)).format == "PNG"


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
        ("data:image/png;base64,aGVsbG8=", "not a jpeg, png or webp"),
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
        (kept(b"hello", tmp_path, "a.txt"), "not a jpeg, png or webp"),
        (kept(whole[: len(whole) // 2], tmp_path, "b.png"), "broken picture"),
        (kept(picture("GIF"), tmp_path, "c.gif"), "not a jpeg, png or webp"),
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
