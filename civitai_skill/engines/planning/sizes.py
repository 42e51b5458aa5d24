"""Pixels, ratios and named sizes: what a request says of them, in the words of one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.planning.grid import between, ratio_of
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.sizing import (
    FollowsSource,
    Named,
    Pixels,
    PixelsOrSource,
    Ratio,
    Size,
    ratio_value,
)
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.request import ImageRequest

Values = dict[str, Any]


class SizeRefused(Exception):
    """This way lacks the size; another may have it. `apart` is how far off its nearest one is."""

    def __init__(self, *problems: Problem, apart: float = math.inf) -> None:
        self.problems, self.apart = problems, apart


def within(form: type[Wire], size: Size) -> Size:
    """A source's size, scaled down where the form's pixels end below it."""
    most = [limit.maximum for limit in _sides(form)]
    scale = min((top / side for top, side in zip(most, size, strict=False) if top), default=1.0)
    if scale >= 1:
        return size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _sides(form: type[Wire]) -> list[Limit]:
    """The limits of width and height, where the form has them."""
    fields = form.sizing.fields
    return [limits(form)[name] for name in fields] if len(fields) == 2 else []


# -- what each kind of sizing offers ---------------------------------------------------------------
def offered(candidate: Candidate) -> dict[str, Values]:
    """{ratio: what it is in the form, by attribute name}; empty where no ratio can be chosen."""
    sizing = candidate.way.form.sizing
    if isinstance(sizing, Pixels):
        return _recommended(candidate)
    found: dict[str, Values] = {}
    if isinstance(sizing, Ratio | Named):
        (field,) = sizing.fields
        for name in _names(candidate.way.form, field):
            ratio = sizing.ratio(name) if isinstance(sizing, Named) else name
            if ":" in ratio or ratio == "auto":  # else a name that tells no shape
                found.setdefault(ratio, {field: name})
    return found


def _names(form: type[Wire], field: str) -> list[str]:
    """The names of sizes: those that the form lists, else those that its guide knows."""
    known = form.sizing.sizes if isinstance(form.sizing, Named) else {}
    return [str(choice) for choice in limits(form)[field].choices] or list(known)


def _recommended(candidate: Candidate) -> dict[str, Values]:
    """The recommended sizes that the form can take."""
    family, form = candidate.family, candidate.way.form
    found = {}
    for ratio in family.ratios():
        size = family.size(ratio, candidate.variant, candidate.request.quality)
        if size and all(k.holds(side) for side, k in zip(size, _sides(form), strict=False)):
            found[ratio] = dict(zip(form.sizing.fields, size, strict=True))
    return found


# -- what a request says ---------------------------------------------------------------------------
def _asked(request: ImageRequest) -> tuple[str, Any]:
    """The first field that says a size, and what is said of it."""
    if request.aspect_ratio is not None:
        return "aspect_ratio", request.aspect_ratio
    if request.width is None:
        return "height", request.height
    return "width", f"{request.width}x{request.height}" if request.height else request.width


def size_of(candidate: Candidate) -> Values:
    """What the size that a request names is in this form, by attribute name.

    Width and height themselves are the request's own fields and only checked here. Raises
    SizeRefused.
    """
    request, form = candidate.request, candidate.way.form
    sizing, ratio, (field, given) = form.sizing, request.aspect_ratio, _asked(request)
    if ratio is None and isinstance(sizing, Pixels):
        _check_range(candidate)
        return {}
    choices = offered(candidate)
    if not choices:
        follows = "the picture takes the size of its source"
        why = follows if request.images else "there is no size to choose here"
        raise SizeRefused(Problem(field, given, "leave it out", None, why))
    if ratio is not None:
        value = ratio_value(ratio)
        listed = ratio == "auto" or any(math.isclose(value, ratio_value(r)) for r in choices)
        drawn = {} if listed else between(candidate, value, choices)
        return drawn or choices[_one_of(ratio, list(choices))]
    if isinstance(sizing, Named):
        (attribute,) = sizing.fields
        for name in _names(form, attribute):
            if sizing.size(name) == (request.width, request.height):
                return {attribute: name}
    near = None
    if request.width and request.height:
        # By logarithms: a quotient of very large numbers would overflow.
        wanted = math.log(request.width) - math.log(request.height)
        near = f"aspect_ratio {closest(wanted, choices)}"
    accepted = "instead an aspect_ratio, one of " + ", ".join(choices)
    raise SizeRefused(Problem(field, given, accepted, near, "this form takes a ratio, not pixels"))


def shape_of(candidate: Candidate) -> Values:
    """The size in the source's shape, or nearest to it, where a request with a source names none.

    Empty for a square source, for one of unknown size, and where the service follows the source by
    itself: the default holds then.
    """
    form, source = candidate.way.form, candidate.sources[0]
    if source is None or source[0] == source[1] or isinstance(form.sizing, PixelsOrSource):
        return {}
    choices = offered(candidate)
    if not choices:
        return {}
    ratio = source[0] / source[1]
    near = closest(math.log(ratio), choices)
    if isinstance(form.sizing, Pixels):
        as_recommended = math.isclose(ratio, ratio_of(form, choices[near]))
        return (not as_recommended and between(candidate, ratio, choices)) or choices[near]
    defaults = {name: limits(form)[name].default for name in form.sizing.fields}
    as_it_is = choices[near] == defaults and math.isclose(ratio_value(near), ratio)
    return {} if as_it_is or "auto" in defaults.values() else choices[near]


def size_notes(candidate: Candidate, form: Wire, shape: Mapping[str, Any]) -> Iterator[str]:
    """What became of a size that the request left open."""
    request, sources = candidate.request, candidate.sources
    source = sources[0] if sources else None
    if shape and source is not None:
        shown = "x".join(map(str, shape.values()))
        given, got = source[0] / source[1], ratio_of(form, shape)
        if math.isclose(given, got):
            yield f"Shaped like its source: {shown}."
        else:
            yield (
                f"Shaped nearly like its source, as this engine can: {shown}, which is "
                f"{got:.4g} to 1 where the source is {given:.4g} to 1."
            )
    elif sources and not (source or request.width or request.height or request.aspect_ratio):
        default = "" if isinstance(form.sizing, FollowsSource) else form.sizing.shape(form)
        if default:
            yield (
                f"The source's size is not known before it is sent, so the default shape is used: "
                f"{default}; aspect_ratio asks for another."
            )
    if request.aspect_ratio is not None and (size := form.sizing.asked(form)) is not None:
        wanted, got = ratio_value(request.aspect_ratio), size[0] / size[1]
        if request.aspect_ratio not in offered(candidate) and not math.isclose(wanted, got):
            yield (
                f"{request.aspect_ratio} as near as this engine can: {size[0]}x{size[1]}, which is "
                f"{got:.4g} to 1."
            )
    if (request.width is None) != (request.height is None):
        other = "height" if request.height is None else "width"
        yield f"Only {_asked(request)[0]} was said; {other} is {getattr(form, other)}."


# -- what is refused -------------------------------------------------------------------------------
def check_sources(candidate: Candidate) -> None:
    """Refuse sources that are wider or taller than the form takes, where their sizes are known."""
    most, sources = candidate.way.form.source_ratio, candidate.sources
    if most is None:
        return
    problems = []
    for i, size in enumerate(sources):
        if size is not None and max(size) > most * min(size):
            field = f"images.{i}" if len(sources) > 1 else "images"
            why = "too wide" if size[0] > size[1] else "too tall"
            accepted = f"sources between 1:{most:g} and {most:g}:1; crop it first"
            problems.append(Problem(field, "x".join(map(str, size)), accepted, None, why))
    if problems:
        raise RequestInvalid(*problems, engine=candidate.owner)


def check_pixels(candidate: Candidate, form: Wire) -> None:
    """Refuse pixels that the backends' grid does not divide."""
    request, step, known = candidate.request, candidate.family.multiple, limits(type(form))
    said = {n: getattr(request, n) for n in form.sizing.fields if n in ("width", "height")}
    off = {name: value for name, value in said.items() if value and value % step}
    if not off:
        return
    near, problems = _on_the_grid(candidate, form, off), []
    for name, value in off.items():
        accepted = f"a multiple of {step} pixels, {known[name].accepted()}"
        problems.append(Problem(name, value, accepted, near.get(name), "off the grid"))
    raise RequestInvalid(*problems, engine=candidate.owner)


def _on_the_grid(candidate: Candidate, form: Wire, off: Mapping[str, int]) -> dict[str, int]:
    """The nearest values that the form takes together; empty where none beside them is taken."""
    beside, step, known = [], candidate.family.multiple, limits(candidate.way.form)
    for name, value in off.items():
        low_high = (value // step * step, -(-value // step) * step)
        beside.append([near for near in low_high if near and known[name].holds(near)])
    tries = [dict(zip(off, values, strict=True)) for values in product(*beside)]
    tries.sort(key=lambda near: sum(abs(near[name] - value) for name, value in off.items()))
    fitting = (near for near in tries if form.model_copy(update=near).objection() is None)
    return next(fitting, {})


def _check_range(candidate: Candidate) -> None:
    request, problems, apart = candidate.request, [], 0
    near = _nearest_shape(candidate)
    for limit in _sides(candidate.way.form):
        value = getattr(request, limit.name)
        low, high = limit.minimum, limit.maximum
        if value is None or low is None or high is None:
            continue
        if low <= value <= high and near.get(limit.name, value) == value:
            continue
        if limit.likely and _is_left_to_the_service(candidate):
            continue
        bound = near.get(limit.name, int(min(max(value, low), high)))
        why = (
            "too small"
            if value < low
            else "too large"
            if value > high
            else "goes along, to keep the shape"
        )
        problems.append(Problem(limit.name, value, f"{low:g} to {high:g} pixels", bound, why))
        apart += abs(value - bound)
    if problems:
        raise SizeRefused(*problems, apart=apart)


def _nearest_shape(candidate: Candidate) -> dict[str, int]:
    """The nearest width and height within the limits that keep the shape as well as these can;
    empty where both fit, or one is left open."""
    request, step = candidate.request, candidate.family.multiple
    asked = {limit: getattr(request, limit.name) for limit in _sides(candidate.way.form)}
    bounds = {limit: (limit.minimum, limit.maximum) for limit in asked}
    if len(asked) < 2 or None in asked.values() or any(None in both for both in bounds.values()):
        return {}
    least = max((low or 0) / asked[limit] for limit, (low, _) in bounds.items())
    most = min((high or 0) / asked[limit] for limit, (_, high) in bounds.items())
    if least <= 1 <= most:
        return {}
    scale = least if least > 1 else most
    found = {}
    for limit, (low, high) in bounds.items():
        near = round(asked[limit] * scale / step) * step
        found[limit.name] = int(
            min(max(near, -(-(low or 0) // step) * step), (high or 0) // step * step)
        )
    return found


def _is_left_to_the_service(candidate: Candidate) -> bool:
    """May a size beyond the likely ones go out? Not where a way with published limits refuses it
    and nobody asked for this route."""
    operations = set(candidate.way.form.operations())
    return candidate.request.route is not None or all(
        limit.likely
        for way in candidate.variant.ways
        if operations & set(way.form.operations())
        for limit in _sides(way.form)
    )


def _one_of(ratio: str, ratios: list[str]) -> str:
    if ratio in ratios:
        return ratio
    wanted = math.log(ratio_value(ratio))
    near = closest(wanted, ratios)
    apart = abs(math.log(ratio_value(near)) - wanted)
    if ratio != "auto" and apart < 1e-9:  # the same one, spelled in other numbers
        return near
    problem = Problem("aspect_ratio", ratio, "one of " + ", ".join(ratios), near, "no such ratio")
    raise SizeRefused(problem, apart=apart)


def closest(wanted: float, ratios: Iterable[str]) -> str:
    """The ratio nearest to one that is given by its logarithm."""
    real = [r for r in ratios if r != "auto"]
    return min(real, key=lambda r: abs(math.log(ratio_value(r)) - wanted))
