"""Two hundred valid requests for each wire form, judged by the referee over the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.plan import plan
from civitai_skill.engines.wire import Wire
from civitai_skill.request import ImageRequest

DIGEST = json.loads((Path(__file__).resolve().parent / "wire_digest.json").read_text("utf-8"))

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
SPOKEN = TEXT.filter(lambda text: bool(text.strip()))
SOURCE = st.sampled_from(
    ["https://example.org/source.png", "data:image/png;base64,iVBORw0KGgo=", "aGVsbG8="]
)
ECOSYSTEMS = {name: sorted(catalog.family(name).ecosystems) or ["other"] for name in catalog.NAMES}


def _roads() -> dict[type[Wire], list[tuple[Family, Variant, Way]]]:
    """Each form with every variant that reaches it."""
    found: dict[type[Wire], list[tuple[Family, Variant, Way]]] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                found.setdefault(way.form, []).append((family, variant, way))
    return found


ROADS = _roads()


def _key(form: type[Wire]) -> str:
    tags = form.tags()
    return next(k for k in DIGEST["forms"] if dict(p.split("=") for p in k.split(" ")) == tags)


def _air(family: Family, kind: str) -> st.SearchStrategy[str]:
    number = st.integers(1, 10**7)
    return st.builds(
        "urn:air:{}:{}:civitai:{}@{}".format,
        st.sampled_from(ECOSYSTEMS[family.name]), st.just(kind), number, number,
    )  # fmt: skip


def _value(facts: dict[str, Any], family: Family) -> st.SearchStrategy[Any]:
    """Any value that the document's facts about a field allow."""
    if "enum" in facts:
        enum = facts["enum"]
        return st.sampled_from(DIGEST["enums"][enum] if isinstance(enum, str) else enum)
    if facts.get("pattern") == "air":
        return _air(family, "vae")
    kind = facts["type"]
    low, high = facts.get("minimum"), facts.get("maximum")
    if kind == "integer":
        return st.integers(-12 if low is None else low, 12 if high is None else high)
    if kind == "number":
        return st.floats(0 if low is None else low, 2 if high is None else high)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(_value(facts["items"], family), max_size=3)
    if kind == "object":
        nested = DIGEST["objects"][facts["object"]]
        needed = {n: _value(f, family) for n, f in nested.items() if f.get("required")}
        extra = {n: _value(f, family) for n, f in nested.items() if not f.get("required")}
        return st.fixed_dictionaries(needed, optional=extra)
    return TEXT


@st.composite
def requests(draw: st.DrawFn, form: type[Wire]) -> ImageRequest:
    """A valid request that means this form: each field said or left out, by chance."""
    family, variant, way = draw(st.sampled_from(ROADS[form]))
    facts = DIGEST["forms"][_key(form)]
    operation = form.operations()[0]
    said: dict[str, Any] = {"prompt": draw(SPOKEN), "options": {}}
    if "images" in facts and (operation == "edit" or draw(st.booleans())):
        most = facts["images"].get("max_items", 12)
        said["images"] = draw(st.lists(SOURCE, min_size=1, max_size=most))
    if operation == "variant":
        said["images"] = [draw(SOURCE)]
        said["strength"] = draw(st.floats(0, 1))
    names = {form.alias(n): n for n in form.model_fields}
    free = [
        n for n in facts
        if n not in form.tags() and names[n] not in way.fixed
        and names[n] not in ("prompt", "images", "image", "strength", "seed", "width", "height")
    ]  # fmt: skip
    for wire in draw(st.lists(st.sampled_from(free), max_size=len(free), unique=True)):
        name = names[wire]
        if name == "loras":
            airs = draw(st.lists(_air(family, "lora"), max_size=3, unique=True))
            said[name] = [{"air": air, "strength": draw(st.floats(0, 4))} for air in airs]
        elif name == "model":
            said[name] = draw(_air(family, "checkpoint"))
        elif name in ImageRequest.model_fields:
            said[name] = draw(_value(facts[wire], family))
        else:
            said["options"][draw(st.sampled_from([wire, wire.lower()]))] = draw(
                _value(facts[wire], family)
            )
    if "seed" in facts and draw(st.booleans()):
        bits = int(facts["seed"]["format"].removeprefix("int"))
        said["seed"] = draw(st.integers(1, 2 ** (bits - 1) - 1))
    said |= draw(_sizes(family, form, facts))
    if variant.name in ("max", "plus", "edit"):
        said.pop("quantity", None)
    return ImageRequest(engine=family.name, variant=variant.name, route=form.route(), **said)


def _sizes(
    family: Family, form: type[Wire], facts: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """No size, a ratio, or pixels on the family's grid, whatever the form can take."""
    if form.follows_source or "width" not in facts:
        return st.just({})
    step = family.multiple
    # Hosted qwen wants 512x512 pixels in all.
    low = max(facts["width"]["minimum"], 512 if form.route() == "qwen" else 0)
    sides = st.integers(-(-low // step), facts["width"]["maximum"] // step).map(step.__mul__)
    ratios = [
        r for r in family.ratios()
        if (size := family.size(r))
        and all(low <= side <= facts["width"]["maximum"] for side in size)
    ]  # fmt: skip
    return st.one_of(
        st.just({}),
        st.sampled_from(ratios).map(lambda ratio: {"aspect_ratio": ratio}),
        st.fixed_dictionaries({"width": sides, "height": sides}),
    )


@pytest.mark.parametrize("form", ROADS, ids=_key)
def test_valid_requests_become_bodies_that_fit_the_document(form: type[Wire], referee: Any) -> None:
    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(form))
    def judged(request: ImageRequest) -> None:
        decided = plan(request)
        assert type(decided.form) is form
        # As the service reads it: what went through JSON.
        body = json.loads(json.dumps(decided.form.sent()))
        assert referee.check(body, "ImageGenInput") == []

    judged()
