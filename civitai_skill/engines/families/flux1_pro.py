"""flux1-pro: Black Forest Labs FLUX1.1 [pro] and [pro] ultra."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.forms import ABSENT, Likely, Seed, Wire
from civitai_skill.engines.sizing import Pixels, Ratio, by_ratio
from civitai_skill.schema.types import Flag, Text, Whole


class Flux1Pro(Wire):
    """The types are published, limits are not."""

    engine: Literal["flux1-pro"] = "flux1-pro"
    prompt: Text
    quantity: Annotated[Whole, Likely(1)] = 1
    seed: Seed = None


class Pro(Flux1Pro):
    sizing = Pixels()
    model_name: Literal["pro"] = Field("pro", alias="model")
    width: Whole = ABSENT
    height: Whole = ABSENT


class Ultra(Flux1Pro):
    sizing = Ratio()
    model_name: Literal["ultra"] = Field("ultra", alias="model")
    aspect_ratio: Literal["21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "9:21"] = ABSENT
    raw: Flag = ABSENT


_RAW = {"options": {"raw": True}}
_SQUARE = {"width": 1024, "height": 1024}

FAMILY = Family(
    name="flux1-pro",
    title="FLUX1.1 pro",
    maker="Black Forest Labs",
    suits="the hosted FLUX.1 look",
    variants=(
        Variant(
            "pro",
            (Way(Pro, default=_SQUARE),),
            best_for="the hosted FLUX.1 look at exact pixels",
            avoid_for="new work: FLUX.2 pro follows it; sides beyond 1440",
        ),
        Variant(
            "ultra",
            (Way(Ultra),),
            fits=(
                Fit("photo", 41, "larger pictures; raw looks less made", _RAW),
                Fit("ultra_wide", 40, "21:9 natively", {"aspect_ratio": "21:9"}),
            ),
            best_for="larger pictures; options.raw for a less polished look",
            avoid_for="exact pixels",
        ),
    ),
    quality={"draft": "pro", "standard": "pro", "high": "ultra"},
    best_for=("the hosted FLUX.1 look",),
    avoid_for=("edits", "LoRAs", "negative prompts", "known prices"),
    prompt="Sentences, subject first, with lighting and lens; text in quotes.",
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1344x768, 21:9 1440x608"),
    licence="closed",
    notes=("Price, times and limits are not documented. Sizes here are multiples of 32.",),
    conflicts=("There is no recipe page; the maker steers to FLUX.2.",),
    sources=("the service's client types, September 2026", "Black Forest Labs' guide to FLUX.2"),
)
