"""openai: OpenAI GPT Image, which follows instructions and sets text best; and the older DALL-E."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import catalogue, leaf
from civitai_skill.engines.family import Caution, Family, Fit, Outside, Retired, Variant, ways
from civitai_skill.engines.forms import ABSENT, Create, Edit, Likely, Quantity4, Wire, flat
from civitai_skill.engines.sizing import Named, Pixels, PixelsOrSource, Size, by_ratio
from civitai_skill.schema.types import Mask, Picture, Text, Whole

Background = Literal["auto", "transparent", "opaque"]
_Size = Literal["1024x1024", "1536x1024", "1024x1536"]
_SizeOrAuto = Literal["auto", _Size]
_Prompt = Annotated[Text, Field(max_length=32000)]
_Quantity10 = Annotated[Whole, Field(ge=1, le=10)]

# Buzz a picture by the maker's quality.
_FLAT = {"low": 25, "medium": 100, "high": 375, "auto": 300}


class OpenAI(Wire):
    engine: Literal["openai"] = "openai"


class Flat(OpenAI):
    """gpt-image-1 and 1.5: a price by quality alone."""

    sizing = Named(("size",))
    prompt: _Prompt

    def buzz(self) -> float | None:
        form: Any = self
        return float(_FLAT[form.rendering or "auto"] * form.quantity)


# -- gpt-image-1 ----------------------------------------------------------------------------------
class Gpt1(Flat):
    model_name: Literal["gpt-image-1"] = Field("gpt-image-1", alias="model")
    size: _Size = "1024x1024"
    quantity: _Quantity10 = 1
    background: Background = "opaque"
    rendering: Literal["auto", "high", "medium", "low"] = Field("auto", alias="quality")


class Gpt1Edit(Gpt1, Edit):
    images: list[Picture]
    mask: Mask | None = None


# -- gpt-image-1.5 --------------------------------------------------------------------------------
class Gpt15(Flat):
    model_name: Literal["gpt-image-1.5"] = Field("gpt-image-1.5", alias="model")
    quantity: Quantity4 = 1
    background: Background = "auto"
    rendering: Literal["low", "medium", "high"] = Field("high", alias="quality")


class Gpt15Create(Gpt15, Create):
    size: _Size = "1024x1024"


class Gpt15Edit(Gpt15, Edit):
    size: _SizeOrAuto = "auto"
    images: list[Picture]
    input_fidelity: Literal["low", "high"] = "high"


# -- gpt-image-2 ----------------------------------------------------------------------------------
# Buzz a picture at low, medium and high, up to these pixels, however turned.
_TIERS: dict[Size, tuple[int, int, int]] = {
    (1024, 768): (13, 52, 195),
    (1024, 1024): (13, 78, 286),
    (1536, 1024): (13, 65, 221),
    (1920, 1080): (13, 52, 208),
    (2560, 1440): (13, 78, 299),
    (3840, 2160): (26, 143, 533),
}
_QUALITIES = ("low", "medium", "high")
#: The most that a picture may cost is that of the largest tier.
_LARGEST: Size = (3840, 2160)


class Sides(OpenAI):
    """What gpt-image-2 and 2.5 share."""

    def area(self) -> int | None:
        """Pixels; None where the service decides."""
        size = self.sizing.asked(self)
        return None if size is None else size[0] * size[1]

    def stretch(self) -> float | None:
        """The longer side over the shorter one."""
        size = self.sizing.asked(self)
        return None if size is None else max(size) / min(size)


class Gpt2(Sides):
    model_name: Literal["gpt-image-2"] = Field("gpt-image-2", alias="model")
    prompt: _Prompt
    quantity: Quantity4 = 1
    rendering: Literal["low", "medium", "high"] = Field("high", alias="quality")

    def buzz(self) -> float | None:
        """The cheapest tier that covers the size."""
        size = self.sizing.asked(self)
        if size is None:
            return None
        at = _QUALITIES.index(self.rendering)
        wide, high = max(size), min(size)
        prices = [p[at] for top, p in _TIERS.items() if wide <= top[0] and high <= top[1]]
        return float(min(prices) * self.quantity) if prices else None


class Gpt2Create(Gpt2, Create):
    sizing = Pixels()
    width: Annotated[Whole, Field(ge=256, le=3840)] | None = 1024
    height: Annotated[Whole, Field(ge=256, le=3840)] | None = 1024


class AnyEdit(Edit):
    """Their edits: of the source's size, where none is said."""

    sizing = PixelsOrSource()
    width: Whole | None = None
    height: Whole | None = None
    images: list[Picture]
    mask: Mask | None = Field(None, alias="maskImage")


class Gpt2Edit(AnyEdit, Gpt2):
    sizing = PixelsOrSource(most=_LARGEST)


# -- gpt-image-2.5: the types are published, the limits are a third party's ------------------------
class Gpt25(Sides):
    prompt: Annotated[Text, Likely(high=32000)]
    quantity: Annotated[Whole, Likely(1, 4)] = 1
    rendering: Literal["low", "medium", "high", "xhigh", "max"] = Field(ABSENT, alias="quality")


class Gpt25Create(Gpt25, Create):
    sizing = Pixels()
    width: Annotated[Whole, Likely(256, 3840)] | None = 1024
    height: Annotated[Whole, Likely(256, 3840)] | None = 1024


FlareCreate = leaf(Gpt25Create, named="gpt-image-2.5-flare")
FlareEdit = leaf(AnyEdit, Gpt25, named="gpt-image-2.5-flare")
SunburstCreate = leaf(Gpt25Create, named="gpt-image-2.5-sunburst")
SunburstEdit = leaf(AnyEdit, Gpt25, named="gpt-image-2.5-sunburst")


# -- dall-e ---------------------------------------------------------------------------------------
class DallE2(OpenAI):
    sizing = Named(("size",))
    model_name: Literal["dall-e-2"] = Field("dall-e-2", alias="model")
    prompt: Annotated[Text, Field(max_length=1000)]
    size: Literal["256x256", "512x512", "1024x1024"]
    quantity: _Quantity10 = 1

    buzz = flat(300)


class DallE2Create(DallE2, Create):
    background: Background = "auto"


class DallE2Edit(DallE2):
    operation: Literal["editImage"] = "editImage"
    image: Picture
    mask: Mask | None = None


class DallE3(OpenAI, Create):
    sizing = Named(("size",))
    model_name: Literal["dall-e-3"] = Field("dall-e-3", alias="model")
    prompt: Annotated[Text, Field(max_length=4000)]
    size: Literal["1024x1024", "1792x1024", "1024x1792"]
    background: Background = "auto"
    style: Literal["natural", "vivid"] = "vivid"
    rendering: Literal["auto", "hd", "standard"] = Field("auto", alias="quality")

    buzz = flat(300)


_ARENA = "arena.ai text-to-image board, August 2026: 1381, the best of these engines"
#: The service's own default is high, at four times the price of medium.
_RENDERED: dict[str, Any] = {
    "draft": {"rendering": "low"},
    "standard": {"rendering": "medium"},
    "high": {"rendering": "high"},
}
_SQUARE = {"size": "1024x1024"}
_TABLE = "OpenAI's table of deprecations"

FAMILY = Family(
    name="openai",
    title="GPT Image",
    maker="OpenAI",
    suits="instructions, exact text, masks",
    variants=(
        Variant(
            "gpt-image-2",
            ways(Gpt2Create, Gpt2Edit, **_RENDERED),
            fits=(
                Fit("text_in_picture", 75, "spells and lays out text best", source=_ARENA),
                Fit("poster", 75, "layout and lettering in one", source=_ARENA),
                Fit("logo", 75, "clean shapes and exact letters", source=_ARENA),
                Fit("comic_or_infographic", 75, "dense panels and diagrams", source=_ARENA),
                Fit(
                    "inpaint",
                    80,
                    "takes a mask: only what is transparent in it is drawn anew",
                    pictures=1,
                    source="published document: its only mask form that lives on",
                ),
                Fit("product", 55, "labels and clean light"),
                Fit("photo", 52, "the best-rated engine here, for finals"),
                Fit("portrait", 52, "the best-rated engine here, for finals"),
                Fit("edit", 53, "follows long orders; changes little else", pictures=1),
                Fit("real_facts", 50, "knows much; look the rest up and write it in"),
                Fit("pixel_art", 45, "icons; shrink them with convertImage"),
            ),
            best_for="text, layouts, infographics, long instructions, edits with a mask",
            avoid_for="mature themes, repeating a seed, transparency",
            seconds="15-45",
            measured=catalogue(create=(37, 65, 0.638), edit=(52, 137, 0.765)),
            aliases=("2", "gpt2", "gpt image"),
            notes=(
                "The service's own default is high quality (208 for 1024x1024); here low for "
                "drafts (13), medium as standard (52). Above 1920x1080 it costs more.",
            ),
        ),
        Variant(
            "gpt-image-2.5-flare",
            ways(FlareCreate, FlareEdit, **_RENDERED),
            fits=(
                Fit("text_in_picture", 56, "the newer generation; its price is not documented"),
                Fit("inpaint", 56, "takes a mask", pictures=1),
            ),
            best_for="the newer generation's quicker model",
            avoid_for="known prices: ask for an estimate first",
            aliases=("2.5-flare", "flare", "gpt-image-2.5"),
            notes=("options.quality: low, medium, high, xhigh, max. Limits are not published.",),
        ),
        Variant(
            "gpt-image-2.5-sunburst",
            ways(SunburstCreate, SunburstEdit, **_RENDERED | {"high": {"rendering": "xhigh"}}),
            fits=(
                Fit("comic_or_infographic", 56, "the newer generation's larger model"),
                Fit("poster", 56, "the newer generation's larger model"),
                Fit("inpaint", 55, "takes a mask", pictures=1),
            ),
            best_for="the newer generation's larger model, for finals",
            avoid_for="known prices: ask for an estimate first",
            aliases=("2.5-sunburst", "sunburst"),
            notes=("options.quality: low, medium, high, xhigh, max. Limits are not published.",),
        ),
        Variant(
            "gpt-image-1.5",
            ways(Gpt15Create, Gpt15Edit, **_RENDERED),
            fits=(
                Fit(
                    "transparent_background",
                    70,
                    "draws transparency itself",
                    {"background": "transparent", "output_format": "png"},
                    source="OpenAI's image guide; published document, field background",
                ),
            ),
            best_for="transparent backgrounds, until it is withdrawn",
            avoid_for="new work",
            seconds="15-45",
            aliases=("1.5",),
            notes=("options.inputFidelity high keeps faces in an edit.",),
            retired=Retired(date(2026, 12, 1), _TABLE, "openai gpt-image-2"),
        ),
        Variant(
            "gpt-image-1",
            ways(leaf(Gpt1, Create), Gpt1Edit, **_RENDERED),
            aliases=("1",),
            retired=Retired(
                date(2026, 10, 23), f"{_TABLE}; its own guide confirms it", "openai gpt-image-2"
            ),
        ),
        Variant(
            "dall-e-3",
            ways(DallE3, default=_SQUARE),
            retired=Retired(date(2026, 5, 12), _TABLE, "openai gpt-image-2"),
        ),
        Variant(
            "dall-e-2",
            ways(DallE2Create, DallE2Edit, default=_SQUARE),
            aliases=("dall-e",),
            retired=Retired(date(2026, 5, 12), _TABLE, "openai gpt-image-2"),
        ),
    ),
    best_for=("exact text and layouts", "long instructions", "edits with a mask", "infographics"),
    avoid_for=("mature work", "the same picture again: there is no seed", "LoRAs", "big batches"),
    prompt=(
        "Scene, subject, key details, purpose, constraints, in that order. Text in quotes or "
        "CAPITALS with font and place; spell odd words letter by letter. For an edit: change only "
        "X, keep face, pose, light and layout."
    ),
    sizes=by_ratio(
        "1:1 1024x1024, 4:3 1024x768, 3:2 1536x1024, 16:9 1920x1088, 21:9 2016x864, 3:1 2304x768"
    ),
    multiple=16,
    cautions=(
        Caution(
            "the maker wants 0.66 to 8.3 megapixels",
            "area",
            Outside(655_360, 8_294_400),
            ("gpt-image-2",),
        ),
        Caution("the maker wants at most 3:1", "stretch", Outside(high=3), ("gpt-image-2",)),
    ),
    licence="closed",
    notes=(
        "mask: a picture of the source's size; what is transparent in it is drawn anew "
        "(not on gpt-image-1.5).",
        "Edits without a size follow the source.",
        "1080 is not a multiple of 16: 1920x1072 stays in the cheap tier.",
        "No seed, no negative prompt.",
    ),
    conflicts=(
        "gpt-image-1.5: the recipe page documents a mask for its edits; the document has none. "
        "The document rules.",
        "Price of 1024x1024 at medium: 78 in its own row, 52 by the rule (the cheapest row that "
        "covers the size, however turned); users paid 53. Taken: the rule.",
        "Smallest size of gpt-image-2: 256 a side (document), 0.66 megapixels (OpenAI). Taken: "
        "smaller sizes only warn.",
    ),
    sources=(
        "recipe page openai (August 2026)",
        "published document, forms OpenAI*; client types of September 2026 for 2.5",
        "OpenAI's table of deprecations and image guides",
        "arena.ai, August 2026",
    ),
)
