"""What finishing makes of any engine: needs that a step serves where the engine itself does not.

Each is a fit like those in the engines' files, with the fields that ask for the step.
"""

from __future__ import annotations

from collections.abc import Mapping

from civitai_skill.engines.family import Fit, Need, Variant
from civitai_skill.engines.sizing import Size
from civitai_skill.schema.finishing import MOST_PASSES

#: Pixels of the longer side that a print of 4K has.
PRINT = 4096

_FINISHED: Mapping[Need, Fit] = {
    fit.need: fit
    for fit in (
        Fit("transparent_background", 60, "cut out by the service", {"remove_background": True}),
        Fit("print_4k", 42, "upscaled by the service", {"upscale": 2}),
        Fit("wallpaper", 50, "upscaled and cropped to 4K", {"exact": "3840x2160"}),
        Fit("phone_tall", 45, "upscaled and cropped to a phone's screen", {"exact": "1440x3120"}),
    )
}
NEEDS = frozenset(_FINISHED)
#: Those that are served as well by a step as by an engine.
ALIKE: frozenset[Need] = frozenset({"transparent_background"})


def fit_of(variant: Variant, need: Need) -> Fit | None:
    """How a variant serves a need, by itself or with a step after it."""
    return variant.fit(need) or _FINISHED.get(need)


def passes_to_print(size: Size) -> int:
    """How often a picture is doubled until a side has 4K; 0 where it has it already."""
    passes = 0
    while max(size) * 2**passes < PRINT and passes < MOST_PASSES:
        passes += 1
    return passes
