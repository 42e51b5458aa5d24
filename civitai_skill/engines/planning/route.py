"""Which operation, which variant of a family and which of its ways a request means.

A `Candidate` is one of them: what every decision about it looks at.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.forms import Operation
from civitai_skill.engines.limits import limits
from civitai_skill.engines.sizing import Size
from civitai_skill.engines.sources import picture_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.request import ImageRequest


@dataclass(frozen=True)
class Candidate:
    """A request and the way it may go.

    `sources` are the pixel sizes of its pictures as far as they are known; the first one decides
    the shape and the pixels of what is made from them.
    """

    request: ImageRequest
    family: Family
    variant: Variant
    way: Way
    sources: tuple[Size | None, ...] = ()

    @property
    def owner(self) -> str:
        """Who refuses: the engine and variant, and the route where there are several."""
        owner = f"{self.family.name} {self.variant.name}"
        several = len(self.variant.routes()) > 1
        return f"{owner} (route {self.way.form.route()})" if several else owner


def operation_of(request: ImageRequest) -> Operation:
    """Derive what is done with source pictures from the strength. Raises RequestInvalid."""
    if request.strength is None:
        return "edit"
    if len(request.images) > 1:
        given, why = len(request.images), "a variant has one source"
        raise RequestInvalid(
            Problem("images", given, "exactly one with strength", None, why),
            advice="Leave strength out to edit with several sources.",
        )
    return "variant"


def variant_of(family: Family, request: ImageRequest) -> Variant:
    """Find the variant that the request names, or that its engine, quality and route mean."""
    if request.variant is not None:
        found = family.variant(request.variant)
        if found is not None:
            return found
        names = [v.name for v in family.variants]
        spelt = {n: v.name for v in family.variants for n in (v.name, *v.aliases)}
        close = difflib.get_close_matches(request.variant.lower(), spelt, 1, 0.5)
        near = spelt[close[0]] if close else None
        if near is None or "engine" not in request.model_fields_set:
            meant = catalog.meaning_of(request.variant) or near or ""
            near = meant.removeprefix(f"engine {family.name} with variant ") or None
        accepted = "one of " + ", ".join(names)
        raise RequestInvalid(
            Problem("variant", request.variant, accepted, near, "there is no such variant"),
            engine=family.name,
        )
    # A spelling that the catalog knows may mean a variant; the family's own name never does.
    is_own = fold(request.engine) == fold(family.name)
    preferred = None if is_own else family.variant(request.engine)
    if preferred is None:
        preferred = family.at[request.quality]
        own = family.variant(family.own_checkpoint) if request.model is not None else None
        stock = (way.default.get("model") for way in preferred.ways)
        preferred = preferred if own is None or request.model in stock else own
    if request.route is None or _on_route(preferred, request.route):
        return preferred
    return next(
        (v for v in family.variants if v.retired is None and _on_route(v, request.route)), preferred
    )


def _on_route(variant: Variant, route: str) -> list[Way]:
    return [way for way in variant.ways if way.form.route().lower() == route.lower()]


def ways_of(
    family: Family, variant: Variant, request: ImageRequest, operation: Operation
) -> tuple[list[Way], Operation, tuple[str, ...]]:
    """Give the variant's ways that do the operation, best first, and the operation that is done.

    It differs where a variant stands in for an edit; the notes say so. Raises RequestInvalid.
    """
    owner = f"{family.name} {variant.name}"
    ways = list(variant.ways)
    if request.route is not None:
        ways = _on_route(variant, request.route)
        if not ways:
            accepted = "one of " + ", ".join(variant.routes())
            raise RequestInvalid(
                Problem("route", request.route, accepted, None, "there is no such route"),
                engine=owner,
                advice="Leave route out; the best one is taken.",
            )
    asked = {n: value for n in _DECIDING if (value := getattr(request, n)) not in (None, [])}
    fitting = [w for w in ways if operation in w.form.operations()]
    if fitting:
        able, notes = able_of(fitting, asked) if asked else (fitting, ())
        return able, operation, notes
    variants = [w for w in ways if "variant" in w.form.operations()]
    if operation == "edit" and variants and "edit" not in variant.operations():
        if len(request.images) == 1:
            strength = limits(variants[0].form)["strength"].default
            note = (
                f"{family.name} has no edit; a variant of the source was made instead, "
                f"at its documented strength {strength:g} (0 keeps the source, 1 ignores it)."
            )
            able, notes = able_of(variants, asked)
            return able, "variant", (note, *notes)
        why = f"{variant.name} can't edit, only make a variant of one source"
        problem = Problem("images", len(request.images), "one picture", None, why)
    else:
        problem = _cannot(variant, request, operation)
    raise RequestInvalid(problem, engine=owner, advice=elsewhere(operation, len(request.images)))


#: What decides between two backends of one model: one may lack the field, or the word in it.
_DECIDING = ("sampler", "scheduler", "embeddings", "control_nets", "vae")


def able_of(ways: list[Way], asked: Mapping[str, Any]) -> tuple[list[Way], tuple[str, ...]]:
    """Keep the ways that have what is asked of a backend, all where none has.

    The notes say which way was passed over for it.
    """
    lacking = [[n for n, value in asked.items() if not _has(way, n, value)] for way in ways]
    able = [way for way, missing in zip(ways, lacking, strict=True) if not missing]
    if not able or not lacking[0]:
        return able or ways, ()
    given = ", ".join(n if not isinstance(asked[n], str) else f"{n} {asked[n]}" for n in lacking[0])
    passed = ways[0].form.route()
    return able, (f"Drawn by {able[0].form.route()}: {passed} has no {given}.",)


def _has(way: Way, name: str, value: Any) -> bool:
    limit = limits(way.form).get(name)
    return limit is not None and (not limit.choices or value in limit.choices)


_SPOKEN: Mapping[Operation, str] = {
    "create": "create pictures from words alone",
    "edit": "edit pictures",
    "variant": "make variants of a picture",
}


def elsewhere(operation: Operation, sources: int) -> str:
    """Name the engines to turn to, as a hint."""
    able = ", ".join(engines_for(operation, sources)) or "none"
    many = f" from {sources} sources" if sources > 1 else ""
    return f"Engines that {_SPOKEN[operation]}{many}: {able}."


def _cannot(variant: Variant, request: ImageRequest, operation: Operation) -> Problem:
    """The problem of an operation that the variant, or the route asked for, lacks."""
    having = [w.form.route() for w in variant.ways if operation in w.form.operations()]
    if request.route is not None and having:
        why = f"this route can't {_SPOKEN[operation]}"
        return Problem("route", request.route, " or ".join(dict.fromkeys(having)), having[0], why)
    why = f"{variant.name} can't {_SPOKEN[operation]}"
    can = variant.operations()
    if operation == "create":
        return Problem("images", None, "one source picture or more", None, why)
    if operation == "variant":
        rest = " to edit the source instead" if "edit" in can else ", and images with it"
        return Problem("strength", request.strength, f"leave it out{rest}", None, why)
    return Problem("images", len(request.images), "no source pictures", None, why)


def engines_for(operation: Operation, sources: int = 0) -> list[str]:
    """The engines, with their variants, that do an operation with so many source pictures.

    Retired variants are left out.
    """
    found = []
    for family in catalog.families():
        current = [v for v in family.variants if v.retired is None]
        names = [v.name for v in current if any(_does(w, operation, sources) for w in v.ways)]
        if names:
            some = len(names) < len(current)
            found.append(f"{family.name} ({', '.join(names)})" if some else family.name)
    return found


def _does(way: Way, operation: Operation, sources: int) -> bool:
    if operation not in way.form.operations():
        return False
    pictures = limits(way.form).get(picture_of(way.form) or "")
    most = 1 if pictures is None or pictures.kind != "list" else pictures.most
    most = way.form.looks_at or most
    return operation != "edit" or most is None or sources <= most
