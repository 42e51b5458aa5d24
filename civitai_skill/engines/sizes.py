"""Pixels, ratios and named sizes: what a request says of them, in the words of one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from civitai_skill.engines.family import Family, Variant, ratio_value
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.wire import FAL_SIZES, Wire
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.request import ImageRequest

Size = tuple[int, int]

#: What a source counts as while its size is not known (pixels).
SQUARE: Size = (1024, 1024)


class SizeRefused(Exception):
    """This way lacks the size; another may have it. `apart` is how far off its nearest one is."""

    def __init__(self, *problems: Problem, apart: float = math.inf) -> None:
        super().__init__(" ".join(problem.sentence() for problem in problems))
        self.problems = problems
        self.apart = apart


def deciding(sources: Sequence[Size | None]) -> Size | None:
    """The size of the source whose shape and pixels the picture takes, the first; None: unknown."""
    return sources[0] if sources else None


def within(form: type[Wire], size: Size) -> Size:
    """A source's size, scaled down where the form's pixels end below it."""
    known = limits(form)
    most = [known[n].maximum for n in ("width", "height") if n in known]
    scale = min((top / side for top, side in zip(most, size, strict=False) if top), default=1.0)
    if scale >= 1:
        return size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def size_of(
    family: Family,
    variant: Variant,
    request: ImageRequest,
    form: type[Wire],
    known: Mapping[str, Limit],
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
    fitting = _fitting(family, variant, request, known)
    width, height = fitting[_one_of(ratio, list(fitting))]
    return {"width": width, "height": height}


def _fitting(
    family: Family, variant: Variant, request: ImageRequest, known: Mapping[str, Limit]
) -> dict[str, Size]:
    """The recommended sizes that the form can take, by ratio."""
    sizes = {r: family.size(r, variant, request.quality) for r in family.ratios()}
    return {r: size for r, size in sizes.items() if size is not None and _fits(size, known)}


def shape_of(
    family: Family,
    variant: Variant,
    request: ImageRequest,
    form: type[Wire],
    known: Mapping[str, Limit],
    source: Size | None,
) -> dict[str, Any]:
    """The size nearest to the source's shape, where a request with a source names none.

    Empty for a square source, for one of unknown size, and where the service follows the source by
    itself: the default holds then.
    """
    if _says_a_size(request) or source is None or form.follows_source:
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
    fitting = _fitting(family, variant, request, known)
    near = _closest(wanted, list(fitting)) if fitting else "1:1"
    if near == "1:1":
        return {}
    width, height = fitting[near]
    return {"width": width, "height": height}


def _says_a_size(request: ImageRequest) -> bool:
    return bool(request.width or request.height or request.aspect_ratio)


def size_notes(
    request: ImageRequest, form: Wire, shape: Mapping[str, Any], sources: Sequence[Size | None]
) -> Iterator[str]:
    """What became of a size that the request left open."""
    if shape:
        yield f"Shaped like its source: {_spelt(shape.values())}."
    elif request.images and sources and not _says_a_size(request) and not form.follows_source:
        default = _default_shape(form)
        if deciding(sources) is None and default:
            yield (
                f"The source's size is not known before it is sent, so the default shape is used: "
                f"{default}; aspect_ratio asks for another."
            )
    if (request.width is None) != (request.height is None):
        other = "height" if request.height is None else "width"
        yield f"Only {_first(request)} was said; {other} is {getattr(form, other)}."


def _default_shape(form: Wire) -> str:
    """The shape that a form asks for; empty where the service follows the source by itself."""
    ratio = getattr(form, "aspect_ratio", None)
    if ratio is not None:
        return "" if ratio == "auto" else str(ratio)
    named = getattr(form, "image_size", None)
    if named is not None:
        return str(named)
    width, height = getattr(form, "width", None), getattr(form, "height", None)
    return _spelt((width, height)) if width and height else ""


def _spelt(values: Iterable[Any]) -> str:
    return "x".join(str(value) for value in values)


def check_sources(form: type[Wire], sources: Sequence[Size | None], owner: str) -> None:
    """Refuse sources that are wider or taller than the form takes, where their sizes are known."""
    most = form.source_ratio
    if most is None:
        return
    problems = []
    for i, size in enumerate(sources):
        if size is not None and max(size) > most * min(size):
            field = f"images.{i}" if len(sources) > 1 else "images"
            why = "too wide" if size[0] > size[1] else "too tall"
            accepted = f"sources between 1:{most:g} and {most:g}:1; crop it first"
            problems.append(Problem(field, _spelt(size), accepted, None, why))
    if problems:
        raise RequestInvalid(*problems, engine=owner)


def best_of(refused: Iterable[SizeRefused]) -> tuple[Problem, ...]:
    """Of the ways that lack the size, what the one says whose nearest size is nearest."""
    return min(refused, key=lambda r: r.apart).problems


def check_pixels(family: Family, form: Wire, said: Mapping[str, Any], owner: str) -> None:
    """Refuse pixels that the backends' grid does not divide."""
    step = family.multiple
    off = {n: said[n] for n in ("width", "height") if said.get(n) is not None and said[n] % step}
    if not off:
        return
    near = _on_the_grid(form, off, step)
    raise RequestInvalid(
        *(
            Problem(
                name,
                value,
                f"a multiple of {step} pixels, {limits(type(form))[name].accepted()}",
                near.get(name),
                "off the grid",
            )
            for name, value in off.items()
        ),
        engine=owner,
    )


def _on_the_grid(form: Wire, off: Mapping[str, int], step: int) -> dict[str, int]:
    """The nearest values that the form takes together; empty where none beside them is taken."""
    beside = []
    for name, value in off.items():
        limit = limits(type(form))[name]
        low, high = limit.minimum or 0, limit.maximum or math.inf
        low_high = (value // step * step, -(-value // step) * step)
        beside.append([near for near in low_high if low <= near <= high])
    tries = [dict(zip(off, values, strict=True)) for values in product(*beside)]
    tries.sort(key=lambda near: sum(abs(near[name] - value) for name, value in off.items()))
    fitting = (near for near in tries if form.model_copy(update=near).objection() is None)
    return next(fitting, {})


def _check_range(request: ImageRequest, known: Mapping[str, Limit]) -> None:
    problems, apart = [], 0
    for name in ("width", "height"):
        value = getattr(request, name)
        low, high = known[name].minimum, known[name].maximum
        if value is None or low is None or high is None or low <= value <= high:
            continue
        bound = int(min(max(value, low), high))
        why = "too small" if value < low else "too large"
        problems.append(Problem(name, value, f"{low:g} to {high:g} pixels", bound, why))
        apart += abs(value - bound)
    if problems:
        raise SizeRefused(*problems, apart=apart)


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
    if ratio != "auto" and apart < 1e-9:  # the same one, spelled in other numbers
        return near
    problem = Problem("aspect_ratio", ratio, "one of " + ", ".join(ratios), near, "no such ratio")
    raise SizeRefused(problem, apart=apart)


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
