"""Pixels, ratios and named sizes: what a request says of them, in the words of one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from civitai_skill.engines.family import Family, ratio_value
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.wire import FAL_SIZES, Wire
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.request import ImageRequest


class SizeRefused(Exception):
    """This way lacks the size; another may have it. `apart` is how far off its nearest one is."""

    def __init__(self, problem: Problem, apart: float = math.inf) -> None:
        super().__init__(problem.sentence())
        self.problem = problem
        self.apart = apart


def size_of(
    family: Family, request: ImageRequest, form: type[Wire], known: Mapping[str, Limit]
) -> dict[str, Any]:
    """What a request's size is in this form, by attribute name; empty where it says none.

    Width and height themselves are the request's own fields and only checked here. Raises
    SizeRefused.
    """
    pixels = request.width is not None or request.height is not None
    ratio = request.aspect_ratio
    if not pixels and ratio is None:
        return {}
    if form.follows_source or not {"width", "aspect_ratio", "image_size"} & set(known):
        field = "aspect_ratio" if ratio is not None else _first(request)
        why = (
            "the picture takes the size of its source"
            if request.images
            else "there is no size to choose here"
        )
        raise SizeRefused(Problem(field, ratio or _pixels(request), "leave it out", None, why))
    if pixels and "width" not in known:
        raise _wants_a_ratio(request, known)
    if pixels:
        _check_range(request, known)
        return {}
    assert ratio is not None
    if "aspect_ratio" in known:
        return {"aspect_ratio": _one_of(ratio, _ratios_of(known))}
    if "image_size" in known:
        return {"image_size": FAL_SIZES[_one_of(ratio, list(FAL_SIZES))]}
    sizes = {r: family.size(r, request.quality) for r in family.ratios()}
    fitting = {r: size for r, size in sizes.items() if size is not None and _fits(size, known)}
    width, height = fitting[_one_of(ratio, list(fitting))]
    return {"width": width, "height": height}


def shape_of(
    family: Family,
    request: ImageRequest,
    form: type[Wire],
    known: Mapping[str, Limit],
    source: tuple[int, int] | None,
) -> dict[str, Any]:
    """The size nearest to the source's shape, where a request with a source names none.

    Empty for a square source, for one of unknown size, and where the service follows the source by
    itself: the default holds then.
    """
    said = request.width or request.height or request.aspect_ratio
    if said or source is None or form.follows_source:
        return {}
    wanted = math.log(source[0] / source[1])
    if "aspect_ratio" in known:
        near = _closest(wanted, _ratios_of(known))
        own = known["aspect_ratio"].default
        return {} if own in ("auto", near) else {"aspect_ratio": near}
    if "image_size" in known:
        near = _closest(wanted, list(FAL_SIZES))
        return {} if near == "1:1" else {"image_size": FAL_SIZES[near]}
    if "width" not in known:
        return {}
    sizes = {r: family.size(r, request.quality) for r in family.ratios()}
    fitting = {r: size for r, size in sizes.items() if size is not None and _fits(size, known)}
    near = _closest(wanted, list(fitting)) if fitting else "1:1"
    if near == "1:1":
        return {}
    width, height = fitting[near]
    return {"width": width, "height": height}


def best_of(refused: Iterable[SizeRefused]) -> Problem:
    """Of the ways that lack the size, what the one says whose nearest size is nearest."""
    return min(refused, key=lambda r: r.apart).problem


def check_pixels(family: Family, form: Wire, said: Mapping[str, Any], owner: str) -> None:
    """Refuse pixels that the backends' grid does not divide."""
    step = family.multiple
    problems = []
    for name in ("width", "height"):
        value = said.get(name)
        if value is not None and value % step:
            limit = limits(type(form))[name]
            near = round(value / step) * step
            near = int(min(max(near, limit.minimum or near), limit.maximum or near))
            accepted = f"a multiple of {step} pixels, {limit.accepted()}"
            problems.append(Problem(name, value, accepted, near, "off the grid"))
    if problems:
        raise RequestInvalid(*problems, engine=owner)


def _check_range(request: ImageRequest, known: Mapping[str, Limit]) -> None:
    for name in ("width", "height"):
        value = getattr(request, name)
        low, high = known[name].minimum, known[name].maximum
        if value is None or low is None or high is None or low <= value <= high:
            continue
        bound = int(min(max(value, low), high))
        why = "too small" if value < low else "too large"
        problem = Problem(name, value, f"{low:g} to {high:g} pixels", bound, why)
        raise SizeRefused(problem, abs(value - bound))


def _wants_a_ratio(request: ImageRequest, known: Mapping[str, Limit]) -> SizeRefused:
    ratios = _ratios_of(known)
    near = None
    if request.width is not None and request.height is not None:
        # By logarithms: a quotient of very large numbers would overflow.
        wanted = math.log(request.width) - math.log(request.height)
        near = f"aspect_ratio {_closest(wanted, ratios)}"
    accepted = "instead an aspect_ratio, one of " + ", ".join(ratios)
    why = "this form takes a ratio, not pixels"
    return SizeRefused(Problem(_first(request), _pixels(request), accepted, near, why))


def _one_of(ratio: str, ratios: list[str]) -> str:
    if ratio in ratios:
        return ratio
    wanted = math.log(ratio_value(ratio))
    near = _closest(wanted, ratios)
    apart = abs(math.log(ratio_value(near)) - wanted)
    problem = Problem("aspect_ratio", ratio, "one of " + ", ".join(ratios), near, "no such ratio")
    raise SizeRefused(problem, apart)


def _closest(wanted: float, ratios: list[str]) -> str:
    """The ratio nearest to one that is given by its logarithm."""
    real = [r for r in ratios if r != "auto"]
    return min(real, key=lambda r: abs(math.log(ratio_value(r)) - wanted))


def _fits(size: tuple[int, int], known: Mapping[str, Limit]) -> bool:
    for name, value in zip(("width", "height"), size, strict=True):
        low, high = known[name].minimum, known[name].maximum
        if low is not None and high is not None and not low <= value <= high:
            return False
    return True


def _ratios_of(known: Mapping[str, Limit]) -> list[str]:
    if "aspect_ratio" in known:
        return [str(c) for c in known["aspect_ratio"].choices]
    return list(FAL_SIZES)


def _first(request: ImageRequest) -> str:
    return "width" if request.width is not None else "height"


def _pixels(request: ImageRequest) -> Any:
    if request.width is not None and request.height is not None:
        return f"{request.width}x{request.height}"
    return request.width if request.width is not None else request.height
