"""openai: OpenAI GPT Image, which follows instructions and sets text best; and the older DALL-E.

Its wire forms stand in `openai_forms.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from civitai_skill.engines.families import openai_forms as wire
from civitai_skill.engines.families.shared import catalogue
from civitai_skill.engines.family import (
    Caution,
    Family,
    Fit,
    Outside,
    Retired,
    Values,
    Variant,
    ways,
)
from civitai_skill.engines.sizing import by_ratio

_ARENA = "arena.ai text-to-image board, August 2026: 1381, the best of these engines"


#: The service's own default is high, at four times the price of medium.
_RENDERED: Mapping[str, Values] = {
    "draft": {"rendering": "low"},
    "standard": {"rendering": "medium"},
    "high": {"rendering": "high"},
}
_XHIGH: Mapping[str, Values] = {**_RENDERED, "high": {"rendering": "xhigh"}}
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
            ways(wire.Gpt2Create, wire.Gpt2Edit, **_RENDERED),
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
            ways(wire.FlareCreate, wire.FlareEdit, **_RENDERED),
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
            ways(wire.SunburstCreate, wire.SunburstEdit, **_XHIGH),
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
            ways(wire.Gpt15Create, wire.Gpt15Edit, **_RENDERED),
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
            ways(wire.Gpt1Create, wire.Gpt1Edit, **_RENDERED),
            aliases=("1",),
            retired=Retired(
                date(2026, 10, 23), f"{_TABLE}; its own guide confirms it", "openai gpt-image-2"
            ),
        ),
        Variant(
            "dall-e-3",
            ways(wire.DallE3, default=_SQUARE),
            retired=Retired(date(2026, 5, 12), _TABLE, "openai gpt-image-2"),
        ),
        Variant(
            "dall-e-2",
            ways(wire.DallE2Create, wire.DallE2Edit, default=_SQUARE),
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
