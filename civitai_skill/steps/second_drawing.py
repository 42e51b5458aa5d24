"""The second drawing: a variant of the first, larger, by the same engine.

More pixels with detail that is drawn and not guessed; the step is an imageGen like the first.
"""

from __future__ import annotations

from typing import Any

from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.planning.route import elsewhere
from civitai_skill.engines.sizing import Size
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.request import ImageRequest

#: Leaves the composition, and draws the detail anew.
STRENGTH = 0.4
_FIRST = "https://example.com/first"
#: What holds the first drawing to something and can't hold the second, whose source is the first.
_HELD = ("control_nets", "style_images", "mask", "inpaint")


def draw_again(request: ImageRequest, first: Plan, size: Size, number: int) -> Plan:
    """The second drawing of picture `number` (from 0) of a first one. Raises RequestInvalid."""
    assert request.hires is not None
    held = next((name for name in _HELD if getattr(request, name)), None)
    if held is not None:
        why = f"the second drawing would not be held by {held}"
        raise RequestInvalid(Problem("hires", request.hires, f"hires without {held}", None, why))
    strength = STRENGTH if request.hires_strength is None else request.hires_strength
    changed: dict[str, Any] = {
        "images": [_FIRST], "strength": strength, "quantity": 1, "aspect_ratio": None,
        "width": None, "height": None, "variant": first.variant, "engine": first.family,
        "exact": None, "seed": None if first.seed is None else first.seed + number,
    }  # fmt: skip
    if request.hires > 1:
        step = 16
        changed["width"], changed["height"] = (
            round(side * request.hires / step) * step for side in size
        )
    try:
        again = plan(request.model_copy(update=changed), sources=(size,))
    except RequestInvalid as error:
        why = f"the second drawing is not possible: {error.problems[0].sentence()}"
        accepted = "an engine that makes variants in this size; or upscale instead"
        raise RequestInvalid(
            Problem("hires", request.hires, accepted, None, why), advice=elsewhere("variant", 1)
        ) from None
    if again.operation != "variant":
        raise RequestInvalid(
            Problem("hires", request.hires, "an engine that makes variants; or upscale instead"),
            advice=elsewhere("variant", 1),
        )
    return again
