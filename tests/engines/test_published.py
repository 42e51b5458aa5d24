"""Forms that our files lack, and forms that grew: read from a document, mapped, refused by name."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.engines import catalog, index
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.published import document, kept, news
from civitai_skill.engines.published.derive import engines_of, family_of
from civitai_skill.engines.published.document import Form, NotADocument, key_of
from civitai_skill.engines.published.fields import _SHAPES, _WORDS
from civitai_skill.engines.published.grow import grown_form
from civitai_skill.engines.published.kept import Kept
from civitai_skill.engines.published.ours import fields_of, forms
from civitai_skill.engines.sizing import FollowsSource, Pixels, Ratio, Sizing
from civitai_skill.errors import RequestInvalid
from civitai_skill.sandbox.document import make_document
from civitai_skill.schema.request import ImageRequest
from tests.support.json_values import places

TEXT = {"type": "string"}
SOURCE = "https://example.com/source.png"


def engine_of(tags: dict[str, str], **fields: dict[str, Any]) -> type[Wire]:
    """The one form that these facts make, in force under its name."""
    file = Path(kept.Settings.load().engines_file)
    file.parent.mkdir(parents=True, exist_ok=True)
    said = {**{tag: {**TEXT, "enum": [value]} for tag, value in tags.items()}, "prompt": TEXT}
    new = [Form(tags, {**said, **fields})]
    engines = tuple(engines_of(new, [], "a document"))
    keeping = Kept(engines, read=datetime(2026, 11, 28, tzinfo=UTC))
    file.write_text(json.dumps(keeping.as_json()))
    kept.followed.set(file)
    assert kept.in_force(file) == keeping
    return catalog.family(engines[0].name).forms[0]


def sent(name: str, **asked: Any) -> dict[str, Any]:
    return plan(ImageRequest(prompt="a fox", engine=name, **asked)).form.sent()


# -- the document ----------------------------------------------------------------------------------
def test_the_sandboxs_document_says_what_our_forms_say() -> None:
    read = document.read(json.loads(json.dumps(make_document(forms()))))
    found = {key_of(form.tags): read.whole(form) for form in read.forms}
    assert found == {key_of(form.tags()): fields_of(form) for form in forms()}
    engines, more, comparison = news.new_of(read, "it")
    assert (engines, more, comparison.changes) == ((), {}, ())


def test_a_newer_published_document_brings_what_our_files_lack(document: Path) -> None:
    # What it has today is all known; one without the names of ours makes everything new.
    read = kept_document(document)
    engines, more, _ = news.new_of(read, "it")
    assert (engines, more) == ((), {})
    every = [Form(f.tags, read.whole(f)) for f in read.forms]
    named = engines_of(every, [], "it")
    assert sum(len(engine.forms) for engine in named) == 125
    names = {engine.name for engine in named}
    assert {"comfy/qwen/2.1", "openai/gpt-image-2.5-flare", "flux1-pro/ultra", "krea"} <= names


def kept_document(path: Path) -> document.Document:
    return document.read(json.loads(path.read_text()))


def _circle() -> dict[str, Any]:
    chooser = {"propertyName": "engine", "mapping": {"a": "#/ImageGenInput"}}
    return {"components": {"schemas": {"ImageGenInput": {"discriminator": chooser}}}}


@pytest.mark.parametrize(
    "bad",
    [None, [], "x", {}, {"components": 3}, {"components": {"schemas": {"ImageGenInput": 3}}},
     {"components": {"schemas": {"ImageGenInput": {"allOf": [{"$ref": "#/Gone"}]}}}}, _circle()],
)  # fmt: skip
def test_what_is_no_document_is_said(bad: Any) -> None:
    with pytest.raises(NotADocument):
        document.read(bad)


def test_a_spoiled_document_is_refused_or_read_and_whatever_it_makes_can_be_asked() -> None:
    chance = random.Random(14)
    spoilt: list[Any] = [None, True, -1, 1e999, "", "x\n", "urn:air:", [], [[]], {}, {"a": 1}]
    text = json.dumps(make_document([f for f in forms() if f.route() in ("comfy", "openai")]))
    made = refused = 0
    for _ in range(24):
        spoiled = json.loads(text)
        for where, key in chance.sample(list(places(spoiled["components"])), 1):
            if key in (where if isinstance(where, dict) else range(len(where))):
                where[key] = chance.choice(spoilt)
        try:
            read = document.read(spoiled)
        except NotADocument:
            refused += 1
            continue
        new = [Form(f.tags, read.whole(f)) for f in chance.sample(read.forms, 3)]
        for engine in engines_of(new, [], "it"):
            made += sum(
                len(limits(form)) > 0 for form in family_of(engine.name, engine.forms, "it").forms
            )
        for form in forms()[::25]:
            grown_form(form, {n: f for n, f in new[0].fields.items() if n not in form.tags()})
    assert made > 15
    assert refused > 2


def test_every_word_of_the_vocabulary_has_its_kind() -> None:
    assert set(index.words().values()) <= {*_SHAPES, *_WORDS, "aspect_ratio"}


# -- a form that our files lack --------------------------------------------------------------------
def test_fields_with_the_vocabularys_wire_names_are_mapped_and_the_rest_are_options() -> None:
    name = "comfy/ming/design"
    form = engine_of(
        {"engine": "comfy", "ecosystem": "ming", "model": "design", "operation": "createImage"},
        negativePrompt=TEXT, cfgScale={"type": "number"}, numInferenceSteps={"type": "integer"},
        numImages={"type": "integer"}, sampleMethod={**TEXT, "enum": ["euler", "lcm"]},
        seed={"type": "integer", "format": "int32"}, enableWebSearch={"type": "boolean"},
        loras={"type": "object", "values": {"type": "number"}},
        vaeModel={**TEXT, "pattern": "air"}, diffusionModel={**TEXT, "pattern": "air"},
        width={"type": "integer", "minimum": 512, "maximum": 1024}, height={"type": "integer"},
        quality={**TEXT, "enum": ["fine"]}, copy={"type": "boolean"}, shift={"type": "number"},
        jobId={**TEXT, "read_only": True}, guidance={"type": "object"},
    )  # fmt: skip
    assert form.sizing == Pixels()
    assert sent(
        name, negative_prompt="dogs", guidance=3, steps=9, quantity=2, sampler="lcm", seed=5,
        grounding=True, loras=[{"air": "urn:air:ming:lora:civitai:1@2", "strength": 0.5}],
        vae="urn:air:ming:vae:civitai:1@2", model="urn:air:ming:checkpoint:civitai:1@2",
        aspect_ratio="3:4", options={"quality": "fine", "copy": True, "shift": 3},
    ) == {
        "engine": "comfy", "ecosystem": "ming", "model": "design", "operation": "createImage",
        "prompt": "a fox", "negativePrompt": "dogs", "cfgScale": 3, "numInferenceSteps": 9,
        "numImages": 2, "sampleMethod": "lcm", "seed": 5, "enableWebSearch": True,
        "loras": {"urn:air:ming:lora:civitai:1@2": 0.5}, "quality": "fine", "copy": True,
        "vaeModel": "urn:air:ming:vae:civitai:1@2", "shift": 3,
        "diffusionModel": "urn:air:ming:checkpoint:civitai:1@2", "width": 896, "height": 1152,
    }  # fmt: skip
    for said, field in (
        ({"options": {"jobId": "x"}}, "options.jobId"),  # what the service fills in is not taken
        ({"sampler": "dpm"}, "sampler"),
        ({"width": 2048, "height": 512}, "width"),
        ({"scheduler": "karras"}, "scheduler"),
        ({"images": [SOURCE]}, "images"),
    ):
        with pytest.raises(RequestInvalid) as refused:
            sent(name, **said)
        assert refused.value.field == field
    found = plan(ImageRequest(prompt="a fox", engine=name))
    assert (found.price.buzz, found.seed is not None) == (None, True)


def test_sources_are_known_by_their_names() -> None:
    net = {n: {"type": "number"} for n in ("weight", "startStep", "endStep")}
    form = engine_of(
        {"engine": "aurora", "operation": "editImage"},
        images={"type": "array", "items": TEXT, "max_items": 2}, maskImage=TEXT,
        styleImages={"type": "array", "items": TEXT}, backPhoto=TEXT,
        controlNets={"type": "array", "items": {"type": "object", "fields": {
            "preprocessor": TEXT, "image": {**TEXT, "picture": True}, **net}}},
        width={"type": "integer", "read_only": True}, height={"type": "integer", "read_only": True},
    )  # fmt: skip
    assert isinstance(form.sizing, FollowsSource)
    kinds = {limit.wire: limit.source for limit in limits(form).values() if limit.source}
    assert kinds == {
        "images": "picture", "maskImage": "mask", "styleImages": "style", "backPhoto": "guide",
        "controlNets": "guide",
    }  # fmt: skip
    made = sent(
        "aurora", images=[SOURCE], mask=SOURCE, style_images=[SOURCE],
        control_nets=[f"canny={SOURCE}"], options={"backPhoto": SOURCE},
    )  # fmt: skip
    assert (made["images"], made["maskImage"], made["styleImages"]) == ([SOURCE], SOURCE, [SOURCE])
    assert made["controlNets"][0]["image"] == made["backPhoto"] == SOURCE
    with pytest.raises(RequestInvalid, match="a picture alone"):
        sent("aurora", images=[SOURCE], style_images=[{"image": SOURCE, "strength": 0.5}])
    with pytest.raises(RequestInvalid, match="create pictures from words alone"):
        sent("aurora")


@pytest.mark.parametrize(
    ("field", "sizing", "asked", "said"),
    [
        ({"aspectRatio": ["1:1", "16:9", "auto"]}, Ratio, {"aspect_ratio": "16:9"}, "16:9"),
        ({"imageSize": ["square_hd", "portrait_16_9"]}, Sizing, {"aspect_ratio": "9:16"},
         "portrait_16_9"),
        ({"size": ["auto", "1024x1536"]}, Sizing, {"aspect_ratio": "2:3"}, "1024x1536"),
        ({"size": ["auto", "1024x1536"]}, Sizing, {"width": 1024, "height": 1536}, "1024x1536"),
        ({"imageSize": ["small", "grand"]}, Sizing, {"options": {"imageSize": "grand"}}, "grand"),
    ],
)  # fmt: skip
def test_sizes_are_pixels_or_an_enum_else_only_options(
    field: dict[str, list[str]], sizing: type[Sizing], asked: dict[str, Any], said: str
) -> None:
    ((wire, values),) = field.items()
    form = engine_of({"engine": "aurora"}, **{wire: {**TEXT, "enum": values}})
    assert isinstance(form.sizing, sizing)
    assert sent("aurora", **asked)[wire] == said
    if "grand" in values:
        with pytest.raises(RequestInvalid, match="no size to choose"):
            sent("aurora", aspect_ratio="16:9")


def test_a_name_that_is_taken_or_an_operation_that_nobody_knows_adds_the_operation() -> None:
    taken = ["krea", "krea2"]
    tags = [
        {"engine": "krea", "operation": "editImage"},
        {"engine": "new", "model": "a", "operation": "createImage"},
        {"engine": "new", "model": "a", "operation": "editImage"},
        {"engine": "new", "model": "a", "operation": "outpaintImage"},
    ]
    images = {"type": "array", "items": TEXT, "required": True, "min_items": 1}
    new = [Form(t, {"prompt": TEXT, "images": images}) for t in tags]
    found = {engine.name: engine for engine in engines_of(new, taken, "it")}
    assert list(found) == ["krea/editImage", "new/a", "new/a/outpaintImage"]
    assert found["new/a/outpaintImage"].record["operations"] == ["edit"]
    assert len(found["new/a"].forms) == 2


def test_a_form_that_a_later_version_of_ours_has_is_ours() -> None:
    form = catalog.family("seedream").forms[0]
    engine_of(dict(form.tags()))
    assert catalog.names() == catalog.NAMES
    assert len(index.records()) == len(catalog.NAMES)


def test_quality_says_nothing_to_an_engine_that_nobody_knows() -> None:
    engine_of({"engine": "aurora"})
    decided = plan(ImageRequest(prompt="a fox", engine="aurora", quality="high"))
    assert "quality changes nothing" in " ".join(decided.warnings)
    assert catalog.identify({"engine": "aurora", "prompt": "a fox"}) == ("aurora", "default")


# -- a form that grew ------------------------------------------------------------------------------
def test_a_new_value_of_a_field_of_the_request_is_said_as_an_option() -> None:
    key = "ecosystem=zImage engine=sdcpp model=turbo operation=createImage"
    file = Path(kept.Settings.load().engines_file)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(Kept(more={key: {"outputFormat": ["avif"]}}).as_json()))
    decided = plan(ImageRequest(prompt="a fox", engine="z-image", options={"outputFormat": "avif"}))
    assert decided.form.sent()["outputFormat"] == "avif"
    assert "output_format avif is known only from" in decided.warnings[0]
    for wrong in ("avi", "png"):  # no value at all; one that the field itself says
        with pytest.raises(RequestInvalid, match="field of the request itself"):
            sent("z-image", options={"outputFormat": wrong})


def test_a_form_takes_new_fields_and_values_and_the_old_ones_as_before() -> None:
    tags = {"engine": "comfy", "ecosystem": "sdxl", "operation": "createImage"}
    form = next(f for f in forms() if f.tags() == tags)
    grown: Any = grown_form(
        form,
        {
            "controlNets.preprocessor": ["lidar"],
            "outputFormat": ["avif"],
            "quantity": ["no enum"],
            "glow": {"type": "number", "maximum": 2},
            "cfgScale": {"type": "number"},
        },
    )
    assert grown.newer == {"control_nets": ("lidar",), "output_format": ("avif",), "glow": ()}
    net = {"preprocessor": "lidar", "weight": 1, "startStep": 0, "endStep": 1}
    said = {"prompt": "a fox", "model": "urn:air:sdxl:checkpoint:civitai:1@2"}
    read = grown.model_validate({**said, "controlNets": [net], "glow": 1.5, "outputFormat": "avif"})
    assert read.sent()["controlNets"] == [net]
    assert limits(grown)["quantity"] == limits(form)["quantity"]
    assert grown_form(form, {"controlNets.preprocessor": ["canny"]}) is form
    for wrong in ({"glow": 3}, {"controlNets": [{**net, "preprocessor": "radar"}]}):
        with pytest.raises(ValueError, match="validation error"):
            grown.model_validate({**said, **wrong})
