"""grok: xAI Grok Imagine, with the widest and tallest ratios."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from civitai_skill.engines.families.shared import catalogue
from civitai_skill.engines.family import Family, Fit, Retired, Variant, ways
from civitai_skill.engines.forms import Create, Edit3, Quantity4, Wire, flat
from civitai_skill.engines.sizing import FollowsSource, Ratio
from civitai_skill.schema.types import Text

_Ratio = Literal[
    "2:1", "20:9", "19.5:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:19.5", "9:20",
    "1:2",
]  # fmt: skip
_RatioOrAuto = Literal["auto", _Ratio]


class Grok(Wire):
    engine: Literal["grok"] = "grok"
    prompt: Text
    quantity: Quantity4 = 1


class V1(Grok):
    implied = frozenset({"version"})
    version: Literal["v1.0"] = "v1.0"


class V1Create(V1, Create):
    sizing = Ratio()
    aspect_ratio: _Ratio = "1:1"

    buzz = flat(26)


class V1Edit(V1, Edit3):
    sizing = FollowsSource()

    buzz = flat(29)


class V2(Grok):
    """The price of v2.0 is not documented."""

    sizing = Ratio(resolution="resolution")
    version: Literal["v2.0"] = "v2.0"
    resolution: Literal["1k", "2k"] = "2k"
    rendering: Literal["low", "medium"] = Field("medium", alias="quality")


class V2Create(V2, Create):
    implied = frozenset({"operation"})
    aspect_ratio: _Ratio = "1:1"


class V2Edit(V2, Edit3):
    aspect_ratio: _RatioOrAuto = "auto"


_NOTICE = "a reseller's notice; xAI has not confirmed it"
_PHONE = {"aspect_ratio": "9:19.5"}

FAMILY = Family(
    name="grok",
    title="Grok Imagine",
    maker="xAI",
    suits="phone ratios",
    variants=(
        Variant(
            "v2.0",
            ways(
                V2Create,
                V2Edit,
                draft={"resolution": "1k", "rendering": "low"},
                standard={"resolution": "1k", "rendering": "medium"},
                high={"resolution": "2k", "rendering": "medium"},
            ),
            fits=(
                Fit("phone_tall", 60, "9:19.5 and 9:20 are phone screens", _PHONE),
                Fit("ultra_wide", 54, "20:9 natively", {"aspect_ratio": "20:9"}),
                Fit("photo", 39, "strong photoreal pictures, at a price that is not documented"),
            ),
            best_for="phone ratios, strong photoreal pictures quickly, edits with up to 3 sources",
            avoid_for="seeds, exact pixels, LoRAs",
            seconds="10-30",
            aliases=("2", "v2"),
            notes=(
                "Price not documented. By what resellers ask: about 78 at 1k medium or 2k low, "
                "104 at 2k medium, and 13 for each source. Ask for an estimate first.",
                "The service's own default is 2k medium; standard here is 1k medium.",
            ),
        ),
        Variant(
            "v1.0",
            ways(V1Create, V1Edit),
            measured=catalogue(create=(16, 39, 0.478), edit=(12, 26, 0.593)),
            best_for="a documented price: 26 a picture, 29 an edit",
            seconds="10-30",
            aliases=("1", "v1"),
            notes=("Its edits have no ratio: they take the source's.",),
            retired=Retired(date(2026, 10, 30), _NOTICE, "grok v2.0"),
        ),
    ),
    best_for=("ratios from 2:1 to 1:2", "phone wallpapers (9:19.5, 9:20)", "photoreal pictures"),
    avoid_for=("the same picture again: there is no seed", "exact pixels", "negative prompts"),
    prompt="Full sentences, under 1000 characters, no weights.",
    licence="closed",
    notes=("No seed, so no picture can be repeated.", "No 21:9; 20:9 is the nearest."),
    conflicts=("The recipe page counts 21 ratios; the document lists 13. The document rules.",),
    sources=(
        "recipe page grok (August 2026)",
        "published document, forms Grok*",
        "resellers' price lists and notices, October 2026",
    ),
)
