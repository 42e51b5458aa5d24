"""Steps that follow one another: what each waits for, costs and gives; what is no chain."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageChops, ImageDraw

from civitai_skill.sandbox import Fault

Play = Callable[..., Any]
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a red fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512, "seed": 7,
}  # fmt: skip
PRICE = 3
FLAGS = dict.fromkeys(
    (f"include{name}" for name in ("AgeClassification", "AIRecognition", "AnimeRecognition",
                                   "BodyAgeClassification", "FaceRecognition",
                                   "HumanRecognition")), False,
)  # fmt: skip
PATHS = {"imageGen": "output.images[0].url", "imageBackgroundRemoval": "output.image.url"}


def named(name: str, kind: str, source: str | dict[str, str] | None = None, **given: Any) -> Any:
    """A step of this name; `source` is an address, or the reference to a picture."""
    if source is not None:
        place = "mediaUrl" if kind in ("mediaCaptioning", "wdTagging") else "image"
        given[place] = source
    return {"$type": kind, "name": name, "input": given}


def of(name: str, kind: str = "imageGen") -> dict[str, str]:
    """The reference to a step's picture."""
    return {"$ref": name, "path": PATHS.get(kind, "output.blob.url")}


def everything(source: Any) -> list[Any]:
    """A step of every kind behind one source."""
    return [
        named("large", "imageUpscaler", source),
        named("cut", "imageBackgroundRemoval", source, format="webp"),
        named("saved", "convertImage", source, output={"format": "png", "hideMetadata": True}),
        named("curves", "imageToSvg", source, engine="comfy", ecosystem="vtracer"),
        named("words", "mediaCaptioning", source),
        named("tags", "wdTagging", source),
        named("level", "mediaRating", source, **FLAGS),
    ]


def statuses(value: Any) -> list[str]:
    return [step["status"] for step in value["steps"]]


def outputs(value: Any) -> dict[str, Any]:
    return {step["name"]: step.get("output") for step in value["steps"]}


def fetched(client: Any, blob: Any) -> bytes:
    return bytes(client.get(blob["url"], follow_redirects=True).content)


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def inline(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


# -- what comes out --------------------------------------------------------------------------------
def test_every_step_does_its_work_on_the_picture_before(play: Play) -> None:
    client = play()
    steps = [named("first", "imageGen", **FOX), *everything(of("first"))]
    planned = client.submit(*steps, whatif=True)
    value = client.submit(*steps, wait=5).json()
    prices = PRICE + 2 + 6 + 1 + 50 + 3
    assert planned.json()["cost"]["total"] == value["cost"]["total"] == prices
    assert planned.headers["X-Civitai-Cost-Total"] == str(prices)
    assert (value["status"], set(statuses(value))) == ("succeeded", {"succeeded"})
    found = outputs(value)
    first = opened(fetched(client, found["first"]["images"][0]))
    large = opened(fetched(client, found["large"]["blob"]))
    assert (
        large.size == (1024, 1024) == tuple(found["large"]["blob"][n] for n in ("width", "height"))
    )
    apart = ImageChops.difference(large.resize((64, 64)), first.resize((64, 64)))
    assert max(high for _, high in apart.getextrema()) < 60  # type: ignore[misc]
    cut = opened(fetched(client, found["cut"]["image"]))
    assert (cut.size, cut.mode, cut.getpixel((0, 0))[3]) == ((512, 512), "RGBA", 0)  # type: ignore[index]
    assert cut.getpixel((256, 256))[3] == 255  # type: ignore[index]
    assert found["cut"]["image"]["id"].endswith(".webp")
    saved = opened(fetched(client, found["saved"]["blob"]))
    assert (saved.size, "parameters" in saved.info) == ((512, 512), False)
    assert "width" not in found["curves"]["svg"]
    answer = client.get(found["curves"]["svg"]["url"], follow_redirects=True)
    assert answer.headers["Content-Type"] == "image/svg+xml"
    root = ElementTree.fromstring(answer.content)
    assert (root.get("width"), root.get("height")) == ("512", "512")
    assert len(root.findall("{http://www.w3.org/2000/svg}path")) > 5
    assert "a red fox" in found["words"]["caption"]
    assert {"mountain", "fox"} <= found["tags"]["tags"].keys()
    assert all(0.35 <= score <= 1 for score in found["tags"]["tags"].values())
    assert found["level"] == {
        "nsfwLevel": "pg",
        "isBlocked": False,
        "labels": ["Landscape", "Text"],
    }
    again = outputs(client.submit(*steps, wait=5).json())
    for name in ("words", "tags", "level"):
        assert again[name] == found[name]


def test_what_stands_on_a_plain_ground_is_cut_out_along_its_edge(play: Play) -> None:
    icon = Image.new("RGB", (600, 400), "#f4f4f0")
    draw = ImageDraw.Draw(icon)
    draw.ellipse((200, 100, 400, 300), fill="#b01020")
    draw.rectangle((280, 180, 320, 220), fill="#f4f4f0")  # a hole that the ground can't reach
    client = play()
    step = named("cut", "imageBackgroundRemoval", inline(icon))
    value = client.submit(step, wait=5).json()
    cut = opened(fetched(client, outputs(value)["cut"]["image"]))
    alpha = cut.getchannel("A")
    places = {(5, 395): 0, (195, 200): 0, (205, 200): 255, (300, 200): 255, (300, 98): 0}
    assert {at: alpha.getpixel(at) for at in places} == places


def test_a_variant_is_drawn_over_its_source_at_its_own_size(play: Play) -> None:
    client = play()
    variant = {
        "engine": "sdcpp", "ecosystem": "sdxl", "operation": "createVariant", "prompt": "a red fox",
        "model": "urn:air:sdxl:checkpoint:civitai:101055@128078", "strength": 0.2, "steps": 20,
        "width": 768, "height": 768, "image": of("first"),
    }  # fmt: skip
    red = inline(Image.new("RGB", (64, 64), "red"))
    value = client.submit(
        named("first", "imageGen", **FOX),
        named("hires", "imageGen", **{**variant, "prompt": "a blue fox"}),
        named("other", "imageGen", **{**variant, "image": red, "strength": 0.25}),
        named("words", "mediaCaptioning", of("hires")),
        wait=5,
    ).json()
    assert statuses(value) == ["succeeded"] * 4
    assert "a blue fox" in outputs(value)["words"]["caption"]
    assert value["steps"][1]["input"]["image"] == of("first")
    assert value["cost"]["total"] == PRICE + 5 + 5 + 1
    hires = opened(fetched(client, outputs(value)["hires"]["images"][0]))
    assert hires.size == (768, 768)
    red_one = opened(fetched(client, outputs(value)["other"]["images"][0])).convert("RGB")
    assert red_one.resize((1, 1)).getpixel((0, 0))[0] > 150  # type: ignore[index]


def test_an_enhanced_prompt_is_drawn_however_long_it_is(play: Play) -> None:
    client = play()
    muse = {"engine": "fal", "model": "museImage", "operation": "createImage"}
    for given, long in ((FOX, "a fox"), (muse, "fox " * 999)):
        enhance = named("better", "promptEnhancement", ecosystem="flux2", prompt=long)
        prompt = {"$ref": "better", "path": "output.enhancedPrompt"}
        value = client.submit(
            enhance, named("first", "imageGen", **{**given, "prompt": prompt}), wait=5
        ).json()
        assert statuses(value) == ["succeeded", "succeeded"], value["steps"][1]["output"]
        better = value["steps"][0]["output"]["enhancedPrompt"]
        assert better.startswith(long.rstrip())
        assert len(better) > len(long)


def test_what_is_mature_stays_so_whatever_is_done_to_it(play: Play) -> None:
    client = play()
    first = named("first", "imageGen", **{**FOX, "prompt": "[sandbox:mature] a fox"})
    level = named("level", "mediaRating", of("large", "imageUpscaler"), **FLAGS)
    value = client.submit(first, named("large", "imageUpscaler", of("first")), level, wait=5).json()
    blob = outputs(value)["large"]["blob"]
    assert ("url" in blob, blob["nsfwLevel"]) == (False, "x")
    assert outputs(value)["level"]["nsfwLevel"] == "x"


# -- when ------------------------------------------------------------------------------------------
def test_a_step_waits_unassigned_for_its_source_and_is_canceled_when_that_fails(play: Play) -> None:
    client = play(seconds_per_job=10)
    chain = [
        named("first", "imageGen", **FOX),
        named("large", "imageUpscaler", of("first")),
        named("cut", "imageBackgroundRemoval", of("large", "imageUpscaler")),
        named("words", "mediaCaptioning", of("first")),
    ]
    client.sandbox.script(Fault("submit", "fate", fate="failed", step="large", reason="no memory"))
    id = client.submit(*chain).json()["id"]
    client.clock.sleep(9)
    assert statuses(client.workflow(id)) == ["processing", *["unassigned"] * 3]
    client.clock.sleep(10)
    middle = client.workflow(id)
    assert statuses(middle) == ["succeeded", "processing", "unassigned", "processing"]
    assert "output" not in middle["steps"][3]
    client.clock.sleep(2)
    value = client.workflow(id)
    assert (value["status"], statuses(value)) == (
        "failed", ["succeeded", "failed", "canceled", "succeeded"],
    )  # fmt: skip
    assert value["steps"][1]["metadata"] == {"error": "no memory"}
    assert "startedAt" not in value["steps"][2] or value["steps"][2]["completedAt"]
    assert value["steps"][0]["output"]["images"][0]["available"]
    paid = [(t["type"], t["amount"]) for t in value["transactions"]["list"]]
    assert paid == [("debit", PRICE + 2 + 7 + 1), ("credit", 2 + 7)]
    assert client.balance["blue"] == 10_000 - PRICE - 1
    stopped = client.submit(*chain).json()["id"]  # the picture is known, and so instant
    client.clock.sleep(1)
    client.put_changes(stopped, status="canceled")
    assert statuses(client.workflow(stopped)) == ["succeeded", *["canceled"] * 3]
    assert client.balance["blue"] == 10_000 - PRICE - 1


def test_a_prompt_says_how_a_step_of_another_kind_ends(play: Play) -> None:
    client = play()
    first = named("first", "imageGen", **{**FOX, "prompt": "a fox [sandbox:failed@large]"})
    value = client.submit(first, named("large", "imageUpscaler", of("first")), wait=5).json()
    assert statuses(value) == ["succeeded", "failed"]
    assert value["steps"][1]["metadata"]["error"] == "The worker could not do this step."
    alone = client.submit(first)
    assert "[sandbox:failed@large] names no step; there are $0, first." in alone.text


def test_a_fault_of_a_step_leaves_workflows_without_that_step_alone(play: Play) -> None:
    client = play()
    client.sandbox.script(Fault("submit", "fate", fate="expired", step="$1"))
    assert client.submit(named("$0", "imageGen", **FOX), wait=5).json()["status"] == "succeeded"
    value = client.submit(FOX, named("large", "imageUpscaler", of("$0")), wait=5).json()
    assert statuses(value) == ["succeeded", "expired"]
    with pytest.raises(ValueError, match="step is only for what hits on submit"):
        Fault("blob", "status", step="large")


# -- what is no chain ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"$ref": "first.output.images[0].url"}, "needs the texts '$ref' and 'path'"),
        ({"$ref": "first", "path": 5}, "needs the texts '$ref' and 'path'"),
        ({"$ref": 0, "path": "output"}, "needs the texts '$ref' and 'path'"),
        ({"$ref": "nobody", "path": "output"}, "No step before this one is called 'nobody'"),
        ({"$ref": "large", "path": "output"}, "No step before this one is called 'large'"),
        ({"$ref": "$1", "path": "output"}, "No step before this one is called '$1'"),
        ({"$ref": "last", "path": "output"}, "No step before this one is called 'last'"),
    ],
)
def test_a_wrong_reference_is_refused(play: Play, reference: Any, words: str) -> None:
    client = play()
    answer = client.submit(
        named("first", "imageGen", **FOX),
        named("large", "imageUpscaler", reference),
        named("last", "imageGen", **FOX),
    )
    assert answer.status_code == 400
    (message,) = answer.json()["errors"]["steps[1].input.image"]
    assert words in message
    assert client.balance["blue"] == 10_000


def test_curves_are_no_source(play: Play) -> None:
    traced = named("curves", "imageToSvg", of("first"), engine="comfy", ecosystem="vtracer")
    large = named("large", "imageUpscaler", {"$ref": "curves", "path": "output.svg.url"})
    value = play().submit(named("first", "imageGen", **FOX), traced, large, wait=5).json()
    assert statuses(value) == ["succeeded", "succeeded", "failed"]
    assert value["steps"][2]["metadata"]["error"] == "The source is no picture of pixels."


def test_a_wrong_place_in_an_output_fails_the_step(play: Play) -> None:
    wrong = {"$ref": "first", "path": "output.blob.url"}
    value = play().submit(
        named("first", "imageGen", **FOX), named("large", "imageUpscaler", wrong), wait=5
    ).json()  # fmt: skip
    assert statuses(value) == ["succeeded", "failed"]
    assert value["steps"][1]["metadata"]["error"] == "A reference could not be resolved: image."


# -- alone -----------------------------------------------------------------------------------------
def test_a_step_alone_gives_its_output_and_nothing_else(play: Play) -> None:
    client = play()
    data = base64.b64decode(inline(Image.new("RGB", (64, 32), "navy")).partition(",")[2])
    kept = client.post("/v2/consumer/blobs", content=data, headers={"Content-Type": "image/png"})
    source = kept.json()["url"]
    for step in everything(source):
        path, kind = f"/v2/consumer/recipes/{step['$type']}", step["$type"]
        planned = client.post(path, params={"whatif": True}, json=step["input"])
        answer = client.post(path, json=step["input"])  # the conftest holds it against the document
        assert (planned.status_code, answer.status_code) == (200, 200)
        assert "status" not in answer.json()
        price = {"imageUpscaler": 2, "imageBackgroundRemoval": 6, "imageToSvg": 50}.get(kind, 1)
        assert planned.headers["X-Civitai-Cost-Total"] == str(price)
    assert client.balance["blue"] == 10_000 - (2 + 6 + 1 + 50 + 3)
    wrong = client.post("/v2/consumer/recipes/imageUpscaler", json={"numberOfRepeats": 4})
    assert wrong.json()["errors"].keys() == {"image", "numberOfRepeats"}
    assert client.post("/v2/consumer/recipes/imageUpscaler", json=[]).status_code == 400
    assert client.post("/v2/consumer/recipes/juggle", json={}).status_code == 400
    assert client.get("/v2/consumer/recipes/imageUpscaler").status_code == 405
    words = client.post(
        "/v2/consumer/recipes/wdTagging", json={"mediaUrl": "data:image/png;base64,"}
    )
    assert "mediaUrl is no address" in words.json()["detail"]
    client.sandbox.script(Fault("submit", "fate", fate="failed", reason="no memory"))
    failed = client.post("/v2/consumer/recipes/imageUpscaler", json={"image": source})
    assert (failed.status_code, failed.json()["detail"]) == (400, "no memory")


def test_chains_and_their_answers_fit_the_document(play: Play, referee: Any) -> None:
    client = play(seconds_per_job=10)
    steps = [
        named("better", "promptEnhancement", ecosystem="flux2", prompt="a fox"),
        named("first", "imageGen", **{
            **FOX, "prompt": {"$ref": "better", "path": "output.enhancedPrompt"},
        }),
        *everything(of("first")),
    ]  # fmt: skip
    assert referee.request({"steps": steps}) == []
    planned = client.submit(*steps, whatif=True).json()
    id = client.submit(*steps).json()["id"]
    client.clock.sleep(15)
    middle = client.workflow(id)
    client.clock.sleep(60)
    for value in (planned, middle, client.workflow(id)):
        assert referee.response(value) == [], json.dumps(value)[:500]
