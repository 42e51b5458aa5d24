"""The `options` of a request: an engine's own remaining fields, checked like the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.air import plain
from civitai_skill.engines.family import Way
from civitai_skill.engines.limits import Limit
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.request import ImageRequest, nearest_name

# Ours, not the service's: an AIR of an unknown ecosystem may pass.
_UNLISTED = "allowunlistedair"


def options_of(
    request: ImageRequest, way: Way, known: Mapping[str, Limit], owner: str
) -> dict[str, Any]:
    """The options by attribute name; wire names in any spelling. Raises RequestInvalid."""
    shared = {n: k for n, k in known.items() if n in ImageRequest.model_fields or n == "image"}
    free = {n: k for n, k in known.items() if n not in shared and n not in way.fixed}
    by_name = {plain(k.wire): n for n, k in free.items()}
    asked = {plain(spelling): n for n, k in shared.items() for spelling in (k.wire, n)}
    fixed = {plain(k.wire) for n, k in known.items() if n in way.fixed}
    wires = [k.wire for k in free.values()]
    found: dict[str, Any] = {}
    problems = []
    for key, value in request.options.items():
        field, bare = f"options.{key}", plain(key)
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
            found[name] = value
        elif bare in asked:
            name = "images" if asked[bare] == "image" else asked[bare]
            why = "this is a field of the request itself"
            problems.append(Problem(field, value, f"the field {name}", None, why))
        elif bare in fixed:
            why = "the variant decides this"
            problems.append(Problem(field, value, "another variant", None, why))
        else:
            accepted = "one of " + ", ".join(wires) if wires else "no options at all"
            names = [*wires, *shared]
            near = nearest_name(key, names)
            near = near if near in names else None
            problems.append(Problem(field, value, accepted, near, "there is no such option here"))
    if problems:
        raise RequestInvalid(*problems, engine=owner)
    return found
