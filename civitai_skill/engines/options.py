"""The `options` of a request: an engine's own remaining fields, checked like the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Way
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.problems import nearest_name
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import read_json

# Ours, not the service's: an AIR of an unknown ecosystem may pass.
_UNLISTED = "allowunlistedair"


def options_of(
    request: ImageRequest, family: Family, way: Way, known: Mapping[str, Limit], owner: str
) -> dict[str, Any]:
    """The options by attribute name; wire names in any spelling. Raises RequestInvalid."""
    shared = {n: k for n, k in known.items() if n in ImageRequest.model_fields or n == "image"}
    free = {n: k for n, k in known.items() if n not in shared and n not in way.fixed}
    by_name = {fold(k.wire): n for n, k in free.items()}
    asked = {fold(n): n for n in ImageRequest.model_fields}
    asked |= {fold(spelling): n for n, k in shared.items() for spelling in (k.wire, n)}
    fixed = {fold(k.wire): n for n, k in known.items() if n in way.fixed}
    wires = [k.wire for k in free.values()]
    found: dict[str, Any] = {}
    problems = []
    for key, value in request.options.items():
        field, bare = f"options.{key}", fold(key)
        if bare == _UNLISTED:
            if not isinstance(value, bool):
                problems.append(Problem(field, value, "true or false"))
        elif bare in by_name:
            name = by_name[bare]
            if name in found:
                problems.append(Problem(field, value, "one spelling", None, "is said twice"))
            elif name == "image_size" and request.aspect_ratio is not None:
                accepted = "aspect_ratio or options.imageSize"
                problems.append(
                    Problem(field, value, accepted, None, "says the same as aspect_ratio")
                )
            found[name] = _chosen(value, free[name])
        elif bare in fixed:
            accepted = "the field variant, one of " + ", ".join(_deciding(family, fixed[bare]))
            problems.append(Problem(field, value, accepted, None, "the variant decides this"))
        elif bare in asked:
            name = "images" if asked[bare] == "image" else asked[bare]
            why = "this is a field of the request itself"
            problems.append(Problem(field, value, f"the field {name}", None, why))
        else:
            accepted = "one of " + ", ".join(wires) if wires else "no options at all"
            names = [*wires, *shared]
            near = nearest_name(key, names)
            near = near if near in names else None
            problems.append(Problem(field, value, accepted, near, "there is no such option here"))
    if problems:
        raise RequestInvalid(*problems, engine=owner)
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


def typed(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Options as typed on a command line: a field of text as it stands, any other as JSON.

    Raises RequestInvalid for one that is said twice.
    """
    found: dict[str, Any] = {}
    for key, text in pairs:
        if key in found:
            raise RequestInvalid(
                Problem(f"options.{key}", text, "each option once", None, "is said twice")
            )
        found[key] = text if _is_text(key) else _json(text)
    return found


def _is_text(key: str) -> bool:
    """Is the option a text in every form that has it?"""
    kinds = {
        limit.kind
        for family in catalog.families()
        for form in family.forms()
        for limit in limits(form).values()
        if fold(limit.wire) == fold(key)
    }
    return kinds == {"text"}


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text
