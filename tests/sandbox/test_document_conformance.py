"""The sandbox refuses what the published document refuses, and nothing else."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

import httpx
import pytest

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.sandbox import BASE_URL, KEY, Sandbox, SandboxTransport, Switches
from civitai_skill.sandbox.steps import check
from tests.support.json_values import places
from tests.support.thorough import cases

MUTATIONS = cases(20)  # for each body; there are more than a hundred bodies
AIR = "urn:air:sdxl:lora:civitai:123@456"
WRONG: tuple[Any, ...] = (
    None, "text", "7", "", 7, 7.0, 7.5, -1, 0, 10**6, True, False, [], {}, [None], ["a", "a"], [7],
    [{}], {"a": 1}, {"$ref": "$arguments", "path": "prompt"}, {"$ref": "$arguments"},
    {"$ref": 5}, {"$ref": "$arguments", "path": "prompt", "more": 1}, "x" * 11_000,
)  # fmt: skip
TAGS: tuple[Any, ...] = (
    list("abcdefghij"), list("abcdefghijk"), ["a", "a"], [1], [None], "a", ["", "b"],
)  # fmt: skip
DISCRIMINATORS = ("sdcpp", "comfy", "flux2", "openai", "sdxl", "anima", "createImage", "nonsense",
                  "editImage", "createVariant", "klein", "v1.0", "v2.0", "echo", "imageGen",
                  "convertImage", "jpeg", "webp", "resize", "blur", "vtracer", "omnisvg",
                  "joy-caption", "wdTagging")  # fmt: skip


def sample(limit: Limit) -> Any:
    """Some value that a field accepts."""
    if limit.name == "control_nets":
        return [{"preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 1}]
    if limit.source == "style":
        return [{"imageUrl": "https://example.org/a.png", "strength": 1}]
    if limit.choices:
        return limit.choices[0]
    if limit.role == "lora":
        return {AIR: 0.8} if limit.kind == "map" else [{"air": AIR, "strength": 1}]
    if limit.role is not None:
        return [AIR] if limit.kind == "list" else AIR
    if limit.kind == "list":
        return ["https://example.org/a.png"] * max(limit.least or 0, 1)
    if limit.kind in ("whole", "number"):
        return math.ceil(limit.minimum if limit.minimum is not None else 1)
    return {"flag": True, "map": {}}.get(limit.kind, "a fox")


def whole(form: type[Wire]) -> dict[str, Any]:
    """An input with every field set."""
    return form.tags() | {limit.wire: sample(limit) for limit in limits(form).values()}


def steps() -> Iterator[dict[str, Any]]:
    """A step of every kind that the sandbox emulates."""
    for form in check.forms():
        yield {"$type": "imageGen", "input": whole(form)}
    picture = "https://example.org/a.png"
    yield {"$type": "imageUpscaler", "input": {"image": picture, "numberOfRepeats": 2}}
    yield {"$type": "imageBackgroundRemoval", "input": {"image": picture, "format": "webp"}}
    yield {
        "$type": "promptEnhancement",
        "input": {"ecosystem": "sdxl", "prompt": "a fox", "temperature": 0.5, "images": [picture]},
    }
    tracing = {"mode": "polygon", "filterSpeckle": 4, "lengthThreshold": 3.5, "pathPrecision": 0}
    writing = {"model": "omnisvg-8b", "maxLength": 512, "seed": 7, "topP": 0.5, "prompt": "a fox"}
    for ecosystem, more in (
        ("vtracer", tracing), ("starvector", {"precision": "bf16"}), ("omnisvg", writing),
    ):  # fmt: skip
        given = {"engine": "comfy", "ecosystem": ecosystem, "image": picture, **more}
        yield {"$type": "imageToSvg", "input": given}
    given = {"mediaUrl": picture, "model": "ideogram4", "temperature": 0.5, "maxNewTokens": 99}
    yield {"$type": "mediaCaptioning", "input": {**given, "customInstructions": "be brief"}}
    yield {"$type": "wdTagging", "input": {"mediaUrl": picture, "model": "x", "threshold": 0.5}}
    flags = ("AgeClassification", "AIRecognition", "AnimeRecognition", "BodyAgeClassification",
             "FaceRecognition", "HumanRecognition")  # fmt: skip
    asked = dict.fromkeys((f"include{name}" for name in flags), False)
    yield {"$type": "mediaRating", "input": {"image": picture, **asked}}
    blur = {
        "type": "blur",
        "blur": 5,
        "mode": "include",
        "regions": [{"x1": 0, "y1": 0, "x2": 9, "y2": 9}],
    }
    for output in (
        {"format": "jpeg", "hideMetadata": True, "quality": 80},
        {"format": "webp", "hideMetadata": False, "lossless": True, "maxFrames": None},
        {"format": "png", "hideMetadata": False},
        {"format": "gif", "hideMetadata": False, "maxFrames": 3},
    ):
        transforms = [{"type": "resize", "targetWidth": 64}, blur]
        yield {
            "$type": "convertImage",
            "input": {"image": picture, "transforms": transforms, "output": output},
        }


def around(step: dict[str, Any]) -> dict[str, Any]:
    """A template with everything set around a step."""
    return {
        "steps": [{**step, "name": "one", "priority": "low", "timeout": "00:10:00", "retries": 1,
                   "metadata": {"a": 1}}],
        "tags": ["a", "b"],
        "metadata": {"b": [1, 2]},
        "arguments": {"prompt": "a fox"},
        "callbacks": [{"url": "https://example.org", "type": ["workflow:*"], "detailed": True}],
        "tips": {"civitai": 0.25, "creators": 0},
        "nsfwLevel": "pg",
        "experimental": False,
        "allowMatureContent": False,
        "upgradeMode": "manual",
        "currencies": ["blue"],
        "ephemeral": False,
        "externalId": "abc-1_2",
    }  # fmt: skip


def mutate(random: Random, body: dict[str, Any]) -> None:
    """Make one change somewhere."""
    container, key = random.choice([*places(body)])
    kind = random.choice(("drop", "extra", "wrong", "wrong", "wrong", "near", "name"))
    if kind == "drop":
        del container[key]
    elif kind == "extra" and isinstance(container, dict):
        container[random.choice(("extra", "negative_prompt", "clipSkip", "sampler", "$ref"))] = 1
    elif key == "tags":
        container[key] = random.choice(TAGS)
    elif kind == "name" and isinstance(container[key], str):
        container[key] = random.choice(DISCRIMINATORS)
    elif kind == "near" and isinstance(container[key], int):
        container[key] = random.choice((container[key] - 1, float(container[key]), 4097, "7", True))
    else:
        container[key] = copy.deepcopy(random.choice(WRONG))


@pytest.fixture
def submit() -> Iterator[Any]:
    """Sends a body as an estimate, to be judged by the schemas alone."""
    sandbox = Sandbox(switches=Switches(long_tags_refused=False))
    with httpx.Client(transport=SandboxTransport(sandbox), base_url=BASE_URL) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield lambda body: client.post(
            "/v2/consumer/workflows", params={"whatif": "true"}, json=body
        )
    sandbox.close()


def _is_grok(fault: str, body: Any) -> bool:
    """The referee reads Grok 2 without an operation as createImage, and then misses it."""
    return "'operation' is a required" in fault and body["steps"][0]["input"]["engine"] == "grok"


#: What the sandbox refuses beyond the document: steps that it lacks, references with other keys or
#: to a step that is not there.
_BEYOND = ("does not emulate", "A reference needs", "No step before this one")


def judge(submit: Any, referee: Any, mutations: int, random: Random) -> tuple[int, int, list[Any]]:
    """Spoil a body of each step so often: how many were judged, how many the sandbox refused, and
    those of which the referee says otherwise."""
    judged, refused, wrong = 0, 0, []
    for step in steps():
        for _ in range(mutations):
            body = copy.deepcopy(around(step))
            for _ in range(random.choice((1, 1, 1, 2))):
                mutate(random, body)
            answer = submit(body)
            if any(words in answer.text for words in _BEYOND):
                continue
            judged += 1
            refused += answer.status_code == 400
            faults = [text for text in referee.request(body) if not _is_grok(text, body)]
            if (answer.status_code == 200) is not (faults == []):
                wrong.append((answer.text[:200], faults[:2], json.dumps(body)[:1500]))
    return judged, refused, wrong


@pytest.mark.slow
def test_the_verdict_on_mutated_bodies_is_the_documents(submit: Any, referee: Any) -> None:
    judged, refused, wrong = judge(submit, referee, MUTATIONS, Random(20260810))
    assert wrong == []
    assert judged > 100 * MUTATIONS
    assert judged * 0.3 < refused < judged * 0.95


def test_every_body_before_mutation_fits(submit: Any, referee: Any) -> None:
    for step in steps():
        assert (submit(around(step)).status_code, referee.request(around(step))) == (200, [])


def test_every_sample_body_of_an_emulated_form_is_accepted(submit: Any, sample_bodies: Any) -> None:
    accepted = 0
    for body in (entry["body"] for entry in sample_bodies):
        answer = submit(body)
        assert answer.status_code == 200, answer.text
        accepted += 1
    assert accepted == 46
