"""Source pictures as Python holds them: paths, bytes, file objects, PIL images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, RequestInvalid
from civitai_skill.images.sources import Source, open_source
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import build_workflow, prepare
from civitai_skill.sandbox import Sandbox
from civitai_skill.schema.request import ImageRequest
from tests.support.pictures import picture


def at_its_end(data: bytes) -> io.BytesIO:
    file = io.BytesIO()
    file.write(data)
    return file


def path_of(folder: Path) -> Path:
    (folder / "a.png").write_bytes(picture())
    return folder / "a.png"


HELD: dict[str, Callable[[Path], Any]] = {
    "a path as text": lambda folder: str(path_of(folder)),
    "a Path": path_of,
    "bytes": lambda folder: picture(),
    "a bytearray": lambda folder: bytearray(picture()),
    "a memoryview": lambda folder: memoryview(picture()),
    "a file": lambda folder: path_of(folder).open("rb"),
    "an unbuffered file": lambda folder: path_of(folder).open("rb", buffering=0),
    "bytes in memory": lambda folder: io.BytesIO(picture()),
    "a file that was just written": lambda folder: at_its_end(picture()),
    "a PIL image": lambda folder: Image.open(path_of(folder)),
}


def source_of(request: ImageRequest) -> Source:
    (text,) = request.images
    source = open_source(text)
    assert isinstance(source, Source)
    return source


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", HELD)
def test_a_picture_is_taken_as_python_holds_it(name: str, alone: bool, tmp_path: Path) -> None:
    held = HELD[name](tmp_path)
    request = ImageRequest(prompt="night", images=held if alone else (held,))
    if hasattr(held, "close"):
        held.close()

    assert source_of(request) == Source(picture(), "image/png", (40, 20))
    assert ImageRequest.of(request, seed=1).images == request.images


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F", "PA", "RGBa", "I;16", "1"])
def test_an_image_of_any_colours_is_taken(mode: str) -> None:
    image = Image.new(mode, (8, 4))
    source = source_of(ImageRequest(prompt="night", images=image))

    assert (source.mime, source.size) == ("image/png", (8, 4))


def test_an_image_that_lies_on_its_side_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(picture("JPEG", exif=exif.tobytes())))
    source = source_of(ImageRequest(prompt="night", images=[image]))
    image.close()

    assert source.size == (20, 40)


def test_a_guide_inside_the_options_is_taken_too(tmp_path: Path) -> None:
    nets = [{"preprocessor": "canny", "image": path_of(tmp_path)}]
    fields = {"prompt": "a hall", "engine": "sdxl", "route": "comfy"}
    request = ImageRequest(**fields, options={"controlNets": nets})
    as_text = ImageRequest(
        **fields, options={"controlNets": [{**nets[0], "image": str(path_of(tmp_path))}]}
    )

    assert request == as_text


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (io.StringIO("text"), "open it with mode 'rb'"),
        (Path(), "a folder"),
        (b"", "not a jpeg"),
        (b"hello", "not a jpeg"),
        (3, "Accepted: text"),
    ],
)
def test_what_is_no_picture_is_refused(held: Any, why: str) -> None:
    with pytest.raises(RequestInvalid, match=why) as caught:
        source_of(ImageRequest(prompt="night", images=[held]))

    assert caught.value.field.startswith("images")
    with pytest.raises(RequestInvalid):
        source_of(ImageRequest(prompt="night", images=held))


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(picture())
    file.close()
    with pytest.raises(RequestInvalid, match="closed file"):
        ImageRequest(prompt="night", images=file)


def test_a_purchase_is_the_same_by_what_its_picture_holds(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    held = (path, str(path), path.as_uri(), path.read_bytes(), picture("PNG", size=(41, 20)))
    orders = [Order(ImageRequest(prompt="night", images=one)) for one in held]
    same, *others, other = [prepare(order).identity(order) for order in orders]

    assert set(others) == {same}
    assert other != same


def test_a_picture_that_was_made_is_the_next_ones_source(tmp_path: Path) -> None:
    with Civitai(sandbox=Sandbox(seconds_per_job=0.02), home=tmp_path / "home") as civitai:
        made = civitai.generate("a tea house", out=tmp_path)
        night = civitai.generate("make it night", images=made.pictures[0].path, out=tmp_path)

    assert len(night.paths) == 1


def test_a_workflow_body_carries_bytes() -> None:
    inside = build_workflow(ImageRequest(prompt="night", images=picture()))["steps"][0]["input"]

    assert inside["images"] == [Source(picture(), "image/png", (40, 20)).data_url()]
