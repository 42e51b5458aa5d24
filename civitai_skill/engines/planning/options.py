"""The `options` of a request: an engine's own remaining fields, checked like the rest."""

from __future__ import annotations

from typing import Any

from civitai_skill.engines.family import Family
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.problems import nearest_name
from civitai_skill.schema.request import ImageRequest

# Ours, not the service's: an AIR of an unknown ecosystem may pass.
UNLISTED = "allowunlistedair"


def options_of(candidate: Candidate) -> dict[str, Any]:
    """The options by attribute name; wire names in any spelling. Raises RequestInvalid."""
    request, way, known = candidate.request, candidate.way, limits(candidate.way.form)
    shared = {n: k for n, k in known.items() if k.label in ImageRequest.model_fields}
    free = {n: k for n, k in known.items() if n not in shared and n not in way.fixed}
    by_name = {fold(k.wire): n for n, k in free.items()}
    asked = {fold(n): n for n in ImageRequest.model_fields}
    asked |= {fold(text): k.label for n, k in shared.items() for text in (k.wire, n)}
    fixed = {fold(k.wire): n for n, k in known.items() if n in way.fixed}
    wires = [k.wire for k in free.values()]
    sizes = (n for n in ("aspect_ratio", "width", "height") if request.given(n))
    sized, found = next(sizes, None), dict[str, Any]()
    problems = []
    for key, value in request.options.items():
        field, bare = f"options.{key}", fold(key)
        if bare == UNLISTED:
            if not isinstance(value, bool):
                problems.append(Problem(field, value, "true or false"))
        elif bare in by_name:
            name = by_name[bare]
            if name in found:
                problems.append(Problem(field, value, "one spelling", None, "is said twice"))
            elif name in way.form.sizing.fields and sized is not None:
                accepted = f"{sized} or {known[name].label}"
                problems.append(Problem(field, value, accepted, None, f"says the same as {sized}"))
            found[name] = _chosen(value, free[name])
        elif bare in fixed:
            accepted = "the field variant, one of " + ", ".join(
                _deciding(candidate.family, fixed[bare])
            )
            problems.append(Problem(field, value, accepted, None, "the variant decides this"))
        elif bare in asked and value in way.form.newer.get(asked[bare], ()):
            found[asked[bare]] = value  # the request's own field can't say it yet
        elif bare in asked:
            why = "this is a field of the request itself"
            problems.append(Problem(field, value, f"the field {asked[bare]}", None, why))
        else:
            accepted = "one of " + ", ".join(wires) if wires else "no options at all"
            names = [*wires, *shared]
            near = nearest_name(key, names)
            near = near if near in names else None
            problems.append(Problem(field, value, accepted, near, "there is no such option here"))
    if problems:
        raise RequestInvalid(*problems, engine=candidate.owner)
    return found


def _chosen(value: Any, limit: Limit) -> Any:
    """A number that spells one of a field's texts is that text: 2512 means "2512"."""
    return str(value) if type(value) is int and str(value) in limit.choices else value


def _deciding(family: Family, field: str) -> list[str]:
    return [
        variant.name
        for variant in family.variants
        if variant.retired is None and any(field in way.fixed for way in variant.ways)
    ]
