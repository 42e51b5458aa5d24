"""Every step's form accepts what the published document accepts, and refuses what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from civitai_skill.steps.catalog import STEPS, form_of
from civitai_skill.steps.image_to_svg import TO_SVG
from civitai_skill.steps.image_upscaler import REMACRI, Upscaler
from civitai_skill.steps.media_rating import Rating
from tests.support.json_values import places

PICTURE = "https://example.org/a.png"
REGION = {"x1": 0, "y1": 0, "x2": 9, "y2": 9}
BLUR = {"type": "blur", "blur": 5, "mode": "include", "regions": [REGION]}
WEBP = {"format": "webp", "hideMetadata": False, "quality": 1, "lossless": True, "maxFrames": None}
SVG = {"engine": "comfy", "image": PICTURE}

#: An input of every form, with all of its fields.
INPUTS: list[tuple[str, dict[str, Any]]] = [
    ("imageUpscaler", {"image": PICTURE, "model": REMACRI, "numberOfRepeats": 2}),
    ("imageBackgroundRemoval", {"image": PICTURE, "format": "webp"}),
    *(
        (
            "convertImage",
            {
                "image": PICTURE,
                "transforms": [{"type": "resize", "targetWidth": 64}, BLUR],
                "output": output,
            },
        )
        for output in (
            {"format": "jpeg", "hideMetadata": True, "quality": 80},
            WEBP,
            {"format": "png", "hideMetadata": False},
            {"format": "gif", "hideMetadata": False, "maxFrames": 3},
        )
    ),
    (
        "imageToSvg",
        {
            **SVG,
            "ecosystem": "vtracer",
            "hierarchical": "cutout",
            "mode": "polygon",
            "filterSpeckle": 0,
            "colorPrecision": 10,
            "layerDifference": 0,
            "cornerThreshold": 180,
            "lengthThreshold": 3.5,
            "maxIterations": 1,
            "spliceThreshold": 0,
            "pathPrecision": 8,
        },
    ),
    (
        "imageToSvg",
        {
            **SVG,
            "ecosystem": "starvector",
            "model": "starvector-8b",
            "precision": "bf16",
            "maxLength": 16000,
        },
    ),
    (
        "imageToSvg",
        {
            **SVG,
            "ecosystem": "omnisvg",
            "model": "omnisvg-8b",
            "maxLength": 256,
            "seed": 0,
            "topP": 1,
            "topK": 1,
            "temperature": 0,
            "repetitionPenalty": 10,
            "prompt": "a fox",
        },
    ),
    (
        "promptEnhancement",
        {
            "ecosystem": "sdxl",
            "prompt": "a fox",
            "negativePrompt": "blur",
            "temperature": 0.5,
            "instruction": "short",
            "images": [PICTURE],
        },
    ),
    (
        "mediaCaptioning",
        {
            "model": "ideogram4",
            "mediaUrl": PICTURE,
            "temperature": 1,
            "maxNewTokens": 9,
            "customInstructions": "short",
        },
    ),
    ("wdTagging", {"model": "cl-tagger.v2", "mediaUrl": PICTURE, "threshold": 0.3, "prompt": "x"}),
    ("mediaRating", Rating.level_only(PICTURE).sent()),
]
WRONG: tuple[Any, ...] = (None, "text", "", 7, 7.0, 7.5, -1, 0, 181, 10**6, True, [], {}, [7])


def judged(kind: str, given: dict[str, Any]) -> bool:
    form = form_of(kind, given)
    try:
        return form is not None and form.model_validate(given) is not None
    except ValidationError:
        return False


@pytest.mark.parametrize(("kind", "given"), INPUTS)
def test_the_verdict_is_the_documents(kind: str, given: dict[str, Any], referee: Any) -> None:
    def fits(changed: dict[str, Any]) -> bool:
        return referee.request({"steps": [{"$type": kind, "input": changed}]}) == []

    assert judged(kind, given)
    assert fits(given)
    wrong = []
    for place in range(len([*places(given)])):
        for value in (*WRONG, ...):
            changed = copy.deepcopy(given)
            container, key = [*places(changed)][place]
            if value is ...:
                del container[key]
            elif isinstance(container[key], int) and value == 0:
                container[key] += 1  # one beyond, where it stood at its limit
            else:
                container[key] = value
            if judged(kind, changed) is not fits(changed):
                wrong.append((place, key, value))
    assert wrong == []
    assert not judged(kind, {**given, "extra": 1})


def test_what_is_sent_is_what_was_said_and_the_form_itself() -> None:
    assert {kind for kind, _ in INPUTS} == set(STEPS)
    for kind, given in INPUTS:
        form = form_of(kind, given)
        assert form is not None
        assert (form.model_validate(given).sent(), form.kind) == (
            {k: v for k, v in given.items() if v is not None}
            if "output" not in given
            else form.model_validate(given).sent(),
            kind,
        )
    least = {**SVG, "ecosystem": "vtracer"}
    assert TO_SVG["vtracer"].model_validate(least).sent() == least


@pytest.mark.parametrize(
    ("kind", "given", "size", "buzz"),
    [
        ("imageUpscaler", {}, (512, 512), 2),
        ("imageUpscaler", {}, (1024, 1024), 4),
        ("imageUpscaler", {}, (2048, 2048), 10),
        ("imageUpscaler", {"numberOfRepeats": 2}, (1024, 1024), 8),
        ("imageUpscaler", {"numberOfRepeats": 3}, (1024, 1024), 16),
        ("imageBackgroundRemoval", {}, (512, 768), 6),
        ("imageBackgroundRemoval", {}, (1024, 1024), 7),
        ("imageBackgroundRemoval", {}, (2048, 2048), 9),
        ("imageBackgroundRemoval", {}, (4096, 4096), 18),
    ],
)
def test_the_recipe_pages_own_prices(
    kind: str, given: dict[str, Any], size: tuple[int, int], buzz: int
) -> None:
    assert STEPS[kind].model_validate({"image": PICTURE, **given}).buzz(size) == buzz


def test_sizes_follow() -> None:
    twice = Upscaler.model_validate({"image": PICTURE, "numberOfRepeats": 2})
    assert twice.drawn((300, 200)) == (1200, 800)
    narrow = STEPS["convertImage"].model_validate(
        {"image": PICTURE, "transforms": [{"type": "resize", "targetWidth": 150}],
         "output": {"format": "png", "hideMetadata": False}}
    )  # fmt: skip
    assert narrow.drawn((300, 200)) == (150, 100)
