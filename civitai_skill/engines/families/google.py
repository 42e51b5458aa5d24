"""google: Google's image models, Nano Banana and the older Imagen and Gemini 2.5 Flash."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import catalogue, leaf
from civitai_skill.engines.family import Family, Fit, Retired, Variant, Way, ways
from civitai_skill.engines.forms import Create, Edit, Likely, Quantity4, Seed, Seed32, Wire, flat
from civitai_skill.engines.sizing import FollowsSource, Ratio, Sizing
from civitai_skill.schema.types import Flag, Picture, Text, Whole

_Ratio = Literal["21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"]
_Resolution = Literal["1K", "2K", "4K"]


# -- engine google -------------------------------------------------------------------------------
class Google(Wire):
    """What its forms share: `numImages` for the quantity."""

    engine: Literal["google"] = "google"
    quantity: Quantity4 = Field(1, alias="numImages")


class Imagen4(Google):
    sizing = Ratio()
    model_name: Literal["imagen4"] = Field("imagen4", alias="model")
    prompt: Annotated[Text, Field(max_length=1000)]
    negative_prompt: Annotated[Text, Field(max_length=1000)] = ""
    aspect_ratio: Literal["1:1", "16:9", "9:16", "3:4", "4:3"] = "1:1"
    seed: Seed = None

    buzz = flat(40)


class Banana(Google):
    prompt: Annotated[Text, Field(max_length=50000)]
    aspect_ratio: _Ratio = "1:1"
    images: Annotated[list[Picture], Field(max_length=10)] = []


class Pro(Banana):
    sizing = Ratio(resolution="resolution")
    model_name: Literal["nano-banana-pro"] = Field("nano-banana-pro", alias="model")
    resolution: _Resolution = "1K"

    def buzz(self) -> float | None:
        """By resolution, 20 more with source pictures."""
        each = {"1K": 160, "2K": 230, "4K": 320}[self.resolution]
        return float((each + (20 if self.images else 0)) * self.quantity)


class Banana2(Banana):
    sizing = Ratio(resolution="resolution")
    model_name: Literal["nano-banana-2"] = Field("nano-banana-2", alias="model")
    resolution: _Resolution = "1K"
    seed: Seed32 = None
    grounding: Flag = Field(False, alias="enableWebSearch")
    enable_google_search: Flag = False

    def buzz(self) -> float | None:
        """By resolution, 20 more for each kind of search."""
        each = {"1K": 104, "2K": 156, "4K": 208}[self.resolution]
        return float((each + 20 * (self.grounding + self.enable_google_search)) * self.quantity)


class Lite(Banana):
    sizing = Ratio()
    model_name: Literal["nano-banana-2-lite"] = Field("nano-banana-2-lite", alias="model")
    seed: Seed32 = None

    buzz = flat(44)


class Banana21(Wire):
    """Of the site's code; its limits are its sibling's."""

    sizing = Ratio(resolution="resolution")
    engine: Literal["google"] = "google"
    model_name: Literal["nano-banana-2.1"] = Field("nano-banana-2.1", alias="model")
    prompt: Annotated[Text, Likely(high=50000)]
    quantity: Annotated[Whole, Likely(1, 4)] = Field(1, alias="numImages")
    aspect_ratio: Literal[
        "8:1", "4:1", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16",
        "9:21", "1:4", "1:8",
    ] = "1:1"  # fmt: skip
    resolution: _Resolution = "1K"
    images: Annotated[list[Picture], Likely(high=10)] = []


# -- engine gemini -------------------------------------------------------------------------------
class Flash(Wire):
    sizing = Sizing()
    engine: Literal["gemini"] = "gemini"
    model_name: Literal["2.5-flash"] = Field("2.5-flash", alias="model")
    prompt: Text
    quantity: Quantity4 = 1

    buzz = flat(60)


class FlashEdit(Flash, Edit):
    sizing = FollowsSource()
    images: Annotated[list[Picture], Field(min_length=1, max_length=4)]


def _sharp(form: type[Wire]) -> tuple[Way, ...]:
    one = {"resolution": "1K"}
    return (Way(form, draft=one, standard=one, high={"resolution": "2K"}),)


_TABLE, _LITE = "Google's table of deprecations", "google nano-banana-2-lite"
_ARENA_EDIT = "arena.ai image edit board, April 2026"
_4K = {"options": {"resolution": "4K"}}

FAMILY = Family(
    name="google",
    title="Nano Banana",
    maker="Google",
    suits="one character in many pictures, facts",
    variants=(
        Variant(
            "nano-banana-2-lite",
            (Way(Lite),),
            fits=(
                Fit("edit", 52, "edits with up to 10 sources for a flat 44", pictures=1),
                Fit("fastest", 48, "half of its pictures took 9 seconds"),
                Fit("keep_character", 53, "the cheapest that keeps a face", pictures=1),
                Fit("several_references", 48, "up to 10 sources for a flat 44", pictures=2),
                Fit("real_facts", 45, "knows much; look the rest up and write it in"),
            ),
            best_for="quick edits and drafts",
            avoid_for="more than 1K",
            seconds="4-10",
            measured=catalogue(alike=(9, 49, 0.799)),
            aliases=("2-lite", "lite"),
        ),
        Variant(
            "nano-banana-pro",
            _sharp(Pro),
            fits=(
                Fit(
                    "keep_character",
                    80,
                    "keeps faces and things best",
                    pictures=1,
                    source=f"{_ARENA_EDIT}: 1387, first",
                ),
                Fit("edit", 58, "the best-rated edits, for finals", pictures=1),
                Fit("several_references", 55, "blends up to 10 sources", pictures=2),
                Fit("comic_or_infographic", 58, "diagrams and dense layouts"),
                Fit("print_4k", 50, "4K at 320 Buzz", _4K),
                Fit("text_in_picture", 55, "long readable text"),
                Fit("poster", 55, "layout and lettering"),
            ),
            best_for="likeness, blends of several pictures, edits in turns, diagrams",
            avoid_for="drafts: 160 to 320 a picture; seeds",
            seconds="20-60",
            measured=catalogue(alike=(27, 80, 0.671)),
            aliases=("pro", "banana pro"),
            notes=("20 Buzz more with source pictures.",),
        ),
        Variant(
            "nano-banana-2",
            _sharp(Banana2),
            fits=(
                Fit(
                    "real_facts",
                    80,
                    "looks facts up on the web before it draws (20 Buzz more)",
                    {"grounding": True},
                    source="published document: no other form searches",
                ),
                Fit("edit", 56, "edits nearly as well as pro for less", pictures=1),
                Fit("keep_character", 59, "nearly as well as pro for less", pictures=1),
                Fit("comic_or_infographic", 56, "diagrams with facts looked up"),
                Fit("print_4k", 52, "4K at 208 Buzz", _4K),
            ),
            best_for="pictures of real things, looked up first; diagrams",
            avoid_for="drafts",
            seconds="8-20 at 1K, 20-60 above",
            measured=catalogue(alike=(29, 72, 0.614)),
            aliases=("2",),
            notes=(
                "grounding true searches the web; options.enableGoogleSearch searches Google; each "
                "adds 20.",
                "One unconfirmed note says that Google withdrew it on 2026-10-29; nano-banana-2.1 "
                "follows it, without search.",
            ),
        ),
        Variant(
            "nano-banana-2.1",
            _sharp(Banana21),
            fits=(
                Fit("ultra_wide", 56, "8:1 and 4:1 natively", {"aspect_ratio": "4:1"}),
                Fit("phone_tall", 50, "9:21 natively", {"aspect_ratio": "9:21"}),
                Fit("edit", 55, "the newest of them; its price is not documented", pictures=1),
                Fit("keep_character", 58, "the newest; its price is not documented", pictures=1),
            ),
            best_for="the newest; shapes from 8:1 to 1:8",
            avoid_for="known prices: ask for an estimate first; seeds, web search",
            aliases=("2.1",),
            notes=("Its limits are not published; those of nano-banana-2 are warned of.",),
        ),
        Variant(
            "imagen4",
            (Way(Imagen4),),
            aliases=("imagen",),
            retired=Retired(date(2026, 8, 17), f"{_TABLE}; it answers 404 since", _LITE),
        ),
        Variant(
            "gemini-2.5-flash",
            ways(leaf(Flash, Create), FlashEdit),
            aliases=("2.5-flash", "gemini", "nano-banana"),
            retired=Retired(date(2026, 10, 2), _TABLE, _LITE),
        ),
    ),
    quality={
        "draft": "nano-banana-2-lite",
        "standard": "nano-banana-2-lite",
        "high": "nano-banana-pro",
    },
    best_for=("likeness", "edits in turns", "blends of several pictures", "web-grounded pictures"),
    avoid_for=("mature work", "exact pixels", "LoRAs", "negative prompts"),
    prompt=(
        "Describe the scene as prose. For an edit a plain order: say only what differs, one change "
        "a turn, and what each reference is for; text in quotes."
    ),
    licence="closed",
    notes=("Sizes are a ratio and options.resolution (1K, 2K, 4K); lite draws 1K.",),
    conflicts=(
        "Names: the recipe page maps nano-banana-2 and -pro to Gemini 2.5; Google says 3.1 Flash "
        "Image and 3 Pro Image.",
        "The gemini page calls nano-banana-2 the cheaper one: 104 against 60.",
    ),
    sources=(
        "recipe pages google and gemini (August 2026)",
        "published document, forms NanoBanana*, Imagen4*, Gemini25Flash*",
        "civitai/civitai generator source, autumn 2026, for nano-banana-2.1",
        "Google's tables of deprecations",
        "arena.ai, April 2026",
    ),
)
