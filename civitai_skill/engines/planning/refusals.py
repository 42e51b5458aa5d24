"""What a form says when it refuses: the field in the request's own name, the limit, where to go."""

from __future__ import annotations

import difflib

from pydantic import ValidationError

from civitai_skill.engines.family import Variant, Way
from civitai_skill.engines.limits import limits, request_fields
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.samplers import BACKENDS, Pair, find_pair, split_sampler
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.problems import describe_expected, nearest_bound
from civitai_skill.schema.request import ImageRequest


def lacking(candidate: Candidate, name: str) -> Problem:
    """The problem of a field that the form lacks, with what it takes and who has the field."""
    family, variant, way = candidate.family, candidate.variant, candidate.way
    given = getattr(candidate.request, name)
    taken = [n for n in ImageRequest.model_fields if n in limits(way.form)]
    accepted = "leave it out; this form takes " + ", ".join(taken)
    routes = _routes_with(name, way, variant)
    others = [
        v.name
        for v in family.variants
        if v is not variant and v.retired is None and _routes_with(name, way, v)
    ]
    if routes:
        accepted += f"; {name} is there by route {' or '.join(routes)}"
    elif others:
        accepted += f"; {name} is there on {', '.join(others)}"
    given = len(given) if isinstance(given, list) else given
    return Problem(name, given, accepted, None, "this form has no such field")


def _routes_with(name: str, way: Way, variant: Variant) -> list[str]:
    """The variant's routes that do the same operation and have the field."""
    found = [
        other.form.route()
        for other in variant.ways
        if set(other.form.operations()) & set(way.form.operations())
        and name in request_fields(other.form)
    ]
    return list(dict.fromkeys(found))


def _pair(candidate: Candidate) -> Pair | None:
    """What one of the variant's ways calls the sampler that was asked for, its own name first; a
    relative, which draws another picture, only where none has it."""
    request, asked = candidate.request, candidate.request.route
    ways = [candidate.way, *(w for w in candidate.variant.ways if asked in (None, w.form.route()))]
    pairs = []
    for form in (way.form for way in ways):
        known = limits(form)
        for backend in BACKENDS:
            pair = find_pair(request.sampler or "", request.scheduler, backend)
            if pair is not None and all(
                name in known and value in known[name].choices
                for name, value in (("sampler", pair.sampler), ("scheduler", pair.scheduler))
            ):
                pairs.append(pair)
    return min(pairs, key=lambda pair: pair.near, default=None)


def _schedule_said(candidate: Candidate) -> dict[str, Problem]:
    """The problem of a schedule that stands in the sampler's name, where none is given beside."""
    request, pair = candidate.request, _pair(candidate)
    said = split_sampler(request.sampler or "")
    if pair is None or said is None or said[1] is None or request.scheduler is not None:
        return {}
    why = "is a field of its own"
    return {"scheduler": Problem("scheduler", said[1], "", pair.scheduler, why)}


def refusal(candidate: Candidate, error: ValidationError) -> RequestInvalid:
    """pydantic's findings about a form, in the request's own names."""
    form, known = candidate.way.form, limits(candidate.way.form)
    names = {form.alias(n): n for n in form.model_fields}
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        head, *rest = detail["loc"] or ("request",)
        name = names.get(str(head), str(head))
        limit = known.get(name)
        own = name if name in ImageRequest.model_fields else f"options.{head}"
        label = own if limit is None else limit.label
        where = ".".join([label, *(str(r) for r in rest)])
        accepted = limit.accepted() if limit is not None and not rest else describe_expected(detail)
        given = detail["input"]
        near, why = nearest_bound(detail), ""
        if detail["type"] == "literal_error" and isinstance(given, str) and limit is not None:
            close = difflib.get_close_matches(given, [str(c) for c in limit.choices], 1, 0.4)
            near = close[0] if close else None
            if name == "sampler" and (pair := _pair(candidate)) is not None:
                near, why = pair.sampler, "the nearest draws another picture" if pair.near else ""
        if detail["type"] == "value_error":
            why = str(detail["msg"]).removeprefix("Value error, ")
            accepted = accepted if limit is not None and not rest else ""
        if detail["type"] == "missing":
            given, why = None, "is required"
        if detail["type"] in ("too_long", "too_short") and isinstance(given, list):
            why = "too many" if detail["type"] == "too_long" else "too few"
            given = len(given)
        elif detail["type"] in ("too_long", "string_too_long"):
            why = f"too long at {len(given)} characters"
        elif near is not None and isinstance(given, int | float):
            why = "too large" if given > near else "too small"
        found.setdefault(where, Problem(where, given, accepted, near, why))
        if name == "sampler" and near is not None:
            found |= _schedule_said(candidate)
    return RequestInvalid(*found.values(), engine=candidate.owner)
