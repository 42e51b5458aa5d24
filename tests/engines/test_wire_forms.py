"""Every wire form says exactly what the published document says, by a digest of its facts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.families.shared import Unpublished
from civitai_skill.engines.forms import ControlNet, LoraItem, Wire
from civitai_skill.engines.limits import limits
from civitai_skill.engines.sizing import FollowsSource
from civitai_skill.engines.sources import holders, picture_of
from civitai_skill.schema.air import PATTERN
from tests.support.scripts import load

HERE = Path(__file__).resolve().parent
DIGEST = json.loads((HERE / "wire_digest.json").read_text("utf-8"))
FORMS = [form for family in catalog.families() for form in family.forms]

# The document requires these; the service's own sample bodies leave them out, and it fills them in.
LOOSE = {
    "engine=sdcpp ecosystem=flux1": {"vaeModel", "clipLModel", "t5XXLModel"},
    "engine=sdcpp ecosystem=qwen model=20b operation=editImage": {"width", "height"},
    "engine=sdcpp ecosystem=qwen model=20b operation=createVariant": {"width", "height"},
    "engine=qwen": {"width", "height"},
    "engine=fal model=krea2": {"imageStyleReferences"},
    "engine=krea": {"imageStyleReferences"},
}

# What the families reach: selectors, and how many forms they select.
REACHED = {
    "engine=sdcpp ecosystem=flux1 ": 3,
    "engine=comfy ecosystem=flux1 ": 3,
    "engine=flux1-kontext ": 3,
    "engine=flux2 ": 10,
    "engine=sdcpp ecosystem=flux2Klein ": 3,
    "engine=sdcpp ecosystem=flux2Dev ": 3,
    "engine=comfy ecosystem=flux2Dev ": 3,
    "engine=comfy ecosystem=flux2Klein ": 3,
    "engine=comfy ecosystem=zImage ": 2,
    "engine=comfy ecosystem=qwen model=20b ": 3,
    "engine=sdcpp ecosystem=sdxl ": 2,
    "engine=comfy ecosystem=sdxl ": 2,
    "engine=sdcpp ecosystem=sd1 ": 2,
    "engine=comfy ecosystem=sd1 ": 2,
    "engine=sdcpp ecosystem=zImage ": 2,
    "engine=sdcpp ecosystem=qwen ": 3,
    "engine=qwen ": 2,
    "engine=fal model=qwen2 ": 4,
    "engine=seedream ": 1,
    "engine=grok ": 4,
    "engine=sdcpp ecosystem=anima ": 2,
    "engine=comfy ecosystem=anima ": 2,
    "engine=comfy ecosystem=ernie ": 2,
    "engine=comfy ecosystem=qwen model=2.1 ": 2,
    "engine=comfy ecosystem=krea2 ": 3,
    "engine=comfy ecosystem=hidream-o1 ": 4,
    "engine=comfy ecosystem=hidream ": 1,
    "engine=comfy ecosystem=lens ": 2,
    "engine=comfy ecosystem=ideogram4 ": 1,
    "engine=comfy ecosystem=boogu ": 4,
    "engine=comfy ecosystem=mageflow ": 4,
    "engine=comfy ecosystem=chroma ": 1,
    "engine=comfy ecosystem=ponyV7 ": 1,
    "engine=openai ": 13,
    "engine=google ": 5,
    "engine=gemini ": 2,
    "engine=krea ": 1,
    "engine=fal model=krea2 ": 1,
    "engine=wan ": 6,
    "engine=fal model=maiImage ": 2,
    "engine=fal model=reve ": 2,
    "engine=fal model=museImage ": 2,
    "engine=flux1-pro ": 2,
}


def key_of(form: type[Wire]) -> str:
    """The digest's key of the form: its selectors in the document's order."""
    tags = form.tags()
    found = [k for k in DIGEST["forms"] if dict(p.split("=") for p in k.split(" ")) == tags]
    assert len(found) == 1, (form, found)
    return str(found[0])


def facts_of(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """A model's own facts in the digest's shape, read from its JSON schema."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", []))
    facts = {}
    for name, node in schema["properties"].items():
        facts[name] = _facts(node, definitions)
        if "default" in node:
            facts[name]["default"] = node["default"]
        if name in required:
            facts[name]["required"] = True
    if issubclass(model, Wire):
        # pydantic leaves the bounds of its own integers with a validator out of a JSON schema.
        for limit in limits(model).values():
            unit = "items" if limit.kind == "list" else "length"
            bounds = {"minimum": limit.minimum, "maximum": limit.maximum}
            bounds |= {f"min_{unit}": limit.least, f"max_{unit}": limit.most}
            stated = {k: v for k, v in bounds.items() if v is not None}
            if limit.likely:
                facts[limit.wire]["likely"] = stated
            else:
                facts[limit.wire] |= stated
    return facts


_WORDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "enum": "enum",
}
_OBJECTS = {
    "ControlNet": "ImageJobControlNet",
    "LoraItem": "ImageGenInputLora",
    "StyleReference": "Krea2StyleReference",
}


def _facts(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in node:
        some = [n for n in node["anyOf"] if n.get("type") != "null"]
        assert len(some) == 1
        return {**_facts(some[0], definitions), "null": True}
    if "$ref" in node:
        return {"type": "object", "object": _OBJECTS[node["$ref"].rsplit("/", 1)[-1]]}
    out: dict[str, Any] = {"type": node.get("type", "string")}
    out |= {ours: node[theirs] for theirs, ours in _WORDS.items() if theirs in node}
    if "const" in node:
        out["enum"] = [node["const"]]
    if "items" in node:
        out["items"] = _facts(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        out["values"] = _facts(node["additionalProperties"], definitions)
    return out


def _document_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The digest's facts without what our JSON schemas can't say: format, pattern, readOnly."""
    out = {k: v for k, v in facts.items() if k not in ("format", "pattern", "read_only", "picture")}
    if "likely" in out:
        bounds = {k: v for k, v in out.pop("likely").items() if k != "default"}
        out |= {"likely": bounds} if bounds else {}
    if isinstance(out.get("enum"), str):
        out["enum"] = DIGEST["enums"][out["enum"]]
    for inner in ("items", "values"):
        if inner in out:
            out[inner] = _document_facts(out[inner])
    return out


def _same_default(ours: Any, theirs: dict[str, Any]) -> bool:
    theirs = {**theirs.get("likely", {}), **theirs}
    return bool(ours == theirs["default"] if "default" in theirs else ours in (None, [], {}))


def test_the_families_reach_exactly_these_forms_of_the_document() -> None:
    expected = [k for k in DIGEST["forms"] if f"{k} ".startswith(tuple(REACHED))]
    counted = {s: sum(f"{k} ".startswith(s) for k in expected) for s in REACHED}
    assert counted == REACHED
    keys = [key_of(form) for form in FORMS]
    assert set(expected) == set(keys)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_form_has_the_documents_names_types_limits_enums_and_nullability(
    form: type[Wire],
) -> None:
    theirs = DIGEST["forms"][key_of(form)]
    ours = facts_of(form)
    bare = ("default", "required")
    assert {n: {k: v for k, v in f.items() if k not in bare} for n, f in ours.items()} == {
        n: {k: v for k, v in _document_facts(f).items() if k not in bare} for n, f in theirs.items()
    }


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_form_has_the_documents_defaults(form: type[Wire]) -> None:
    ours = facts_of(form)
    wrong = {
        name: (ours[name].get("default"), facts.get("default"))
        for name, facts in DIGEST["forms"][key_of(form)].items()
        if name not in form.tags()
        and not _same_default(ours[name].get("default"), facts)
        and (not issubclass(form, Unpublished) or "default" in facts.get("likely", {}))
    }
    assert wrong == {}


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_form_requires_what_the_document_requires_but_for_what_the_service_fills_in(
    form: type[Wire],
) -> None:
    key = key_of(form)
    loose = {name for start, names in LOOSE.items() if key.startswith(start) for name in names}
    theirs = {n for n, f in DIGEST["forms"][key].items() if f.get("required")}
    ours = {n for n, f in facts_of(form).items() if f.get("required")}
    assert ours == theirs - set(form.tags()) - loose


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_form_knows_the_width_of_its_seed_and_which_sizes_follow_the_source(
    form: type[Wire],
) -> None:
    facts = DIGEST["forms"][key_of(form)]
    known = limits(form)
    assert ("seed" in facts) == ("seed" in known)
    if "format" in facts.get("seed", {}):
        assert known["seed"].bits == int(facts["seed"]["format"].removeprefix("int"))
    if facts.get("width", {}).get("read_only"):
        assert isinstance(form.sizing, FollowsSource)


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_field_for_an_air_refuses_what_is_none_and_takes_what_is_one(form: type[Wire]) -> None:
    for name, facts in DIGEST["forms"][key_of(form)].items():
        listed = facts.get("items", {}).get("pattern") == "air"
        if facts.get("pattern") != "air" and not listed:
            continue
        good = "urn:air:sdxl:checkpoint:civitai:1@2"
        assert name not in _broken(form, name, [good] if listed else good)
        assert name in _broken(form, name, ["no air"] if listed else "no air")


def _broken(form: type[Wire], name: str, value: Any) -> set[str]:
    """The fields that the form complains about when it is given this value alone."""
    try:
        form.model_validate({name: value})
    except ValidationError as error:
        return {str(e["loc"][0]) for e in error.errors() if e["type"] != "missing"}
    return set()


def test_the_pattern_of_an_air_is_the_documents() -> None:
    assert DIGEST["air_pattern"] == [PATTERN]


@pytest.mark.parametrize(
    ("model", "name"), [(ControlNet, "ImageJobControlNet"), (LoraItem, "ImageGenInputLora")]
)
def test_a_nested_object_is_the_documents(model: type[BaseModel], name: str) -> None:
    ours = facts_of(model)
    theirs = {n: _document_facts(f) for n, f in DIGEST["objects"][name].items()}
    for facts in ours.values():
        if facts.get("default", 0) is None:
            del facts["default"]
    assert ours == theirs


def test_a_form_takes_seven_point_nought_as_an_integer_and_no_truth_as_a_number() -> None:
    form = next(f for f in FORMS if key_of(f) == "engine=flux2 model=klein operation=createImage")
    assert form.model_validate({"prompt": "a fox", "steps": 7.0}).sent()["steps"] == 7
    for value in (True, "7", 7.5, None):
        assert _broken(form, "steps", value) == {"steps"}


def test_a_form_sends_what_was_set_and_resolves_the_rest() -> None:
    form = next(f for f in FORMS if key_of(f) == "engine=grok version=v2.0 operation=createImage")
    read = form.model_validate({"prompt": "a fox", "aspectRatio": "2:1"})
    selectors = {"engine": "grok", "version": "v2.0", "operation": "createImage"}
    sent = {**selectors, "prompt": "a fox", "aspectRatio": "2:1"}
    assert read.sent() == sent
    assert read.sent(defaults=True) == {
        **sent,
        "quantity": 1,
        "resolution": "2k",
        "quality": "medium",
    }


def test_the_digest_is_what_the_document_says(document: Path) -> None:
    script = load("scripts/wire_digest.py")
    assert script.DIGEST.read_text("utf-8") == script.text(document)


# -- what a form declares --------------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_field_with_a_pictures_name_is_marked_as_a_source(form: type[Wire]) -> None:
    names = {
        name
        for name, limit in limits(form).items()
        if re.search("image|mask|style|control", limit.wire, re.I)
        and limit.wire not in ("imageMetadata", "imageSize", "numImages", "style")
    }
    assert names == set(holders(form))
    assert picture_of(form) in (None, "image", "images")


@pytest.mark.parametrize("form", FORMS, ids=key_of)
def test_a_field_that_says_a_size_belongs_to_the_sizing(form: type[Wire]) -> None:
    names = {n for n in limits(form) if re.fullmatch("width|height|aspect_ratio|(image_)?size", n)}
    assert names == set(form.sizing.fields)
