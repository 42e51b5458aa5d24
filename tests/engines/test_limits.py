"""Just outside each limit of a form a request is refused with the limit; just inside it passes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import plan
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.parts import Lora
from civitai_skill.schema.request import ImageRequest

DIGEST = json.loads((Path(__file__).resolve().parent / "wire_digest.json").read_text("utf-8"))
SOURCE = "https://example.org/source.png"


@dataclass(frozen=True)
class Road:
    """A form, and the family and variant through which a request reaches it."""

    family: Family
    variant: Variant
    form: type[Wire]

    @property
    def key(self) -> str:
        tags = self.form.tags()
        keys: list[str] = list(DIGEST["forms"])
        return next(k for k in keys if dict(p.split("=") for p in k.split(" ")) == tags)

    def request(self, **fields: Any) -> ImageRequest:
        """A plain request for this form; `fields` are added by wire name."""
        said: dict[str, Any] = {"prompt": "a fox", "options": {}}
        operation = "variant" if "strength" in fields else self.form.operations()[0]
        if operation != "create":
            said["images"] = [SOURCE]
        if operation == "variant":
            said["strength"] = 0.5
        names = {self.form.alias(n): n for n in self.form.model_fields}
        for wire, value in fields.items():
            if names[wire] in ImageRequest.model_fields:
                said[names[wire]] = value
            else:
                said["options"][wire] = value
        place: dict[str, Any] = {"engine": self.family.name, "variant": self.variant.name}
        place["retired"] = True
        return ImageRequest(**place, route=self.form.route(), **said)

    def plan(self, **fields: Any) -> Wire:
        form = plan(self.request(**fields)).form
        assert type(form) is self.form
        return form


def _roads() -> list[Road]:
    """One road to each form, by a variant that is not retired and draws the fewest pixels."""
    found: dict[type[Wire], Road] = {}
    for family in catalog.families():
        for variant in sorted(family.variants, key=lambda variant: variant.least_pixels):
            for way in variant.ways:
                if variant.retired is None or way.form not in found:
                    found.setdefault(way.form, Road(family, variant, way.form))
    return list(found.values())


ROADS = _roads()

# These are held by another rule, each with a test of its own below.
_OTHERWISE = {
    ("engine=qwen operation=createImage", "width"): "the number of pixels in all",
    ("engine=qwen operation=createImage", "height"): "the number of pixels in all",
    ("engine=qwen operation=editImage", "width"): "the source's size",
    ("engine=qwen operation=editImage", "height"): "the source's size",
    ("engine=fal model=krea2 operation=createImage", "imageStyleReferences"): "objects",
    ("engine=krea operation=createImage", "imageStyleReferences"): "objects",
}


def _bounds() -> list[Any]:
    """(road, field, value inside, value outside, limit) for each numeric and length limit."""
    found = []
    for road in ROADS:
        for name, facts in DIGEST["forms"][road.key].items():
            if (road.key, name) in _OTHERWISE or facts.get("read_only"):
                continue
            step = 1 if facts["type"] == "integer" else 0.01
            cases = [
                (kind, limit, inside, outside)
                for kind, limit in facts.items()
                for inside, outside in _beside(kind, limit, step)
            ]
            for kind, limit, inside, outside in cases:
                mark = f"{road.key} {name} {kind}"
                found.append(pytest.param(road, name, inside, outside, limit, id=mark))
    return found


def _beside(kind: str, limit: Any, step: float) -> list[tuple[Any, Any]]:
    if kind == "minimum":
        return [(limit, limit - step)]
    if kind == "maximum":
        return [(limit, limit + step)]
    if kind == "max_length":
        return [("x" * limit, "x" * (limit + 1))]
    if kind == "max_items":
        return [([SOURCE] * limit, [SOURCE] * (limit + 1))]
    return []


@pytest.mark.parametrize(("road", "name", "inside", "outside", "limit"), _bounds())
def test_just_outside_a_limit_is_refused_with_the_limit_and_just_inside_passes(
    road: Road, name: str, inside: Any, outside: Any, limit: float
) -> None:
    form = road.plan(**{name: inside})
    assert form.sent()[name] == inside
    with pytest.raises(RequestInvalid) as refused:
        road.plan(**{name: outside})
    assert re.search(rf"(?<![\d.]){limit:g}(?![\d.])", refused.value.accepted), refused.value
    assert refused.value.field in (name, f"options.{name}", _shared(road, name))


def _shared(road: Road, name: str) -> str:
    return {road.form.alias(n): n for n in road.form.model_fields}[name]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.key)
def test_a_value_outside_a_list_of_choices_is_refused_with_the_choices(road: Road) -> None:
    for name, facts in DIGEST["forms"][road.key].items():
        choices = facts.get("enum")
        fixed = _shared(road, name) in next(
            w.fixed for w in road.variant.ways if w.form is road.form
        )
        if choices is None or name in road.form.tags() or name == "outputFormat" or fixed:
            continue
        choices = DIGEST["enums"][choices] if isinstance(choices, str) else choices
        for choice in choices:
            assert road.plan(**{name: choice}).sent()[name] == choice
        outside = "99:98" if name == "aspectRatio" else "nothing-like-it"
        with pytest.raises(RequestInvalid) as refused:
            road.plan(**{name: outside})
        assert all(choice in refused.value.accepted for choice in choices)


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.key)
def test_the_formats_of_the_document_pass_and_no_other(road: Road) -> None:
    for choice in DIGEST["enums"]["ImageGenOutputFormat"]:
        assert road.plan(outputFormat=choice).sent()["outputFormat"] == choice
    with pytest.raises(RequestInvalid) as refused:
        road.plan(outputFormat="gif")
    assert refused.value.accepted == "one of jpeg, png, webP"


@pytest.mark.parametrize(
    "road",
    [r for r in ROADS if DIGEST["forms"][r.key].get("images", {}).get("min_items")],
    ids=lambda road: road.key,
)
def test_an_edit_form_needs_a_source(road: Road) -> None:
    # Without sources a request means a creation, so the form itself is asked.
    needed = {"prompt": "a fox"} | {
        limit.wire: facts["default"]
        for limit in limits(road.form).values()
        if limit.required and "default" in (facts := DIGEST["forms"][road.key][limit.wire])
    }
    with pytest.raises(ValidationError):
        road.form.model_validate({**needed, "images": []})
    assert road.form.model_validate({**needed, "images": [SOURCE]})


@pytest.mark.parametrize(
    "road", [r for r in ROADS if "seed" in r.form.model_fields], ids=lambda road: road.key
)
def test_seeds_from_one_to_the_forms_own_width_pass(road: Road) -> None:
    # Where the document names no width, every seed that the service is known to take.
    bits = int(DIGEST["forms"][road.key]["seed"].get("format", "int64").removeprefix("int"))
    top = 2 ** (bits - 1) - 1
    assert [road.plan(seed=s).sent()["seed"] for s in (1, top)] == [1, top]
    for seed, nearest in ((0, 1), (-1, 1), (top + 1, top)):
        with pytest.raises(RequestInvalid) as refused:
            road.plan(seed=seed)
        assert (refused.value.accepted, refused.value.nearest) == (f"1 to {top}", nearest)


@pytest.mark.parametrize("strength", [-0.01, 4.01])
def test_a_lora_is_refused_outside_nought_to_four(strength: float) -> None:
    air = "urn:air:flux2:lora:civitai:1@2"
    assert [Lora(air=air, strength=s).strength for s in (0, 4)] == [0, 4]
    with pytest.raises(RequestInvalid) as refused:
        Lora(air=air, strength=strength)
    assert refused.value.accepted in ("0 or more", "4 or less")


def test_an_empty_prompt_is_refused_everywhere() -> None:
    for prompt in ("", "  \n"):
        with pytest.raises(RequestInvalid) as refused:
            ImageRequest(prompt=prompt)
        assert (refused.value.field, refused.value.given) == ("prompt", prompt)


def _hosted_qwen(**fields: Any) -> ImageRequest:
    return ImageRequest(prompt="a fox", engine="qwen", variant="2.0", route="qwen", **fields)


def test_hosted_qwen_wants_512x512_pixels_in_all() -> None:
    assert plan(_hosted_qwen(width=256, height=1024)).size == (256, 1024)
    assert plan(_hosted_qwen(width=2048, height=2048)).size == (2048, 2048)
    with pytest.raises(RequestInvalid) as refused:
        plan(_hosted_qwen(width=256, height=1016))
    assert refused.value.accepted == "512x512 to 2048x2048 pixels in all"
    with pytest.raises(RequestInvalid) as refused:
        plan(_hosted_qwen(width=2049, height=1024))
    assert refused.value.accepted == "0 to 2048 pixels"


@pytest.mark.parametrize("variant", ["max", "plus"])
def test_the_old_hosted_qwen_draws_one_picture_a_call(variant: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", engine="qwen", variant=variant, quantity=2, retired=True))
    assert (refused.value.field, refused.value.nearest) == ("quantity", 1)


def test_pixels_off_the_grid_are_refused_with_the_nearest_on_it() -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", width=1000, height=1024))
    assert (refused.value.field, refused.value.nearest) == ("width", 992)
    assert refused.value.accepted.startswith("a multiple of 16 pixels")
    qwen = ImageRequest(prompt="a fox", engine="qwen", width=1000, height=1000)
    assert plan(qwen).size == (1000, 1000)
    seedream = ImageRequest(prompt="a fox", engine="seedream", width=2001, height=1999)
    assert plan(seedream).size == (2001, 1999)


def test_two_wrong_sides_are_both_named() -> None:
    for size, nearest in (((10, 9000), [512, 2048]), ((1000, 1001), [992, 1008])):
        with pytest.raises(RequestInvalid) as refused:
            plan(ImageRequest(prompt="a fox", width=size[0], height=size[1]))
        found = [(p.field, p.nearest) for p in refused.value.problems]
        assert found == list(zip(("width", "height"), nearest, strict=True))


@pytest.mark.parametrize(
    ("width", "height"), [(100, 2048), (2048, 104), (520, 507), (507, 520), (9, 9), (2041, 129)]
)
def test_the_nearest_hosted_size_is_one_that_passes(width: int, height: int) -> None:
    size = {"width": width, "height": height}
    with pytest.raises(RequestInvalid) as refused:
        plan(_hosted_qwen(**size))
    for problem in refused.value.problems:
        near = problem.nearest
        pair = str(near).split("x")
        size |= (
            {problem.field: near}
            if len(pair) == 1
            else dict(zip(("width", "height"), map(int, pair), strict=True))
        )
    assert plan(_hosted_qwen(**size)).size == (size["width"], size["height"])


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), 10**4000])
@pytest.mark.parametrize(
    ("field", "accepted"),
    [("guidance", "1 to 20"), ("width", "512 to 2048 pixels"), ("seed", f"1 to {2**63 - 1}")],
)
def test_an_absurd_number_is_answered_with_the_fields_own_limits(
    field: str, accepted: str, value: float
) -> None:
    if field != "guidance" and isinstance(value, float):
        accepted = "a whole number"
    elif field == "width" and value < 0:
        accepted = "1 or more"
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", **{field: value}))  # type: ignore[arg-type]
    assert (refused.value.field, refused.value.accepted) == (field, accepted)


def test_a_ratio_as_a_number_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(RequestInvalid) as refused:
        ImageRequest(prompt="a fox", aspect_ratio=1.5)  # type: ignore[arg-type]
    assert refused.value.accepted == "two numbers with a colon, such as 16:9"


def test_a_quality_is_known_in_any_case() -> None:
    assert ImageRequest(prompt="a fox", quality="High").quality == "high"  # type: ignore[arg-type]
