"""Source pictures and engines: which one decides, what it costs, what shape it gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from civitai_skill import Civitai, ImageRequest, RequestInvalid, build_workflow
from civitai_skill.engines.planning.plan import Plan, Price, plan
from civitai_skill.engines.planning.sizes import within
from civitai_skill.sandbox import Sandbox

URL = "https://example.org/a.png"
Sizes = tuple[tuple[int, int] | None, ...]


def decide(sources: Sizes, **fields: Any) -> Plan:
    request = ImageRequest(**{"prompt": "a fox", "images": [URL] * len(sources), **fields})
    return plan(request, sources=sources)


# -- price and shape -------------------------------------------------------------------------------
def test_the_cap_holds_while_the_first_source_is_unknown_whatever_the_others_are() -> None:
    alone = decide((None,), engine="qwen").price
    assert (alone.buzz, alone.cap, alone.most) == (40, 160, 160)
    joined = decide((None, (640, 480)), engine="qwen").price
    assert (joined.buzz, joined.cap) == (44, 176)
    assert decide(((640, 480), None), engine="qwen").price == Price(13)


def test_a_first_source_that_is_unknown_gives_no_shape() -> None:
    assert decide((None, (1920, 1080))).size == (1024, 1024)
    assert decide(((1920, 1080), None)).size == (1280, 720)


@pytest.mark.parametrize(
    ("source", "price"),
    [
        ((2048, 2048), Price(160)),
        ((4000, 3000), Price(120, 160, "for a source scaled down to 2048x1536, at most 160")),
        ((3000, 4000), Price(120, 160, "for a source scaled down to 1536x2048, at most 160")),
        ((4000, 4000), Price(160)),
        ((20000, 10), Price(1, 160, "for a source scaled down to 2048x1, at most 160")),
    ],
)
def test_a_source_above_the_forms_limit_is_never_priced_above_its_cap(
    source: tuple[int, int], price: Price
) -> None:
    assert decide((source,), engine="qwen").price == price


def test_a_variant_of_a_large_source_keeps_its_cap_too() -> None:
    found = decide(((4000, 3000),), engine="qwen", strength=0.5).price
    assert (found.buzz, found.cap) == (54, 72)


def test_a_size_within_the_form_stays_as_it_is() -> None:
    form = type(decide((None,), engine="qwen").form)
    assert [within(form, size) for size in ((640, 480), (2048, 9), (4096, 18))] == [
        (640, 480), (2048, 9), (2048, 9),
    ]  # fmt: skip


def test_the_sandbox_lets_the_same_source_decide(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (9, 99, 9)).save(tmp_path / "a.png")
    Image.new("RGB", (2600, 1300), (9, 99, 9)).save(tmp_path / "big.png")
    images = {"engine": "qwen", "max_buzz": 900}
    with Civitai(sandbox=Sandbox(balance={"blue": 900})) as client:
        two = client.estimate("x", images=[URL, str(tmp_path / "a.png")], engine="qwen")
        big = client.generate("x", images=[str(tmp_path / "big.png")], out=tmp_path, **images)

    assert two.total == 44
    assert big.workflow.cost.total == 80
    assert [(p.width, p.height) for p in big.pictures] == [(2048, 1024)]


# -- what an engine's sources may be ---------------------------------------------------------------
@pytest.mark.parametrize(("size", "why"), [((2000, 500), "too wide"), ((500, 1501), "too tall")])
def test_seedream_refuses_a_source_beyond_three_to_one(size: tuple[int, int], why: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        decide((None, (900, 300), size), engine="seedream")
    (problem,) = refused.value.problems
    assert (problem.field, problem.why) == ("images.2", why)
    assert problem.accepted == "sources between 1:3 and 3:1; crop it first"
    assert decide((size,)).operation == "edit"


# -- what is said about a size ---------------------------------------------------------------------
def test_a_source_of_unknown_size_gives_the_default_shape_and_a_note() -> None:
    for engine, shape in (("flux2", "1024x1024"), ("flux1-kontext", "1:1"), ("seedream", "2048")):
        (note,) = decide((None,), engine=engine).notes
        assert "size is not known" in note
        assert f"the default shape is used: {shape}" in note
    for said in ({"engine": "qwen"}, {"engine": "grok"}, {"aspect_ratio": "16:9"}):
        assert decide((None,), **said).notes == ()


def test_one_side_alone_says_what_the_other_became() -> None:
    assert decide((), width=768).notes == ("Only width was said; height is 1024.",)
    hosted = decide((), engine="qwen", variant="2.0", height=768)
    assert (hosted.size, hosted.notes) == (
        (1328, 768), ("Only height was said; width is 1328.",),
    )  # fmt: skip


# -- sizes by quality ------------------------------------------------------------------------------
def test_true_4k_is_asked_for_only_where_it_is_drawn() -> None:
    def size(variant: str, quality: str, ratio: str | None = "16:9") -> Any:
        fields = {"variant": variant, "quality": quality, "aspect_ratio": ratio}
        return decide((), engine="seedream", **fields).size

    assert [size(v, "high") for v in ("v4.5", "v5.0-lite", "v5.0-pro", "v4", "v3")] == [
        (4096, 2304), (4096, 2304), (2560, 1440), (2560, 1440), (2560, 1440),
    ]  # fmt: skip
    drafts = [size(v, "draft", None) for v in ("v4.5", "v5.0-lite", "v5.0-pro", "v4", "v3")]
    assert drafts == [(2048, 2048)] * 3 + [(1024, 1024)] * 2


def test_a_hosted_qwen_draws_the_same_square_whether_it_is_said_or_not() -> None:
    hosted = {"engine": "qwen", "variant": "2.0", "quality": "draft"}
    assert decide((), **hosted).size == decide((), **hosted, aspect_ratio="1:1").size


# -- the JSON that is sent -------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["flux2", "sdxl", "flux1-kontext", "seedream", "qwen"])
def test_a_workflow_is_what_is_sent_for_a_local_source(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = []
    real = Sandbox.handle

    def handle(self: Sandbox, asked: httpx.Request) -> Any:
        bodies.append(json.loads(asked.read() or "{}"))
        return real(self, asked)

    monkeypatch.setattr(Sandbox, "handle", handle)
    picture = tmp_path / "wide.png"
    Image.new("RGB", (640, 360), (9, 99, 9)).save(picture)
    request = ImageRequest(prompt="winter", engine=engine, images=[str(picture)], seed=7)
    built = build_workflow(request)
    with Civitai(sandbox=Sandbox()) as client:
        client.submit(request)

    sent = next(body for body in bodies if "externalId" in body)
    assert {**built, "externalId": sent["externalId"]} == sent


def test_fields_will_do_for_a_price_and_a_workflow() -> None:
    from civitai_skill.engines.describe import estimate_offline

    assert estimate_offline({"prompt": "a fox", "engine": "sdxl", "steps": 20}) == Price(8)
    assert build_workflow({"prompt": "a fox"})["steps"][0]["input"]["prompt"] == "a fox"
    with pytest.raises(RequestInvalid):
        estimate_offline({"engine": "sdxl"})


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ((3000, 1000), (2048, 688)),
        ((100, 300), (512, 1536)),
        ((4000, 2000), (2048, 1024)),
        ((5000, 200), (2048, 512)),  # 4:1 is as wide as klein draws
        ((512, 2500), (512, 2048)),
    ],
)
def test_the_nearest_of_a_size_out_of_range_is_a_whole_shape_that_is_drawn(
    given: tuple[int, int], near: tuple[int, int]
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", width=given[0], height=given[1]))
    told = {p.field: p.nearest for p in refused.value.problems}
    whole = {"width": told.get("width", given[0]), "height": told.get("height", given[1])}
    assert (whole["width"], whole["height"]) == near
    assert plan(ImageRequest(prompt="a fox", **whole)).size == near


@pytest.mark.parametrize(
    ("variant", "given", "near"),
    [
        (None, (4096, 256), (4096, 904)),
        ("v4.5", (1024, 1024), (1920, 1920)),
        ("v5.0-lite", (1300, 700), (2624, 1416)),
        ("v4", (256, 512), (680, 1360)),
    ],
)
def test_fewer_pixels_than_the_maker_draws_are_answered_with_a_shape_of_enough(
    variant: str | None, given: tuple[int, int], near: tuple[int, int]
) -> None:
    asked = {"prompt": "a fox", "engine": "seedream", "variant": variant}
    with pytest.raises(RequestInvalid, match="too few pixels") as refused:
        plan(ImageRequest(**asked, width=given[0], height=given[1]))
    assert refused.value.nearest == "{}x{}".format(*near)
    assert plan(ImageRequest(**asked, width=near[0], height=near[1])).size == near


@pytest.mark.parametrize("variant", ["v4.5", "v5.0-lite", "v4", "v5.0-pro"])
def test_a_ratio_has_as_many_pixels_as_the_maker_draws(variant: str) -> None:
    for wide in range(45, 128):
        asked = {"prompt": "a fox", "engine": "seedream", "variant": variant}
        drawn = plan(ImageRequest(**asked, aspect_ratio=f"{wide}:55", quality="draft"))
        assert drawn.size is not None
        assert 0.7 < drawn.size[0] / drawn.size[1] / (wide / 55) < 1.4
