"""From a request to one wire form: every decision about an engine is made here.

The operation is derived, the variant and its settings follow from the quality, and of the
variant's ways the first is taken that has the operation and the size. Nothing is dropped: what the
form lacks is refused, with what it takes and where else to go.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Retired, Variant
from civitai_skill.engines.forms import Operation, Wire
from civitai_skill.engines.limits import limits, request_fields
from civitai_skill.engines.planning.checks import (
    check_airs,
    check_references,
    check_seed,
    newer_than_ours,
    warnings,
)
from civitai_skill.engines.planning.grid import check_amount
from civitai_skill.engines.planning.options import options_of
from civitai_skill.engines.planning.refusals import lacking, refusal
from civitai_skill.engines.planning.route import (
    Candidate,
    elsewhere,
    operation_of,
    variant_of,
    ways_of,
)
from civitai_skill.engines.planning.sizes import (
    SizeRefused,
    check_pixels,
    check_sources,
    shape_of,
    size_notes,
    size_of,
    within,
)
from civitai_skill.engines.planning.wording import check_words
from civitai_skill.engines.sizing import SQUARE, FollowsSource, PixelsOrSource, Size
from civitai_skill.engines.sources import picture_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.parts import StyleImage
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
            return self.note or "not documented"
        return f"about {self.buzz} Buzz" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Plan:
    """A request, decided: the form that goes out, and what a person should know about it.

    `title` says who makes it. `size` are the pixels that were asked for, where the form says
    pixels; `sources` those of its source pictures, as far as they were known.
    """

    family: str
    variant: str
    title: str
    operation: Operation
    form: Wire
    size: Size | None
    seed: int | None
    quantity: int
    price: Price
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[Size | None, ...] = ()

    @property
    def route(self) -> str:
        """The service's `engine`."""
        return self.form.tags()["engine"]


def plan(
    request: ImageRequest, *, sources: tuple[Size | None, ...] = (), today: date | None = None
) -> Plan:
    """Decide a request.

    `sources` are the pixel sizes of the source pictures where they are known, `today` says which
    variants are withdrawn. Raises RequestInvalid when no way of the engine takes the request.
    """
    check_references(request)
    family = catalog.family(request.engine)
    operation: Operation = operation_of(request) if request.images else "create"
    variant = variant_of(family, request)
    gone = variant.retired
    retirement = _retirement(family, variant, gone, request, today or date.today()) if gone else ()
    ways, operation, notes = ways_of(family, variant, request, operation)

    title, refused = f"{family.name} {variant.name}", list[SizeRefused]()
    for way in ways:
        candidate = Candidate(request, family, variant, way, sources)
        try:
            form, sized, worded = _form(candidate)
        except SizeRefused as error:
            refused.append(error)
            continue
        newer = newer_than_ours(form) if form.newer else []
        return Plan(
            family.name,
            variant.name,
            title,
            operation,
            form,
            form.sizing.asked(form),
            getattr(form, "seed", None),
            int(getattr(form, "quantity", 1)),
            # A rule that was written before a field or value existed tells nothing of its price.
            Price(None) if newer else price_of(form, sources),
            (*notes, *sized),
            (*warnings(candidate, form, newer), *worded, *retirement),
            sources,
        )
    hint = _other_route(candidate, operation) if request.route else ""
    nearest = min(refused, key=lambda each: each.apart)
    raise RequestInvalid(*nearest.problems, engine=title, advice=hint)


def price_of(form: Wire, sources: tuple[Size | None, ...] = ()) -> Price:
    """The documented price of a form, rounded up to whole Buzz."""
    sizing, made = form.sizing, [form]
    fields, top = sizing.fields, sizing.most if isinstance(sizing, PixelsOrSource) else None
    left_open = top is not None and sizing.asked(form) is None
    if left_open or (isinstance(sizing, FollowsSource) and fields):
        # The size comes from the source: bill what is known, and name the largest the form allows.
        source = sources[0] if sources else None
        size = within(type(form), source or SQUARE)
        known = limits(type(form))
        most = top or tuple(int(known[name].maximum or 0) for name in fields)
        made = [form.model_copy(update=dict(zip(fields, p, strict=True))) for p in (size, most)]
    # Measured: 4.6 -> 5, 1.2 -> 2, 2.4 -> 3 (spec/prices.md); the inner round undoes float dust.
    told = [at.buzz() for at in made]
    price, *caps = [None if buzz is None else math.ceil(round(buzz, 6)) for buzz in told]
    if not caps or size == source or price == caps[0]:
        return Price(price)
    spelt = "x".join(str(side) for side in size)
    what = f"a {spelt} source" if source is None else f"a source scaled down to {spelt}"
    return Price(price, caps[0], f"for {what}, at most {caps[0]}")


def _retirement(
    family: Family, variant: Variant, gone: Retired, request: ImageRequest, today: date
) -> tuple[str, ...]:
    """Warn of a variant that its maker withdraws; once it is withdrawn, refuse it unasked."""
    since = "" if gone.on is None else f" since {gone.on}"
    when = f"is withdrawn{since}" if gone.passed(today) else f"will be withdrawn on {gone.on}"
    if gone.passed(today) and not request.retired:
        field = "engine" if request.variant is None else "variant"
        near = gone.instead.removeprefix(f"{family.name} ")
        near = near if field == "variant" else gone.instead
        why = f"{family.name} {variant.name} {when} ({gone.source})"
        raise RequestInvalid(
            Problem(field, getattr(request, field), gone.instead, near, why),
            engine=family.name,
            advice="The maker's date is not the service's: retired true tries it all the same.",
        )
    return (
        f"{family.name} {variant.name} {when} ({gone.source}); use {gone.instead}. "
        "A price request does not prove that it still runs.",
    )


def _other_route(asked: Candidate, operation: Operation) -> str:
    """Where the route that was asked for lacks the size: the routes that have it."""
    found = []
    for way in asked.variant.ways:
        if operation in way.form.operations():
            try:
                size_of(replace(asked, way=way))
            except SizeRefused:
                continue
            found.append(way.form.route())
    return f"Route {' or '.join(dict.fromkeys(found))} has this size." if found else ""


# -- one form -----------------------------------------------------------------------------------
def _form(candidate: Candidate) -> tuple[Wire, Iterable[str], list[str]]:
    """The form of one way, notes on its size, and what it makes something else of in the words.

    Raises SizeRefused where only the size stands in the way, else RequestInvalid.
    """
    request, way, known = candidate.request, candidate.way, limits(candidate.way.form)
    is_sized = bool(request.aspect_ratio or request.width or request.height)
    said = _said(candidate)
    if candidate.sources:
        check_sources(candidate)
    shape = shape_of(candidate) if candidate.sources and not is_sized else {}
    options = options_of(candidate) if request.options else {}
    size = size_of(candidate) if is_sized else shape
    values = {**way.settings(request.quality), **size, **said, **options}
    values |= way.fixed
    if "seed" in known and values.get("seed") is None:
        values["seed"] = random.choice(_CHOSEN_SEEDS)
    check_airs(candidate, values)
    worded = check_words(candidate)
    if request.loras:
        as_map = known["loras"].kind == "map"
        listed = [lora.model_dump() for lora in request.loras]
        values["loras"] = {x["air"]: x["strength"] for x in listed} if as_map else listed
    if request.style_images:
        values["style_images"] = _styles(candidate, request.style_images)
    if request.control_nets:
        nets = [net.model_dump(exclude_none=True) for net in request.control_nets]
        values["control_nets"] = [{to_camel(n): part for n, part in net.items()} for net in nets]
    try:
        wired = {known[name].wire: value for name, value in values.items()}
        made = way.form.model_validate(wired)
    except ValidationError as error:
        raise refusal(candidate, error) from None
    objection = made.objection()
    if objection is not None:
        raise RequestInvalid(objection, engine=candidate.owner)
    if candidate.variant.least_pixels:
        check_amount(candidate, made)
    if is_sized:
        check_pixels(candidate, made)
    if request.seed is not None:
        check_seed(candidate, made)
    sized = size_notes(candidate, made, shape) if is_sized or candidate.sources else ()
    return made, sized, worded


def _styles(candidate: Candidate, styles: list[StyleImage]) -> list[Any]:
    """Style references as the form takes them."""
    if not candidate.way.form.styles_alone:
        return [{"imageUrl": style.image, "strength": style.strength} for style in styles]
    for i, style in enumerate(styles):
        if style.strength != 1:
            place, why = f"style_images.{i}.strength", "a style is a picture alone here"
            problem = Problem(place, style.strength, "leave it out", None, why)
            raise RequestInvalid(problem, engine=candidate.owner)
    return [style.image for style in styles]


def _said(candidate: Candidate) -> dict[str, Any]:
    """The request's own words, by attribute name; what the form lacks is refused."""
    request, form = candidate.request, candidate.way.form
    said: dict[str, Any] = {}
    problems = []
    for name in type(request).model_fields:
        value = getattr(request, name)
        if name in _PLANNED or name not in request.model_fields_set or value in (None, [], {}):
            continue
        if name in request_fields(form):
            said[name] = value
        elif name not in ("width", "height"):  # size_of answers for both at once
            problems.append(lacking(candidate, name))
    pictures = picture_of(form)
    if request.images and pictures is not None:
        limit, given = limits(form)[pictures], len(request.images)
        if limit.kind != "list":
            said[pictures] = request.images[0]
        elif limit.most is None or given <= limit.most or limit.likely:
            said[pictures] = list(request.images)
        else:
            problem = Problem("images", given, limit.accepted(), limit.most, "too many")
            advice = elsewhere("edit", given)
            raise RequestInvalid(problem, engine=candidate.owner, advice=advice)
    if request.strength is not None:
        said["strength"] = request.strength
    airs = [lora.air for lora in request.loras]
    twice = next((air for air in airs if airs.count(air) > 1), None)
    if twice is not None:
        problems.append(Problem("loras", twice, "each LoRA once", None, "is given twice"))
    if problems:
        raise RequestInvalid(*problems, engine=candidate.owner)
    return said


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan with another seed."""
    form = plan.form.model_copy(update={"seed": seed})
    return replace(plan, form=form, seed=seed)
