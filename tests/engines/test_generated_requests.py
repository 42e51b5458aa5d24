"""Valid requests for each wire form, judged by the referee over the document."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.forms import FAL_SIZES, Wire
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.sizing import FollowsSource
from civitai_skill.schema.request import ImageRequest
from tests.support.thorough import cases

DIGEST = json.loads((Path(__file__).resolve().parent / "wire_digest.json").read_text("utf-8"))

# Without what other programs read as syntax: that is refused or warned of.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="_{}<-"), max_size=40)
SPOKEN = TEXT.filter(lambda text: bool(text.strip()))
SOURCE = st.sampled_from(
    ["https://example.org/source.png", "data:image/png;base64,iVBORw0KGgo=", "aGVsbG8="]
)
ECOSYSTEMS = {
    f"{family.name} {variant.name}": sorted(variant.ecosystems or family.ecosystems) or ["other"]
    for family in catalog.families()
    for variant in family.variants
}


def _roads() -> dict[type[Wire], list[tuple[Family, Variant, Way]]]:
    """Each form with every variant that reaches it."""
    found: dict[type[Wire], list[tuple[Family, Variant, Way]]] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                found.setdefault(way.form, []).append((family, variant, way))
    return found


ROADS = _roads()
MOST_PICTURES = 12


def _key(form: type[Wire]) -> str:
    tags = form.tags()
    keys: list[str] = list(DIGEST["forms"])
    return next(k for k in keys if dict(p.split("=") for p in k.split(" ")) == tags)


@cache
def _air(engine: str, kind: str) -> st.SearchStrategy[str]:
    number = st.integers(1, 10**7)
    ecosystem = st.sampled_from(ECOSYSTEMS[engine])
    return st.builds("urn:air:{}:{}:civitai:{}".format, ecosystem, st.just(kind), number)


@cache
def _loras(engine: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    lora = st.fixed_dictionaries({"air": _air(engine, "lora"), "strength": st.floats(0, 4)})
    return st.lists(lora, max_size=3, unique_by=lambda lora: lora["air"])


def _value(facts: dict[str, Any], engine: str, part: str = "vae") -> st.SearchStrategy[Any]:
    """Any value that the document's facts about a field allow."""
    facts = {**facts.get("likely", {}), **facts}
    if "enum" in facts:
        enum = facts["enum"]
        return st.sampled_from(DIGEST["enums"][enum] if isinstance(enum, str) else enum)
    if facts.get("pattern") == "air":
        return _air(engine, part)
    kind = facts["type"]
    low, high = facts.get("minimum"), facts.get("maximum")
    if kind == "integer":
        return st.integers(-12 if low is None else low, 12 if high is None else high)
    if kind == "number":
        return st.floats(0 if low is None else low, 2 if high is None else high)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(_value(facts["items"], engine, "embedding"), max_size=3)
    if kind == "object":
        nested = DIGEST["objects"][facts["object"]]
        needed = {n: _value(f, engine) for n, f in nested.items() if f.get("required")}
        extra = {n: _value(f, engine) for n, f in nested.items() if not f.get("required")}
        return st.fixed_dictionaries(needed, optional=extra)
    return TEXT


def _sources(operation: str, facts: dict[str, Any]) -> dict[str, st.SearchStrategy[Any]]:
    if operation == "variant":
        return {"images": st.lists(SOURCE, min_size=1, max_size=1), "strength": st.floats(0, 1)}
    if operation == "edit":
        most = facts.get("images", {"max_items": 1}).get("max_items", 12)
        return {"images": st.lists(SOURCE, min_size=1, max_size=most)}
    return {}


def _sizes(
    family: Family, variant: Variant, form: type[Wire], facts: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """No size, a ratio, or pixels on the family's grid, whatever the form can take."""
    if isinstance(form.sizing, FollowsSource) or "width" not in facts:
        return st.just({})
    step = family.multiple
    # Hosted qwen wants 512x512 pixels in all.
    stated = {"minimum": 64, "maximum": 2048, **facts["width"].get("likely", {}), **facts["width"]}
    least = math.isqrt(variant.least_pixels) if form.route() != "qwen" else 512
    low = max(stated["minimum"], least)
    high = stated["maximum"]
    sides = st.integers(-(-low // step), high // step).map(step.__mul__)
    sizes = {ratio: family.size(ratio) for ratio in family.ratios()}
    ratios = [r for r, size in sizes.items() if size and all(low <= s <= high for s in size)]
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"aspect_ratio": st.sampled_from(ratios)}),
        st.fixed_dictionaries({"width": sides, "height": sides}),
    )


@cache
def requests(form: type[Wire], operation: str) -> st.SearchStrategy[ImageRequest]:
    """Valid requests that mean this form: each field is said or left out, by chance."""
    return st.one_of([_requests(form, operation, *road) for road in ROADS[form]])


def _as_asked(net: dict[str, Any]) -> dict[str, Any]:
    """A control net in a request's words: its steps are shares."""
    shares = {n: min(max(net[n], 0), 1) for n in ("startStep", "endStep")}
    return {k: v for k, v in {**net, **shares}.items() if v is not None}


def _requests(
    form: type[Wire], operation: str, family: Family, variant: Variant, way: Way
) -> st.SearchStrategy[ImageRequest]:
    facts = DIGEST["forms"][_key(form)]
    owner = f"{family.name} {variant.name}"
    spoken = SPOKEN.map(lambda text: text.ljust(facts["prompt"].get("min_length", 0), "."))
    needed = {"prompt": spoken, **_sources(operation, facts)}
    fields: dict[str, st.SearchStrategy[Any]] = {}
    options: dict[str, st.SearchStrategy[Any]] = {}
    held = {"prompt", "images", "image", "strength", "width", "height", *way.fixed}
    for name in form.model_fields:
        wire = form.alias(name)
        if wire in form.tags() or name in held:
            continue
        if name == "loras":
            fields[name] = _loras(owner)
        elif name == "seed":
            bits = int(facts[wire].get("format", "int64").removeprefix("int"))
            # Each picture of a batch has a seed, one higher than the one before.
            fields[name] = st.integers(1, 2 ** (bits - 1) - MOST_PICTURES)
        elif name == "model":
            fields[name] = _air(owner, "checkpoint")
        elif name == "image_size" and "enum" not in facts[wire]:
            options[wire] = st.sampled_from(list(FAL_SIZES.sizes))
        elif name == "mask":
            fields[name] = SOURCE
        elif name == "control_nets":
            net = _value(facts[wire]["items"], owner)
            fields[name] = st.lists(net.map(_as_asked), max_size=3)
        elif name == "embeddings":
            fields[name] = st.lists(_air(owner, "embedding"), max_size=3)
        elif name == "style_images":
            style = st.fixed_dictionaries({"image": SOURCE, "strength": st.floats(-2, 2)})
            fields[name] = st.lists(style | SOURCE, max_size=3)
        elif name not in ImageRequest.model_fields:
            options[wire] = _value(facts[wire], owner)
        elif name != "quantity" or variant.name not in ("max", "plus", "edit"):
            fields[name] = _value(facts[wire], owner)
    place: dict[str, Any] = {"engine": family.name, "variant": variant.name, "route": form.route()}
    place["retired"] = True

    def made(said: dict[str, Any], size: dict[str, Any]) -> ImageRequest:
        return ImageRequest(**place, **said, **size)

    fields["options"] = st.fixed_dictionaries({}, optional=options)
    said = st.fixed_dictionaries(needed, optional=fields)
    return st.builds(made, said, _sizes(family, variant, form, facts))


@pytest.mark.slow
@pytest.mark.parametrize("form", ROADS, ids=_key)
def test_valid_requests_become_bodies_that_fit_the_document(form: type[Wire], referee: Any) -> None:
    @settings(
        max_examples=cases(200),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(form.operations()).flatmap(lambda done: requests(form, done)))
    def judged(request: ImageRequest) -> None:
        decided = plan(request)
        assert type(decided.form) is form
        # As the service reads it: what went through JSON.
        body = json.loads(json.dumps(decided.form.sent()))
        assert referee.check(body, "ImageGenInput") == []

    judged()
