"""qwen: Alibaba Qwen-Image; the open 20B model, and the closed 2.0 and 3.0 by two roads.

Its wire forms stand in `qwen_forms.py`.
"""

from __future__ import annotations

from dataclasses import replace

from civitai_skill.engines.families import qwen_forms as wire
from civitai_skill.engines.families.shared import (
    DISTORTING,
    LOOK_UP,
    NO_MASK,
    TWIN,
    catalogue,
    sdcpp_cautions,
)
from civitai_skill.engines.family import Caution, Family, Fit, Retired, Values, Variant, Way, ways
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.sizing import Sizes, by_ratio

# "latest" moves under a seed, so the version is pinned: 2512 draws best, 2511 edits best.
_DRAW: Values = {"version": "2512"}
_EDIT: Values = {"version": "2511"}


_SMALL: Sizes = by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672")


def _open() -> tuple[Way, ...]:
    small = {"width": 1024, "height": 1024}
    native = {"width": 1328, "height": 1328}
    more = {"steps": 30}
    ways: list[Way] = []
    for create, edit, variant in (
        (wire.OpenCreate, wire.OpenEdit, wire.OpenVariantOf),
        (wire.ComfyCreate, wire.ComfyEdit, wire.ComfyVariantOf),
    ):
        ways += [
            Way(create, default=_DRAW, draft=small, standard=native, high={**native, **more}),
            Way(edit, default=_EDIT, high=more),
            Way(variant, default=_DRAW, high=more),
        ]
    return tuple(ways)


#: The service rewrites the prompt unless told not to, and takes 60 to 90 s more for it.
_AS_WRITTEN: Values = {"prompt_extend": False}
_FAL: Values = {"enable_prompt_expansion": False}


def _hosted(model: str, *forms: type[Wire]) -> tuple[Way, ...]:
    """The ways of a closed model: by both forms, where none is named."""
    drawn = {"width": 1328, "height": 1328, **_AS_WRITTEN}
    defaults: dict[type[Wire], Values] = {wire.HostedCreate: drawn, wire.HostedEdit: _AS_WRITTEN}
    return tuple(Way(f, {"model_name": model}, defaults[f]) for f in forms or defaults)


_LEGACY = tuple(
    Variant(
        name,
        _hosted(name, form),
        retired=Retired(
            on=None,
            source="absent from the recipe page's current list; the maker files it as legacy",
            instead="qwen 2.0",
        ),
    )
    for name, form in (
        ("max", wire.HostedCreate),
        ("plus", wire.HostedCreate),
        ("edit", wire.HostedEdit),
        ("edit-plus", wire.HostedEdit),
        ("edit-max", wire.HostedEdit),
    )
)

FAMILY = Family(
    name="qwen",
    title="Qwen-Image",
    maker="Alibaba",
    suits="readable or Chinese text and many references",
    variants=(
        Variant(
            "20b",
            _open(),
            fits=(
                Fit("chinese_text", 60, "writes long Chinese text, with open weights"),
                Fit("text_in_picture", 57, "long readable text, with open weights", {"steps": 30}),
                Fit("poster", 57, "layout and lettering at a third of the closed models' price"),
                Fit("logo", 57, "readable letters at a third of the closed models' price"),
                Fit(
                    "several_references",
                    60,
                    "10 references; each further one adds a tenth to the price",
                    pictures=2,
                ),
                Fit("edit", 57, "version 2511 keeps the source best", pictures=1),
                Fit("inpaint", 57, NO_MASK, pictures=1),
                Fit("keep_character", 60, "version 2511 keeps a face over many edits", pictures=1),
                Fit("commercial_licence", 54, "Apache-2.0 weights"),
                Fit("real_facts", 57, LOOK_UP),
                Fit("exact_seed", 48, "the version is pinned, so a seed repeats"),
                Fit("lora", 51, "takes LoRAs made for Qwen-Image"),
                Fit("anything", 51, "when words in the picture may matter"),
                Fit("mature", 51, "only Civitai's own moderation applies"),
            ),
            measured=catalogue(create=(82, 228, 0.988), edit=(154, 601, 0.874)),
            best_for="long and Chinese text, posters, edits with up to 10 references, Qwen LoRAs",
            avoid_for="quick drafts",
            seconds="15-35",
            aliases=("image", "open"),
            sizes_at={"draft": _SMALL},
            notes=(
                "Guidance 2 to 4; 30 steps for text.",
                "options.version: 2512 (create, variant) makes people look less plastic, 2511 "
                "(edit) keeps the source best; latest moves.",
                "Edits and variants take the size of their source.",
            ),
        ),
        Variant(
            "2.0",
            (*_hosted("2.0"), *ways(wire.FalCreate, wire.FalEdit, default=_FAL)),
            fits=(
                Fit("comic_or_infographic", 57, "dense layouts at half the price of 2.0-pro"),
                Fit("chinese_text", 57, "long Chinese typography"),
                Fit("text_in_picture", 54, "long typography"),
                Fit("poster", 51, "long typography"),
            ),
            best_for="infographics, slides, long typography, edits by instruction",
            avoid_for="LoRAs, seeds that must reproduce",
            seconds="10-30",
            notes=(
                "Edits follow the source; with an aspect_ratio they go by fal (price unknown).",
            ),
        ),
        Variant(
            "2.0-pro",
            (*_hosted("2.0-pro"), *ways(wire.FalProCreate, wire.FalProEdit, default=_FAL)),
            fits=(
                Fit("text_in_picture", 60, "spells and lays out long text"),
                Fit("logo", 60, "the finest lettering of these engines"),
                Fit("poster", 60, "layout and lettering in one"),
                Fit("comic_or_infographic", 60, "panels, diagrams and dense layouts"),
                Fit("real_facts", 60, LOOK_UP),
            ),
            best_for="dense layouts and the finest lettering",
            avoid_for="drafts: twice the price of 2.0",
            seconds="20-60",
        ),
        Variant(
            "3.0-pro",
            _hosted("3.0-pro"),
            fits=(
                Fit("comic_or_infographic", 54, "the best-rated of the closed models"),
                Fit("logo", 54, "the best-rated of the closed models"),
            ),
            measured=catalogue(create=(67, 90, 0.999), edit=(112, 1200, 0.799)),
            best_for="the newest of the closed models",
            avoid_for="drafts",
        ),
        *_LEGACY,
    ),
    best_for=("Chinese text", "posters and long lettering", "edits with many references"),
    avoid_for=("quick drafts", "exact seeds on the closed models"),
    prompt=(
        "One to three rich sentences: subject, setting, light, style, in that order of weight; the "
        "exact words to be read in quotes; no (word:1.3) weights. For an edit one instruction, and "
        'name the references "image 1", "image 2".'
    ),
    sizes=by_ratio("1:1 1328x1328, 4:3 1472x1104, 3:2 1584x1056, 16:9 1664x928, 21:9 1792x768"),
    multiple=wire.GRID,
    ecosystems=frozenset({"qwen"}),
    mature="civitai",
    cautions=(
        *sdcpp_cautions("20b"),
        replace(DISTORTING, variants=("20b",)),
        Caution("is poor", "scheduler", ("karras", "exponential"), ("20b",)),
    ),
    licence="20b Apache-2.0; 2.0, 2.0-pro and 3.0-pro closed",
    notes=(
        "Only 20b takes LoRAs, steps and guidance, and only Civitai's own moderation applies to "
        "it; the closed models pass a provider's filter too.",
        "Prompt rewriting is switched off; options.promptExtend or options.enablePromptExpansion "
        "true switches it on, for 60 to 90 seconds more.",
        "21:9 is outside what 20b was trained on.",
        "Keep 20b to euler with simple.",
        f"20b: {TWIN}",
    ),
    conflicts=(
        "20b's native side: 1024 (recipe page) or 1328 (maker, and the base of the price). Taken: "
        "1328, and 1024 for drafts.",
        "20b's settings: the maker runs 50 steps at guidance 4, the service 20 at 2.5, the site 25 "
        "at 3.5. Taken: the service's.",
        "20b's negative prompt: little effect by one source; the maker ships one.",
        "Hosted and 20b sizes: the document requires width and height; the recipe page omits them.",
        "No divisor is documented for the hosted sizes; 8 keeps to 20b's grid.",
    ),
    sources=(
        "recipe page qwen (August 2026)",
        "published document, forms Qwen*",
        "Qwen-Image repository and model card",
        "civitai/civitai generator source, August 2026",
    ),
)
