"""From a request to one wire form: every decision about an engine is made here.

The operation is derived, the variant and its settings follow from the quality, and of the
variant's ways the first is taken that has the operation and the size. Nothing is dropped: what the
form lacks is refused, with what it takes and where else to go.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.checks import check_airs, check_seed, warnings
from civitai_skill.engines.choice import elsewhere, operation_of, variant_of, ways_of
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.options import options_of
from civitai_skill.engines.refusals import lacking, refusal, takes
from civitai_skill.engines.sizes import (
    SQUARE,
    Size,
    SizeRefused,
    best_of,
    check_pixels,
    check_sources,
    deciding,
    shape_of,
    size_notes,
    size_of,
    within,
)
from civitai_skill.engines.wire import Operation, Wire
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.request import ImageRequest

# 0 and -1 were refused by the service, and several forms are 32-bit (civitai-api facts, 0.1), so
# what is chosen here stays where every form and every batch offset is safe.
_CHOSEN_SEEDS = range(1, 2**31 - 64)

_PLANNED = frozenset(field.name for field in FIELDS if field.planned)


@dataclass(frozen=True)
class Price:
    """The documented price, in Buzz.

    `buzz` is rounded up, None where nothing is documented; `cap` is the most it can be where the
    price depends on what is not known yet (the size of a source picture); `note` says so.
    """

    buzz: int | None
    cap: int | None = None
    note: str = ""

    @property
    def most(self) -> int | None:
        """The most it can be; None where nothing is documented."""
        return self.buzz if self.cap is None else self.cap

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"buzz": self.buzz}
        if self.cap is not None:
            out["cap"] = self.cap
        note = self.note or ("not documented" if self.buzz is None else "")
        return {**out, "note": note} if note else out

    def __str__(self) -> str:
        if self.buzz is None:
            return "not documented"
        return f"about {self.buzz} Buzz" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Plan:
    """A request, decided: the form that goes out, and what a person should know about it.

    `sources` are the pixel sizes of its source pictures, as far as they were known.
    """

    family: str
    variant: str
    operation: Operation
    form: Wire
    price: Price
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[Size | None, ...] = ()

    @property
    def route(self) -> str:
        return self.form.route()

    @property
    def seed(self) -> int | None:
        return getattr(self.form, "seed", None)

    @property
    def quantity(self) -> int:
        return int(getattr(self.form, "quantity", 1))

    @property
    def size(self) -> Size | None:
        """The pixels that were asked for, where the form says pixels."""
        width, height = getattr(self.form, "width", None), getattr(self.form, "height", None)
        return (width, height) if width and height else None


def plan(
    request: ImageRequest,
    *,
    sources: tuple[Size | None, ...] = (),
    today: date | None = None,
) -> Plan:
    """Decide a request.

    `sources` are the pixel sizes of the source pictures where they are known. Raises
    RequestInvalid when no way of the engine takes the request.
    """
    family = catalog.family(request.engine)
    operation = operation_of(request)
    variant = variant_of(family, request)
    ways, operation, notes = ways_of(family, variant, request, operation)

    refused: list[SizeRefused] = []
    for way in ways:
        try:
            form, said, sized = _form(family, variant, way, request, sources)
        except SizeRefused as error:
            refused.append(error)
            continue
        warned = list(warnings(family, variant, form, said))
        if variant.retired is not None:
            warned.append(_retirement(family, variant, today or date.today()))
        price = price_of(form, sources)
        noted, names = (*notes, *sized), (family.name, variant.name)
        return Plan(*names, operation, form, price, noted, tuple(warned), sources)
    hint = _other_route(family, variant, request, operation) if request.route else ""
    raise RequestInvalid(*best_of(refused), engine=f"{family.name} {variant.name}", advice=hint)


def price_of(form: Wire, sources: tuple[Size | None, ...] = ()) -> Price:
    """The documented price of a form, rounded up to whole Buzz."""
    if not (form.follows_source and hasattr(form, "width")):
        return Price(_rounded(form.buzz()))
    # The size comes from the source: bill what is known, and name the largest the form allows.
    source = deciding(sources)
    size = within(type(form), source or SQUARE)
    known = limits(type(form))
    most = tuple(int(known[name].maximum or 0) for name in ("width", "height"))
    price, cap = (_rounded(_at(form, *pixels).buzz()) for pixels in (size, most))
    if size == source or price == cap:
        return Price(price)
    spelt = "x".join(str(side) for side in size)
    what = f"a {spelt} source" if source is None else f"a source scaled down to {spelt}"
    return Price(price, cap, f"for {what}, at most {cap}")


def _at(form: Wire, width: int, height: int) -> Wire:
    return form.model_copy(update={"width": width, "height": height})


def _rounded(buzz: float | None) -> int | None:
    # Measured: 4.6 -> 5, 1.2 -> 2, 2.4 -> 3 (spec/prices.md); the inner round undoes float dust.
    return None if buzz is None else math.ceil(round(buzz, 6))


def _retirement(family: Family, variant: Variant, today: date) -> str:
    gone = variant.retired
    assert gone is not None
    since = "" if gone.on is None else f" since {gone.on}"
    when = f"is withdrawn{since}" if gone.passed(today) else f"will be withdrawn on {gone.on}"
    return (
        f"{family.name} {variant.name} {when} ({gone.source}); use {gone.instead}. "
        "A price request does not prove that it still runs."
    )


def _other_route(
    family: Family, variant: Variant, request: ImageRequest, operation: Operation
) -> str:
    """Where the route that was asked for lacks the size: the routes that have it."""
    found = []
    for way in variant.ways:
        if operation in way.form.operations():
            try:
                size_of(family, variant, request, way.form, limits(way.form))
            except SizeRefused:
                continue
            found.append(way.form.route())
    return f"Route {' or '.join(dict.fromkeys(found))} has this size." if found else ""


# -- one form -----------------------------------------------------------------------------------
def _form(
    family: Family,
    variant: Variant,
    way: Way,
    request: ImageRequest,
    sources: tuple[Size | None, ...],
) -> tuple[Wire, Mapping[str, Any], tuple[str, ...]]:
    """The form of one way, the part of it that the request said itself, and notes on its size.

    Raises SizeRefused where only the size stands in the way, else RequestInvalid.
    """
    form = way.form
    known = limits(form)
    owner = f"{family.name} {variant.name}"
    if len(variant.routes()) > 1:
        owner += f" (route {form.route()})"
    said = _said(request, way, known, owner, variant, family)
    check_sources(form, sources, owner)
    size = size_of(family, variant, request, form, known)
    shape = shape_of(family, variant, request, form, known, deciding(sources))
    options = options_of(request, family, way, known, owner)
    values = {**way.settings(request.quality), **size, **shape, **said, **options, **way.fixed}
    if "seed" in known and values.get("seed") is None:
        values["seed"] = random.choice(_CHOSEN_SEEDS)
    check_airs(family, values, known, request, owner)
    wire = {form.alias(name): _on_the_wire(name, value, known) for name, value in values.items()}
    try:
        made = form.read(wire)
    except ValidationError as error:
        raise refusal(error, form, known, owner) from None
    objection = made.objection()
    if objection is not None:
        raise RequestInvalid(objection, engine=owner)
    check_pixels(family, made, said, owner)
    check_seed(made, known, owner)
    return made, said, tuple(size_notes(request, made, shape, sources))


def _said(
    request: ImageRequest,
    way: Way,
    known: Mapping[str, Limit],
    owner: str,
    variant: Variant,
    family: Family,
) -> dict[str, Any]:
    """The request's own words, by attribute name; what the form lacks is refused."""
    said: dict[str, Any] = {}
    problems = []
    for name in type(request).model_fields:
        if name in _PLANNED or not request.given(name) or getattr(request, name) in ([], {}):
            continue
        if takes(name, known):
            said[name] = getattr(request, name)
        elif name not in ("width", "height"):  # size_of answers for both at once
            given = getattr(request, name)
            problems.append(lacking(name, given, way, known, variant, family))
    if request.images:
        # A way was chosen that has the operation, so it has one of the two.
        if "images" in known:
            _check_count(len(request.images), known["images"], owner)
            said["images"] = list(request.images)
        else:
            said["image"] = request.images[0]
    if request.strength is not None:
        said["strength"] = request.strength
    airs = [lora.air for lora in request.loras]
    twice = next((air for air in airs if airs.count(air) > 1), None)
    if twice is not None:
        problems.append(Problem("loras", twice, "each LoRA once", None, "is given twice"))
    if problems:
        raise RequestInvalid(*problems, engine=owner)
    return said


def _check_count(sources: int, limit: Limit, owner: str) -> None:
    if limit.most is not None and sources > limit.most:
        problem = Problem("images", sources, limit.accepted(), limit.most, "too many")
        raise RequestInvalid(problem, engine=owner, advice=elsewhere("edit", sources))


def _on_the_wire(name: str, value: Any, known: Mapping[str, Limit]) -> Any:
    if known[name].role != "lora" or not isinstance(value, list):
        return value
    if known[name].kind == "map":
        return {lora.air: lora.strength for lora in value}
    return [lora.model_dump() for lora in value]


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan with another seed."""
    return replace(plan, form=plan.form.model_copy(update={"seed": seed}))
