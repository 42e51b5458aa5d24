"""Masks, style references, backgrounds and web search, from a request to the body that is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, ImageRequest, RequestInvalid, Toolbox, build_workflow
from civitai_skill.engines import catalog
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.planning.sources import check_masks, named
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare
from civitai_skill.sandbox import Sandbox

REMOTE = "https://example.org/source.png"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source, a mask of its size and one of another."""
    Image.new("RGB", (96, 64), (9, 99, 9)).save(tmp_path / "source.png")
    Image.new("RGBA", (96, 64), (0, 0, 0, 0)).save(tmp_path / "mask.png")
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "small.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Civitai]:
    with Civitai(sandbox=Sandbox(balance={"blue": 2000}), home=tmp_path / "home") as client:
        yield client


def edit(**fields: Any) -> ImageRequest:
    return ImageRequest(
        prompt="a hat",
        **{"engine": "openai", "images": ["source.png"], "mask": "mask.png"} | fields,
    )


def sent(asked: ImageRequest) -> dict[str, Any]:
    (step,) = build_workflow(asked)["steps"]
    made: dict[str, Any] = step["input"]
    return made


# -- masks ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("variant", "wire"),
    [("gpt-image-2", "maskImage"), ("2.5-flare", "maskImage"), ("2.5-sunburst", "maskImage"),
     ("gpt-image-1", "mask"), ("dall-e-2", "mask")],
)  # fmt: skip
def test_a_mask_is_sent_under_the_forms_own_name(folder: Path, variant: str, wire: str) -> None:
    made = sent(edit(variant=variant, retired=True))
    assert made[wire].startswith("data:image/png;base64,")
    assert made[wire] not in (made.get("image"), *made.get("images", ()))


def test_a_mask_keeps_its_transparency(folder: Path) -> None:
    import base64
    import io

    data = sent(edit())["maskImage"].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as mask:
        assert (mask.mode, mask.size, mask.getpixel((0, 0))) == ("RGBA", (96, 64), (0, 0, 0, 0))


def test_a_mask_of_another_size_is_refused_with_the_pictures(folder: Path) -> None:
    for sources in (["source.png"], ["source.png", REMOTE]):
        with pytest.raises(RequestInvalid) as refused:
            sent(edit(mask="small.png", images=sources))
        (problem,) = refused.value.problems
        assert (problem.field, problem.given) == ("mask", "64x64")
        assert problem.accepted.startswith("96x64, as images")
    assert sent(edit(mask="small.png", images=[REMOTE]))["images"] == [REMOTE]


def test_a_mask_inside_an_option_is_held_to_the_picture_beside_it() -> None:
    sizes = {"images": (8, 8), "control_nets.0.image": (4, 4)}
    check_masks({**sizes, "control_nets.0.mask": (4, 4)})
    check_masks({**sizes, "control_nets.0.mask": None})
    with pytest.raises(RequestInvalid) as refused:
        check_masks({**sizes, "control_nets.0.mask": (8, 8)})
    assert refused.value.accepted == "4x4, as control_nets.0.image"


def test_a_mask_alone_and_an_engine_without_masks_are_refused() -> None:
    with pytest.raises(RequestInvalid) as refused:
        ImageRequest(prompt="a hat", engine="openai", mask=REMOTE)
    assert (refused.value.field, refused.value.accepted) == ("mask", "images with it")
    for engine in ("flux2", "google"):
        with pytest.raises(RequestInvalid) as refused:
            plan(edit(engine=engine))
        assert refused.value.field == "mask"


def test_other_names_of_a_mask_are_answered_with_it() -> None:
    with pytest.raises(RequestInvalid) as refused:
        ImageRequest(prompt="a hat", images=[REMOTE], maskImage=REMOTE)  # type: ignore[call-arg]
    assert refused.value.nearest == "mask"
    with pytest.raises(RequestInvalid) as refused:
        plan(edit(mask=None, options={"maskImage": REMOTE}))
    assert refused.value.accepted == "the field mask"


def test_another_mask_is_another_purchase(folder: Path) -> None:
    orders = [
        Order(edit(mask=mask, images=[REMOTE])) for mask in ("mask.png", "same.png", "small.png")
    ]
    (folder / "same.png").write_bytes((folder / "mask.png").read_bytes())
    first, same, other = (prepare(order).identity(order) for order in orders)
    assert first == same != other


def test_a_mask_is_remembered_and_drawn_at_the_sources_size(folder: Path, client: Civitai) -> None:
    done = client.generate(edit(quality="draft"), out=folder / "out")
    assert [(p.width, p.height) for p in done.pictures] == [(96, 64)]
    fields = sidecar_facts(edit())["request"]
    assert fields["mask"] == str(folder / "mask.png")
    assert ImageRequest(**fields) == edit(images=[str(folder / "source.png")], mask=fields["mask"])


def test_a_model_may_name_a_mask_and_is_held_to_the_rule_of_sources(
    folder: Path, client: Civitai
) -> None:
    box = Toolbox(client, out=folder / "out", max_buzz=60)
    said = {"prompt": "a hat", "engine": "openai", "quality": "draft", "images": [REMOTE]}
    done = box.call("civitai_generate_image", {**said, "mask": REMOTE})
    assert done.data["status"] == "succeeded", done.text
    for mask in ("mask.png", "https://10.0.0.1/mask.png"):
        told = box.call("civitai_generate_image", {**said, "mask": mask})
        assert "mask" in told.text
        assert "https URL of a public host" in told.text


# -- style references -----------------------------------------------------------------------------
def test_style_references_are_sources_with_a_strength(folder: Path) -> None:
    asked = ImageRequest(
        prompt="a fox",
        engine="krea2",
        style_images=["source.png", {"image": REMOTE, "strength": 2}],
    )
    assert [field for field, _ in named(asked)] == ["style_images.0.image", "style_images.1.image"]
    local, remote = sent(asked)["imageStyleReferences"]
    assert local["imageUrl"].startswith("data:image/png;base64,")
    assert (local["strength"], remote) == (1, {"imageUrl": REMOTE, "strength": 2})
    fields = sidecar_facts(asked)["request"]
    assert json.loads(json.dumps(fields))["style_images"] == [
        {"image": str(folder / "source.png"), "strength": 1},
        {"image": REMOTE, "strength": 2},
    ]
    assert sent(ImageRequest(prompt="a fox", engine="krea2"))["imageStyleReferences"] == []


def test_a_style_reference_has_its_limits() -> None:
    def styled(**fields: Any) -> None:
        plan(ImageRequest(prompt="a fox", engine="krea2", **fields))

    styled(style_images=[REMOTE] * 10)
    with pytest.raises(RequestInvalid) as refused:
        styled(style_images=[REMOTE] * 11)
    assert (refused.value.field, refused.value.accepted) == ("style_images", "at most 10")
    with pytest.raises(RequestInvalid):
        styled(style_images=[{"image": REMOTE, "strength": 2.5}])
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", style_images=[REMOTE]))
    assert refused.value.field == "style_images"


def test_a_source_and_styles_go_by_the_makers_own_engine(folder: Path) -> None:
    made = sent(
        ImageRequest(
            prompt="a fox", engine="krea2", images=["source.png"], strength=0.4,
            style_images=[REMOTE],
        )
    )  # fmt: skip
    assert (made["engine"], made["strength"]) == ("krea", 0.4)
    assert made["image"].startswith("data:")
    assert made["imageStyleReferences"] == [{"imageUrl": REMOTE, "strength": 1}]


# -- backgrounds and web search -------------------------------------------------------------------
def test_backgrounds_and_web_search_reach_the_engines_that_have_them() -> None:
    asked = ImageRequest(prompt="a fox", engine="openai", variant="1.5", background="transparent")
    assert plan(ImageRequest.of(asked, retired=True)).form.sent()["background"] == "transparent"
    search = ImageRequest(
        prompt="the tower", engine="google", variant="nano-banana-2", grounding=True
    )
    assert plan(search).form.sent()["enableWebSearch"] is True
    for more in ({"background": "transparent"}, {"grounding": True}):
        with pytest.raises(RequestInvalid) as refused:
            plan(ImageRequest(prompt="a fox", **more))
        assert refused.value.field == next(iter(more))


def test_a_model_may_ask_for_web_search_among_the_options(client: Civitai, folder: Path) -> None:
    options = [{"name": "grounding", "value": "true"}, {"name": "retired", "value": "false"}]
    box = Toolbox(client, out=folder / "out", max_buzz=200)
    done = box.call(
        "civitai_generate_image",
        {"prompt": "the tower", "engine": "google", "variant": "nano-banana-2", "options": options},
    )
    assert (done.data["status"], done.data["buzz"]) == ("succeeded", 124), done.text


def test_every_form_with_a_mask_or_styles_uses_the_requests_own_names() -> None:
    for family in catalog.families():
        for form in family.forms:
            for name, field in form.model_fields.items():
                wire = (field.alias or name).lower()
                if "mask" in wire:
                    assert name == "mask"
                if "style" in wire and "reference" in wire:
                    assert name == "style_images"
