"""seedream: ByteDance Seedream, up to 4096 pixels a side at a flat price."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import Field

from civitai_skill.engines.families.shared import NO_MASK, catalogue
from civitai_skill.engines.family import Caution, Family, Fit, Outside, Variant, Way
from civitai_skill.engines.forms import Quantity12, Seed32, Sized
from civitai_skill.engines.sizing import Sizes, by_ratio
from civitai_skill.schema.request import Quality
from civitai_skill.schema.types import Flag, Number, Picture, Text, Whole

# Buzz a picture, whatever the size; v5.0-pro's is the catalogue's median (August 2026).
_FLAT = {"v3": 40, "v4": 40, "v4.5": 60, "v5.0-lite": 52, "v5.0-pro": 135}


class Seedream(Sized):
    source_ratio = 3
    engine: Literal["seedream"] = "seedream"
    prompt: Annotated[Text, Field(min_length=1)]
    quantity: Quantity12 = 1
    width: Annotated[Whole, Field(ge=256, le=4096)] = 1024
    height: Annotated[Whole, Field(ge=256, le=4096)] = 1024
    guidance: Annotated[Number, Field(ge=1, le=10)] = Field(2.5, alias="guidanceScale")
    seed: Seed32 = None
    enable_safety_checker: Flag = False
    version: Literal["v3", "v4", "v4.5", "v5.0-lite", "v5.0-pro"] | None = None
    images: Annotated[list[Picture], Field(max_length=10)] = []

    def buzz(self) -> float | None:
        """A flat price a picture; without a version the service takes v4.5."""
        price = _FLAT.get(self.version or "v4.5")
        return None if price is None else float(price * self.quantity)


_1K: Sizes = by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672")
_2K: Sizes = by_ratio("1:1 2048x2048, 4:3 2304x1728, 3:2 2496x1664, 16:9 2560x1440, 21:9 3360x1440")
_4K: Sizes = by_ratio("1:1 4096x4096, 4:3 4096x3072, 3:2 2496x1664, 16:9 4096x2304, 21:9 3360x1440")
# v4.5 and v5.0-lite draw true 4K; v5.0-pro takes 4K and returns about 2K (engine guide, seedream).
_DRAWS_4K: Mapping[Quality, Sizes] = {"high": _4K}
_DRAWS_1K: Mapping[Quality, Sizes] = {"draft": _1K}
# The fewest pixels of a picture: the maker's interface answers less with "image size must be at
# least 3686400 pixels" (tried by others: github.com/AceDataCloud/Nexior/pull/663, May 2026) and
# names 921600 for v4 and v5.0-pro (docs.byteplus.com/en/docs/ModelArk/1541523).
_LARGE, _SMALL = 2560 * 1440, 1280 * 720


def _way(version: str, sizes_at: Mapping[Quality, Sizes] = MappingProxyType({})) -> tuple[Way, ...]:
    """The square of each quality's sizes, where the request says none."""
    fixed = {"version": version}
    draft, standard, high = (
        dict(zip(("width", "height"), sizes_at.get(q, _2K)["1:1"], strict=True))
        for q in get_args(Quality)
    )
    return (Way(Seedream, fixed=fixed, draft=draft, standard=standard, high=high),)


FAMILY = Family(
    name="seedream",
    title="Seedream",
    maker="ByteDance",
    suits="4K",
    variants=(
        Variant(
            "v4.5",
            _way("v4.5", _DRAWS_4K),
            fits=(
                Fit("print_4k", 60, "native 4096x4096 for a flat price", {"quality": "high"}),
                Fit("several_references", 57, "up to 10 references at a flat price", pictures=2),
                Fit("edit", 54, "large edits at a flat price", pictures=1),
                Fit("keep_character", 57, "up to 10 references of the character", pictures=1),
                Fit("inpaint", 54, NO_MASK, pictures=1),
                Fit("product", 54, "4K product shots"),
                Fit("poster", 54, "large posters with readable text"),
                Fit("chinese_text", 54, "Chinese posters up to 4K"),
                Fit("text_in_picture", 45, "readable text up to 4K"),
                Fit("photo", 48, "4K photos at a flat price"),
                Fit("portrait", 48, "4K portraits at a flat price"),
                Fit("concept_art", 54, "large scenes at a flat price"),
            ),
            measured=catalogue(alike=(46, 182, 0.986)),
            best_for="4K prints, posters, products, edits with up to 10 references",
            avoid_for="small drafts: the price is flat",
            seconds="40-90",
            aliases=("4.5",),
            sizes_at=_DRAWS_4K,
            least_pixels=_LARGE,
            notes=("True 4K: 4096x4096, 4096x3072 and 4096x2304 cost what 1024x1024 costs.",),
        ),
        Variant(
            "v5.0-lite",
            _way("v5.0-lite", _DRAWS_4K),
            fits=(
                Fit("print_4k", 57, "native 4096x4096 for a little less", {"quality": "high"}),
                Fit("several_references", 54, "up to 10 references for a little less", pictures=2),
            ),
            measured=catalogue(alike=(71, 224, 0.983)),
            best_for="4K for a little less; edits",
            seconds="40-90",
            aliases=("v5-lite", "5.0-lite"),
            sizes_at=_DRAWS_4K,
            least_pixels=_LARGE,
        ),
        Variant(
            "v5.0-pro",
            _way("v5.0-pro"),
            measured=catalogue(alike=(62, 257, 0.772)),
            best_for="the best-rated Seedream for pictures from words",
            avoid_for="4K: it accepts the size and returns about 2K",
            seconds="40-90",
            aliases=("v5-pro", "5.0-pro"),
            least_pixels=_SMALL,
        ),
        Variant(
            "v4",
            _way("v4", _DRAWS_1K),
            best_for="drafts: the cheapest, quick at 1024",
            seconds="10-90",
            sizes_at=_DRAWS_1K,
            least_pixels=_SMALL,
        ),
        Variant(
            "v3",
            _way("v3", _DRAWS_1K),
            best_for="pictures that must look as v3 made them",
            sizes_at=_DRAWS_1K,
        ),
    ),
    quality={"draft": "v4", "standard": "v4.5", "high": "v4.5"},
    best_for=("4K at a flat price", "many references", "posters and Chinese text", "products"),
    avoid_for=("LoRAs", "negative prompts", "cheap drafts", "mature work"),
    prompt=(
        "Plain sentences, text in quotes. Words about size do nothing; spell out counts and "
        "colours. For an edit: the instruction, and which picture gives what."
    ),
    sizes=_2K,
    cautions=(Caution("guidance above 5 degrades it", "guidance", Outside(high=5)),),
    licence="closed",
    notes=(
        f"The maker draws no fewer pixels than {_LARGE:,} (2560x1440) with v4.5 and v5.0-lite, "
        f"{_SMALL:,} (1280x720) with v4 and v5.0-pro.",
        "Above 1.5 megapixels poll instead of waiting.",
        "Sources of an edit must be between 1:3 and 3:1.",
        "Guidance 2 to 3.",
    ),
    conflicts=(
        "Guidance: recipe page and document 2.5, the site sends 5. Taken: 2.5.",
        "Smallest size: the document says 256 a side, the maker's interface refuses less than its "
        "own floor. Taken: the maker's.",
        "v5.0-pro is in the document and not on the recipe page.",
    ),
    sources=(
        "recipe page seedream (August 2026)",
        "published document, form Seedream",
        "civitai/civitai generator source, August 2026",
        "ComfyUI partner-node documentation",
        "BytePlus ModelArk, image generation interface",
    ),
)
