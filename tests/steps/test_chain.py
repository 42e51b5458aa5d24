"""Requests whose pictures are prepared and finished: the workflow, its price, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from civitai_skill.errors import RequestInvalid
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import Prepared, prepare
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_finishing, plan_request
from civitai_skill.steps.names import ENHANCE, PICTURE, parse_name
from tests.support.pictures import picture

URL = "https://example.com/a.png"
UPSCALER = "urn:air:other:upscaler:civitai:1@2"


def body_of(asked: ImageRequest | FinishRequest) -> dict[str, Any]:
    return sent(prepare(Order(asked)))


def sent(prepared: Prepared) -> dict[str, Any]:
    return prepared.body(s if isinstance(s, str) else s.data_url() for s in prepared.sources)


def refusal(**fields: Any) -> str:
    with pytest.raises(RequestInvalid) as caught:
        body_of(ImageRequest(**{"prompt": "a fox", **fields}))
    return str(caught.value)


# -- the workflow --------------------------------------------------------------------------------
def test_each_picture_has_a_chain_of_its_own_and_words_do_not_wait_for_it() -> None:
    asked = ImageRequest(
        prompt="a fox", negative_prompt="blur", engine="sdxl", seed=7, quantity=2, upscale=2,
        upscale_model=UPSCALER, remove_background=True, caption=True, enhance_prompt=True,
    )  # fmt: skip
    enhance, picture, up, cut, said, *second = body_of(asked)["steps"]
    assert enhance["input"] == {"ecosystem": "sdxl", "prompt": "a fox", "negativePrompt": "blur"}
    assert picture["input"]["prompt"] == {"$ref": "enhance", "path": "output.enhancedPrompt"}
    assert picture["input"]["negativePrompt"]["path"] == "output.enhancedNegativePrompt"
    first = {"$ref": "picture", "path": "output.images[0].url"}
    assert up["input"] == {"image": first, "model": UPSCALER, "numberOfRepeats": 2}
    assert cut["input"] == {"image": {"$ref": "upscale-1", "path": "output.blob.url"}}
    assert said["input"] == {"mediaUrl": first}
    assert [step["name"] for step in second] == ["upscale-2", "cutout-2", "caption-2"]
    assert second[0]["input"]["image"]["path"] == "output.images[1].url"


def test_a_request_without_finishing_is_the_one_step_it_was() -> None:
    (step,) = body_of(ImageRequest(prompt="a fox", seed=7))["steps"]
    assert set(step) == {"$type", "input"}
    (step,) = body_of(ImageRequest(prompt="a fox", exact="512x512"))["steps"]
    assert set(step) == {"$type", "input"}


def test_the_second_drawing_is_a_larger_variant_of_the_first() -> None:
    asked = ImageRequest(prompt="a fox", engine="sdxl", seed=7, quantity=2, hires=1.5)
    first, one, two = body_of(asked)["steps"]
    assert [s["name"] for s in (first, one, two)] == [PICTURE, "hires-1", "hires-2"]
    assert one["input"]["operation"] == "createVariant"
    assert (one["input"]["width"], one["input"]["height"]) == (1536, 1536)
    assert (one["input"]["strength"], one["input"]["seed"], two["input"]["seed"]) == (0.4, 7, 8)
    assert two["input"]["image"] == {"$ref": "picture", "path": "output.images[1].url"}
    assert "makes variants" in refusal(engine="openai", hires=2)
    assert "64 to 2048 pixels" in refusal(engine="sdxl", hires=4)


def test_a_prompt_that_another_step_writes_is_not_measured_here() -> None:
    long = "x" * 5000
    assert "too long" in refusal(prompt=long)
    steps = body_of(ImageRequest(prompt=long, enhance_prompt=True))["steps"]
    assert steps[0]["input"]["prompt"] == long


def test_a_repair_goes_by_mask_or_by_control_net(tmp_path: Any) -> None:
    for name in ("a.png", "m.png"):
        (tmp_path / name).write_bytes(picture(size=(64, 64)))
    source, mask = str(tmp_path / "a.png"), str(tmp_path / "m.png")
    asked = {"prompt": "a red door", "images": [source], "inpaint": mask}
    (free,) = body_of(ImageRequest(**asked))["steps"]
    assert free["input"]["engine"] == "openai"
    assert any("mask" in name.lower() for name in free["input"])
    (sd,) = body_of(ImageRequest(**asked, engine="sdxl"))["steps"]
    (net,) = sd["input"]["controlNets"]
    assert (sd["input"]["operation"], net["preprocessor"]) == ("createVariant", "inpaint")
    assert net["mask"].startswith("data:image/png")
    assert "engine with masks" in refusal(**asked, engine="seedream")


# -- prices --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "buzz"),
    [
        ({"upscale": 1}, 3 + 4),
        ({"upscale": 1, "remove_background": True}, 3 + 4 + 9),
        ({"remove_background": True, "quantity": 2}, 5 + 14),
        ({"enhance_prompt": True, "caption": True, "rate": True, "auto_tags": True}, 3 + 1 + 3),
        ({"exact": "5000x200"}, 3 + 8),
        ({"exact": "5000x200", "free": True}, 3),
        ({"exact": "256x256"}, 3),
        ({"exact": "2048x2048", "engine": "sdxl"}, 10 + 4),
        ({"svg": "vtracer"}, None),
    ],
)
def test_all_steps_are_priced_together(fields: dict[str, Any], buzz: int | None) -> None:
    decided = plan_request(ImageRequest(prompt="a fox", **fields))
    assert decided.price.buzz == buzz
    assert "to draw" in str(decided.price) or buzz == 3


def test_exact_pixels_that_the_engine_takes_are_drawn_so() -> None:
    small = plan_request(ImageRequest(prompt="a fox", exact="1280x768"))
    assert (small.form.sent()["width"], small.form.sent()["height"]) == (1280, 768)
    assert (small.price.buzz, small.size, small.notes) == (3, (1280, 768), ())
    large = plan_request(ImageRequest(prompt="a fox", exact="4096x4096", engine="seedream"))
    assert (large.price.buzz, large.size) == (60, (4096, 4096))
    # Far fewer pixels than it draws well are drawn larger and made smaller here.
    icon = plan_request(ImageRequest(prompt="a fox", exact="512x512"))
    assert "from 1024x1024" in icon.notes[0]


def test_pictures_that_are_there_are_priced_by_their_own_sizes() -> None:
    asked = FinishRequest(images=[URL, URL], upscale=1, remove_background=True)
    known = plan_finishing(asked, ((1024, 1024), (640, 480)))
    assert (known.price.buzz, known.quantity) == (4 + 9 + 2 + 7, 2)
    unknown = plan_finishing(asked, (None, None))
    assert unknown.price.buzz is None
    assert "size is not known" in str(unknown.price)
    here = plan_finishing(FinishRequest(images=[URL], output_format="png", width=300), (None,))
    assert (here.steps, here.price.buzz, here.here) == ((), 0, (0,))


# -- what can't follow ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "instead"),
    [
        ({"upscale": 4}, "Nearest that works: 3"),
        ({"remove_background": True, "output_format": "jpg"}, "Nearest that works: 'png'"),
        ({"svg": "vtracer", "upscale": 1}, "svg without upscale, or upscale without svg"),
        ({"svg": "vtracer", "exact": "10x10"}, "svg without exact"),
        ({"svg": "vtracer", "output_format": "png"}, "leave it out"),
        ({"svg": "vtracer", "svg_settings": {"filterSpeckle": 101}}, "Nearest that works: 100"),
        ({"svg": "vtracer", "svg_settings": {"speckle": 1}}, "no such field"),
        ({"upscale_model": UPSCALER}, "upscale with it"),
        ({"exact": "10x10", "width": 512}, "exact alone"),
        ({"exact": "10"}, "write it as 5000x200"),
        ({"exact": "16000x16000"}, "fewer pixels, or free"),
        ({"exact": "4000x4000", "upscale": 1}, "more passes of upscale"),
        ({"file_quality": 80, "output_format": "png"}, "output_format webP"),
        ({"file_width": 5000}, "1.5 times"),
        ({"crop": "5000x5000"}, "reaches beyond the picture"),
        ({"crop": "5:4:3"}, "from the middle"),
        ({"hires_strength": 0.5}, "hires with it"),
        ({"inpaint": URL}, "exactly one with inpaint"),
        ({"on_service": True, "exact": "10x10"}, "leave it out, or exact"),
        ({"on_service": True, "file_width": 5000}, "Nearest that works: 4096"),
    ],
)
def test_a_wrong_chain_is_refused_with_what_works(fields: dict[str, Any], instead: str) -> None:
    assert instead in refusal(**fields)


def test_finishing_without_work_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="nothing to be done"):
        FinishRequest(images=[URL])


# -- every chain ---------------------------------------------------------------------------------
FLAGS = ("remove_background", "caption", "auto_tags", "rate", "on_service")
FINISHING = st.fixed_dictionaries(
    {},
    optional={
        "upscale": st.integers(1, 3),
        "svg": st.sampled_from(["vtracer", "starvector", "omnisvg"]),
        "output_format": st.sampled_from(["jpeg", "png", "webP"]),
        **{name: st.booleans() for name in FLAGS},
    },
)
DRAWING = st.fixed_dictionaries(
    {"engine": st.sampled_from(["flux2", "sdxl", "qwen", "seedream", "openai"])},
    optional={
        "quantity": st.integers(1, 3),
        "enhance_prompt": st.booleans(),
        "hires": st.sampled_from([1, 1.5]),
        "negative_prompt": st.just("blur"),
        "file_width": st.integers(1, 900),
        "exact": st.sampled_from(["256x256", "3000x1000"]),
    },
)


def check(body: dict[str, Any], referee: Any) -> None:
    """Does it fit the document, and does each reference name an earlier step?"""
    assert referee.request(body) == []
    earlier: set[str] = set()
    for step in body["steps"]:
        for value in step["input"].values():
            if isinstance(value, dict) and "$ref" in value:
                assert set(value) == {"$ref", "path"}
                assert value["$ref"] in earlier
        name = step.get("name")
        if name is not None:
            assert name in (ENHANCE, PICTURE) or parse_name(name)
            assert name not in earlier
            earlier.add(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(finishing=FINISHING, drawing=DRAWING)
def test_every_chain_fits_the_document(
    finishing: dict[str, Any], drawing: dict[str, Any], referee: Any
) -> None:
    try:
        body = body_of(ImageRequest(prompt="a fox", **finishing, **drawing))
    except RequestInvalid:
        reject()
    check(body, referee)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(finishing=FINISHING, quantity=st.integers(1, 3))
def test_every_lone_chain_fits_the_document(
    finishing: dict[str, Any], quantity: int, referee: Any
) -> None:
    try:
        body = body_of(FinishRequest(images=[URL] * quantity, **finishing))
    except RequestInvalid:
        reject()
    if body["steps"]:
        check(body, referee)
