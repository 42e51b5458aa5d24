"""From a request to one wire form: every decision about an engine is made here.

The operation is derived, the variant and its settings follow from the quality, and of the
variant's ways the first is taken that has the operation and the size. Nothing is dropped: what the
form lacks is refused, with what it takes and where else to go.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.checks import check_airs, check_seed, warnings
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.options import options_of
from civitai_skill.engines.refusals import lacking, refusal, takes
from civitai_skill.engines.sizes import SizeRefused, best_of, check_pixels, size_of
from civitai_skill.engines.wire import Operation, Wire
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.request import ImageRequest

# 0 and -1 were refused by the service, and several forms are 32-bit (civitai-api facts, 0.1), so
# what is chosen here stays where every form and every batch offset is safe.
_CHOSEN_SEEDS = range(1, 2**31 - 64)

#: Fields of a request that are not the engine's to take.
_OURS = frozenset(
    {"engine", "variant", "route", "quality", "aspect_ratio", "images", "strength", "options"}
)


@dataclass(frozen=True)
class Price:
    """The documented price, in Buzz.

    `buzz` is rounded up, None where nothing is documented; `cap` is the most it can be where the
    price depends on what is not known yet (the size of a source picture); `note` says so.
    """

    buzz: int | None
    cap: int | None = None
    note: str = ""

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
    """A request, decided: the form that goes out, and what a person should know about it."""

    family: str
    variant: str
    operation: Operation
    form: Wire
    price: Price
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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
    def size(self) -> tuple[int, int] | None:
        """The pixels that were asked for, where the form says pixels."""
        width, height = getattr(self.form, "width", None), getattr(self.form, "height", None)
        return (width, height) if width and height else None


def plan(
    request: ImageRequest,
    *,
    sources: tuple[tuple[int, int] | None, ...] = (),
    today: date | None = None,
) -> Plan:
    """Decide a request.

    `sources` are the pixel sizes of the source pictures where they are known. Raises
    RequestInvalid when no way of the engine takes the request.
    """
    family = catalog.family(request.engine)
    operation = _operation(request)
    variant = _variant(family, request)
    ways, operation, notes = _ways(family, variant, request, operation)

    refused: list[SizeRefused] = []
    for way in ways:
        try:
            form, said = _form(family, variant, way, request)
        except SizeRefused as error:
            refused.append(error)
            continue
        warned = list(warnings(form, said))
        if variant.retired is not None:
            warned.append(_retirement(family, variant, today or date.today()))
        price = price_of(form, sources)
        return Plan(family.name, variant.name, operation, form, price, notes, tuple(warned))
    raise RequestInvalid(best_of(refused), engine=f"{family.name} {variant.name}")


def price_of(form: Wire, sources: tuple[tuple[int, int] | None, ...] = ()) -> Price:
    """The documented price of a form, rounded up to whole Buzz."""
    if form.follows_source and hasattr(form, "width"):
        # The size comes from the source: bill what is known, and name the largest the form allows.
        size = next((s for s in sources if s), None)
        width, height = size or (1024, 1024)
        price = _rounded(form.model_copy(update={"width": width, "height": height}).buzz())
        cap = _rounded(form.model_copy(update={"width": 2048, "height": 2048}).buzz())
        if size is not None or price == cap:
            return Price(price)
        return Price(price, cap, f"for a 1024x1024 source, at most {cap}")
    return Price(_rounded(form.buzz()))


def _rounded(buzz: float | None) -> int | None:
    # Measured: 4.6 -> 5, 1.2 -> 2, 2.4 -> 3 (spec/prices.md); the inner round undoes float dust.
    return None if buzz is None else math.ceil(round(buzz, 6))


# -- which variant, which ways ------------------------------------------------------------------
def _operation(request: ImageRequest) -> Operation:
    if not request.images:
        return "create"
    if request.strength is None:
        return "edit"
    if len(request.images) > 1:
        given = f"{len(request.images)} pictures"
        raise RequestInvalid(
            Problem("images", given, "exactly one with strength", None, "a variant has one"),
            hint="Leave strength out to edit with several sources.",
        )
    return "variant"


def _variant(family: Family, request: ImageRequest) -> Variant:
    if request.variant is not None:
        found = family.variant(request.variant)
        if found is not None:
            return found
        names = [v.name for v in family.variants]
        close = difflib.get_close_matches(request.variant.lower(), names, 1, 0.5)
        near = close[0] if close else None
        accepted = "one of " + ", ".join(names)
        raise RequestInvalid(
            Problem("variant", request.variant, accepted, near, "there is no such variant"),
            engine=family.name,
        )
    preferred = family.variant(family.quality[request.quality])
    assert preferred is not None, "a family's quality names its own variants"
    if request.route is None or _on_route(preferred, request.route):
        return preferred
    return next(
        (v for v in family.variants if v.retired is None and _on_route(v, request.route)), preferred
    )


def _on_route(variant: Variant, route: str) -> list[Way]:
    return [way for way in variant.ways if way.form.route().lower() == route.lower()]


def _ways(
    family: Family, variant: Variant, request: ImageRequest, operation: Operation
) -> tuple[list[Way], Operation, tuple[str, ...]]:
    owner = f"{family.name} {variant.name}"
    ways = list(variant.ways)
    if request.route is not None:
        ways = _on_route(variant, request.route)
        if not ways:
            accepted = "one of " + ", ".join(variant.routes())
            raise RequestInvalid(
                Problem("route", request.route, accepted, None, "there is no such route"),
                engine=owner,
                hint="Leave route out; the best one is taken.",
            )
    fitting = [w for w in ways if operation in w.form.operations()]
    if fitting:
        return fitting, operation, ()
    variants = [w for w in ways if "variant" in w.form.operations()]
    if operation == "edit" and variants and "edit" not in variant.operations():
        if len(request.images) == 1:
            strength = limits(variants[0].form)["strength"].default
            note = (
                f"{family.name} has no edit; a variant of the source was made instead, "
                f"at its documented strength {strength:g} (0 keeps the source, 1 ignores it)."
            )
            return variants, "variant", (note,)
        given = f"{len(request.images)} pictures"
        why = "there is no edit here, only a variant of one source"
        problem = Problem("images", given, "one picture", None, why)
    else:
        problem = _cannot(variant, request, operation)
    can = ", ".join(engines_for(operation)) or "none"
    raise RequestInvalid(
        problem, engine=owner, hint=f"Engines that can do {_SPOKEN[operation]}: {can}."
    )


_SPOKEN: Mapping[Operation, str] = {
    "create": "pictures from words alone",
    "edit": "edits",
    "variant": "variants",
}


def _cannot(variant: Variant, request: ImageRequest, operation: Operation) -> Problem:
    """The problem of an operation that the variant, or the route asked for, lacks."""
    having = [w.form.route() for w in variant.ways if operation in w.form.operations()]
    if request.route is not None and having:
        why = f"this route can't do {_SPOKEN[operation]}"
        return Problem("route", request.route, " or ".join(dict.fromkeys(having)), having[0], why)
    why = f"it can't do {_SPOKEN[operation]}"
    can = variant.operations()
    if operation == "create":
        return Problem("images", None, "one source picture or more", None, why)
    if operation == "variant":
        rest = " to edit the source instead" if "edit" in can else ", and images with it"
        return Problem("strength", request.strength, f"leave it out{rest}", None, why)
    given = f"{len(request.images)} given"
    return Problem("images", given, "no source pictures", None, why)


def engines_for(operation: Operation) -> list[str]:
    """The engines, with their variants, that can do an operation; retired variants left out."""
    found = []
    for family in catalog.families():
        current = [v for v in family.variants if v.retired is None]
        names = [v.name for v in current if operation in v.operations()]
        if names:
            some = len(names) < len(current)
            found.append(f"{family.name} ({', '.join(names)})" if some else family.name)
    return found


def _retirement(family: Family, variant: Variant, today: date) -> str:
    gone = variant.retired
    assert gone is not None
    since = "" if gone.on is None else f" since {gone.on}"
    when = f"is withdrawn{since}" if gone.passed(today) else f"will be withdrawn on {gone.on}"
    return (
        f"{family.name} {variant.name} {when} ({gone.source}); use {gone.instead}. "
        "A price request does not prove that it still runs."
    )


# -- one form -----------------------------------------------------------------------------------
def _form(
    family: Family, variant: Variant, way: Way, request: ImageRequest
) -> tuple[Wire, Mapping[str, Any]]:
    """The form of one way, and the part of it that the request said itself.

    Raises SizeRefused where only the size stands in the way, else RequestInvalid.
    """
    form = way.form
    known = limits(form)
    owner = f"{family.name} {variant.name}"
    if len(variant.routes()) > 1:
        owner += f" (route {form.route()})"
    said = _said(request, way, known, owner, variant, family)
    size = size_of(family, request, form, known)
    options = options_of(request, way, known, owner)
    values = {**way.settings(request.quality), **size, **said, **options, **way.fixed}
    if "seed" in known and values.get("seed") is None:
        values["seed"] = random.choice(_CHOSEN_SEEDS)
    check_airs(family, values, known, request, owner)
    wire = {form.alias(name): _on_the_wire(name, value, known) for name, value in values.items()}
    try:
        made = form.read(wire)
    except ValidationError as error:
        raise refusal(error, form, known, owner) from None
    check_pixels(family, made, said, owner)
    check_seed(made, known, owner)
    objection = made.objection()
    if objection is not None:
        raise RequestInvalid(objection, engine=owner)
    return made, said


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
        if name in _OURS or not request.given(name) or getattr(request, name) in ([], {}):
            continue
        if takes(name, known):
            said[name] = getattr(request, name)
        elif name not in ("width", "height"):  # size_of answers for both at once
            given = getattr(request, name)
            problems.append(lacking(name, given, way, known, variant, family))
    if request.images:
        # A way was chosen that has the operation, so it has one of the two.
        if "images" in known:
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


def _on_the_wire(name: str, value: Any, known: Mapping[str, Limit]) -> Any:
    if known[name].role != "lora" or not isinstance(value, list):
        return value
    if known[name].kind == "map":
        return {lora.air: lora.strength for lora in value}
    return [lora.model_dump() for lora in value]


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan with another seed."""
    return replace(plan, form=plan.form.model_copy(update={"seed": seed}))
