"""What guides a control net is a source like any other: checked, opened, inside, and remembered."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, ImageRequest, RequestInvalid, build_workflow
from civitai_skill.images.sources import INLINE_BYTES, SourcePolicy
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.arguments import GenerateImage
from civitai_skill.tools.fixed import make_settings

URL = "https://example.org/a.png"
AIR = "urn:air:sdxl:controlnet:civitai:1@2"


def asked(*guides: Any, engine: str = "z-image", **fields: Any) -> ImageRequest:
    """A request with a control net for each (image, mask)."""
    step = {"preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 1}
    nets = [{**step, "image": image, "mask": mask} for image, mask in guides]
    return ImageRequest(prompt="a fox", engine=engine, control_nets=nets, seed=1, **fields)


def kept(folder: Path, name: str, size: tuple[int, int] = (64, 32), kind: str = "PNG") -> str:
    path = folder / name
    Image.effect_noise(size, 99).convert("RGB").save(path, kind)
    return str(path)


def nets(body: dict[str, Any]) -> list[Any]:
    found = body["steps"][0]["input"]["controlNets"]
    return [(net.get("image"), net.get("mask")) for net in found]


def test_guides_travel_inside_beside_the_pictures_and_an_air_stays(tmp_path: Path) -> None:
    first, second = kept(tmp_path, "a.png"), kept(tmp_path, "b.webp", kind="WEBP")
    fields = {"engine": "sdxl", "route": "comfy", "images": [kept(tmp_path, "c.png")]}
    body = build_workflow(asked((URL, first), (AIR, None), (second, AIR), **fields))

    (url, mask), air, (image, also) = nets(body)
    assert (url, air, also) == (URL, (AIR, None), AIR)
    assert mask.startswith("data:image/png;base64,")
    assert image.startswith("data:image/png;base64,")
    assert body["steps"][0]["input"]["image"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("guide", "policy", "why"),
    [
        ("gone.png", SourcePolicy(), "no such file"),
        ("http://a.test/x.png", SourcePolicy(), "unencrypted"),
        ("/etc/hostname", SourcePolicy(local=False), "files of this machine are not allowed here"),
        ("https://10.0.0.1/a.png", SourcePolicy(private=False), "private network"),
    ],
)
def test_a_guide_is_held_to_the_rule_of_sources(guide: str, policy: SourcePolicy, why: str) -> None:
    with pytest.raises(RequestInvalid, match=why) as refused:
        prepare(Order(asked((URL, None), (URL, guide)), sources=policy))
    assert refused.value.field == "control_nets.1.mask"


def test_a_model_can_t_name_a_file_as_a_guide(tmp_path: Path) -> None:
    tools = make_settings(300, out=tmp_path / "out")
    nets = [{"preprocessor": "canny", "image": kept(tmp_path, "a.png")}]
    options = [{"name": "controlNets", "value": nets}]
    given = GenerateImage.model_validate({"prompt": "x", "engine": "z-image", "options": options})
    with pytest.raises(RequestInvalid) as refused:
        tools.asked(given)
    assert refused.value.field == "control_nets.0.image"


def test_a_large_guide_is_uploaded_when_it_is_bought(tmp_path: Path) -> None:
    path = kept(tmp_path, "big.png", (900, 900))
    assert Path(path).stat().st_size > INLINE_BYTES
    with Civitai(sandbox=Sandbox()) as client:
        sent = client.submit(asked((path, None))).input["controlNets"][0]

    assert "/blobs/" in sent["image"]
    assert sent.get("mask") is None


def test_a_purchase_is_the_same_by_the_content_of_its_guides(tmp_path: Path) -> None:
    def identity(request: ImageRequest) -> str:
        return prepare(Order(request)).identity(Order(request))

    first = kept(tmp_path, "a.png")
    same = tmp_path / "same.png"
    same.write_bytes(Path(first).read_bytes())
    other = kept(tmp_path, "other.png", (32, 64))

    assert identity(asked((first, None))) == identity(asked((str(same), None)))
    assert identity(asked((first, None))) != identity(asked((other, None)))
    assert identity(asked((first, None))) != identity(asked((None, first)))


def test_a_guide_gives_no_shape(tmp_path: Path) -> None:
    plan = prepare(Order(asked((kept(tmp_path, "a.png"), None)))).plan
    assert plan is not None
    assert plan.size == (1024, 1024)


def test_a_batch_knows_its_rows_by_the_content_of_their_guides(tmp_path: Path) -> None:
    from civitai_skill.batch.plan import plan_rows
    from civitai_skill.batch.rows import RawRow

    def key() -> str:
        fields = asked((str(tmp_path / "a.png"), None)).said()
        (row,) = plan_rows([RawRow(1, fields)], "b", Terms(), "{n}", SourcePolicy())
        return row.key

    kept(tmp_path, "a.png")
    before = key()
    kept(tmp_path, "a.png", (32, 64))
    assert before != key()


def test_a_guide_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(io.BytesIO(b"hello").getvalue())
    with pytest.raises(RequestInvalid, match="not a jpeg, png, webp, gif, bmp, tiff or avif"):
        build_workflow(asked((str(path), None)))
