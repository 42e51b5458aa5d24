"""Pixels for any shape: about as many as the engine's recommended square, on its grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.sizing import Named, Pixels, Size, ratio_value
from civitai_skill.errors import Problem, RequestInvalid

Values = dict[str, Any]

#: Of the recommended square's pixels, the share that a picture has at the least.
_LEAST = 0.7
#: Where a family names no grid, or one as fine, this keeps the service from rounding.
_STEP = 8


def on_grid(candidate: Candidate, ratio: float) -> Size | None:
    """The size for a ratio (width to height): the exact one where the grid has it, else the
    nearest; None where the form's limits leave none."""
    square = candidate.family.size("1:1", candidate.variant, candidate.request.quality)
    if square is None:
        return None
    most = square[0] * square[1]
    least = max(_LEAST * most, candidate.variant.least_pixels)
    found = [size for size in _near(candidate, ratio) if least <= size[0] * size[1] <= most]
    by_shape = ((round(abs(math.log(w / h / ratio)), 9), -w, (w, h)) for w, h in found)
    return min(by_shape, default=(0, 0, None))[-1]


def _near(candidate: Candidate, ratio: float) -> Iterator[Size]:
    """For each width that the form takes the heights beside the one that would be exact."""
    form = candidate.way.form
    width, height = (limits(form)[name] for name in form.sizing.fields)
    if None in (width.minimum, width.maximum, height.minimum, height.maximum):
        return
    step = max(candidate.family.multiple, _STEP)
    first = math.ceil((width.minimum or 1) / step) * step
    for wide in range(first, int(width.maximum or 0) + 1, step):
        exact = int(wide / ratio / step) * step
        for high in (exact, exact + step):
            if (height.minimum or 1) <= high <= (height.maximum or 0):
                yield wide, high


#: How far beyond the widest and the tallest recommended shape a picture may be (2.35:1 is as good
#: as 21:9).
_BEYOND = 1.03


def between(candidate: Candidate, ratio: float, choices: Mapping[str, Values]) -> Values:
    """The pixels of a shape that lies between recommended ones, on the grid; else empty."""
    sizing, known = candidate.way.form.sizing, [ratio_value(r) for r in choices]
    if (
        not isinstance(sizing, Pixels)
        or not min(known) <= ratio * _BEYOND <= max(known) * _BEYOND**2
    ):
        return {}
    size = on_grid(candidate, ratio)
    return {} if size is None else dict(zip(sizing.fields, size, strict=True))


def check_amount(candidate: Candidate, form: Wire) -> None:
    """Refuse fewer pixels than the maker draws, with the nearest size that has enough, in the
    shape as far as the form's limits leave room."""
    size, least = form.sizing.asked(form), candidate.variant.least_pixels
    if size is None or size[0] * size[1] >= least:
        return
    tops = [limits(type(form))[name].maximum for name in form.sizing.fields]
    step = max(candidate.family.multiple, _STEP)
    scale = math.sqrt(least / (size[0] * size[1]))
    near = [
        int(min(math.ceil(side * scale / step) * step, top or math.inf))
        for side, top in zip(size, tops, strict=True)
    ]
    if near[0] * near[1] < least:  # the longer side is at its end
        near[near.index(min(near))] = math.ceil(least / max(near) / step) * step
    given, enough = ("x".join(map(str, each)) for each in (size, near))
    accepted = f"{least:,} pixels in all, or more, on {candidate.variant.name}"
    problem = Problem("width", given, accepted, enough, "too few pixels")
    raise RequestInvalid(problem, engine=candidate.owner)


def ratio_of(form: Wire | type[Wire], shape: Mapping[str, Any]) -> float:
    """The ratio of a size that shape_of gave."""
    named = form.sizing.ratio if isinstance(form.sizing, Named) else str
    first, *second = shape.values()
    return first / second[0] if second else ratio_value(named(first))
