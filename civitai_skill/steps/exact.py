"""Exact pixels: drawn so where the engine takes them for no more, else drawn in the nearest shape
that it has, enlarged as needed, then cropped.

Up to 1.5 times a picture is enlarged on this machine, for nothing; above that the service's
upscaler doubles it, unless it must be free.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import date

from civitai_skill.engines import catalog
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.planning.sizes import closest, offered
from civitai_skill.engines.sizing import Size
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.finishing import MOST_PASSES, read_exact
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.image_upscaler import Upscaler

#: How many times larger a picture is made on this machine; above, pixels only get soft.
MOST_HERE = 1.5

#: Stands where a picture will that another step makes.
LATER = "https://example.com/later"


def drawn_for(
    request: ImageRequest, sources: tuple[Size | None, ...], today: date | None = None
) -> Plan:
    """The drawing itself: exact pixels as they are, else the nearest shape that the engine has."""
    decided = plan(request, sources=sources, today=today)
    if request.exact is None:
        return decided
    wanted = read_exact(request.exact)
    family = catalog.family(decided.family)
    variant = family.variant(decided.variant)
    assert variant is not None, "it was found by its name"
    way = next(way for way in variant.ways if isinstance(decided.form, way.form))
    ratios = list(offered(Candidate(request, family, variant, way, sources)))
    if ratios:
        near = closest(math.log(wanted[0] / wanted[1]), ratios)
        shaped = request.model_copy(update={"aspect_ratio": near})
        decided = plan(shaped, sources=sources, today=today)
    if request.upscale or request.hires is not None:
        return decided
    with suppress(RequestInvalid):
        sized = request.model_copy(update=dict(zip(("width", "height"), wanted, strict=True)))
        native = plan(sized, sources=sources, today=today)
        size = decided.form.sizing.drawn(decided.form, sources[0] if sources else None)
        if native.form.sizing.asked(native.form) == wanted and _is_better(
            request, wanted, native, size, decided
        ):
            return native
    return decided


def _is_better(request: ImageRequest, wanted: Size, native: Plan, size: Size, other: Plan) -> bool:
    """Is it better to draw these very pixels than those of `other`? Not where that is dearer, nor
    for so few that a larger drawing, made smaller, shows more."""
    if wanted[0] * wanted[1] * 2 < size[0] * size[1]:
        return False
    try:
        passes, _ = passes_for(request, size)
    except RequestInvalid:
        return True
    most, each = other.price.most, 0
    if passes:
        upscaler = Upscaler.model_validate({"image": LATER, "numberOfRepeats": passes})
        each = upscaler.buzz(size)
    if native.price.most is None or most is None:
        return True
    return native.price.most <= most + each * other.quantity


def passes_for(
    request: ImageRequest | FinishRequest, size: Size | None, field: str = "images"
) -> tuple[int, tuple[str, ...]]:
    """How often the service doubles the picture, and what is said about exact pixels.

    `size` is None where nobody knows it. Raises RequestInvalid for more than there is.
    """
    passes = request.upscale or 0
    if request.exact is None:
        return passes, ()
    wanted = read_exact(request.exact)
    if size is None:
        if request.upscale or request.free:
            return passes, ()
        why = "its pixels can't be seen of a URL, so nobody knows how far it must be enlarged"
        accepted = "a local file, or upscale or free with it"
        raise RequestInvalid(Problem(field, None, accepted, None, why))
    if wanted == size and not passes:
        return 0, ()
    times = max(wanted[0] / size[0], wanted[1] / size[1])
    if not request.upscale and not request.free and times > MOST_HERE:
        passes = math.ceil(math.log2(times / MOST_HERE))
        if passes > MOST_PASSES:
            most = tuple(int(side * MOST_HERE * 2**MOST_PASSES / times) for side in wanted)
            why = f"{times:.3g} times larger than it is drawn; beyond 12 times nothing is gained"
            near = "x".join(map(str, most))
            accepted = "fewer pixels, or free with it"
            raise RequestInvalid(Problem("exact", request.exact, accepted, near, why))
    left = times / 2**passes
    if left > MOST_HERE and not request.free:
        why = f"still {left:.3g} times larger than the upscaled picture"
        accepted = "more passes of upscale, upscale left out, or free with it"
        raise RequestInvalid(Problem("exact", request.exact, accepted, None, why))
    return passes, (_told(wanted, size, passes, left),)


def _told(wanted: Size, size: Size, passes: int, left: float) -> str:
    wide, high = (side * 2**passes for side in size)
    upscaled = f"upscaled to {wide}x{high} by the service, " if passes else ""
    fitted = f"enlarged {left:.3g} times here, " if left > 1 else ""
    fitted = "made smaller here, " if left < 1 else fitted
    start = f"from {size[0]}x{size[1]}"
    return f"Exactly {wanted[0]}x{wanted[1]}: {start}, {upscaled}{fitted}cropped."
