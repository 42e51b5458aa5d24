"""qwen: Alibaba Qwen-Image; the open 20B model, and the closed 2.0 and 3.0 by two roads."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families import shared
from civitai_skill.engines.families.shared import Open, Unpublished, catalogue, leaf
from civitai_skill.engines.family import Caution, Family, Fit, Retired, Values, Variant, Way, ways
from civitai_skill.engines.sizing import Pixels, Sizes, by_ratio
from civitai_skill.errors import Problem
from civitai_skill.schema.types import Flag, Picture, Text, Whole

#: Pixels that width and height divide by.
GRID = 8

_Side = Annotated[Whole, Field(ge=0, le=2048)]
_Negative = Annotated[Text, Field(max_length=500)]


# -- 20b, the open weights ----------------------------------------------------------------------
class Open20b(Open):
    ecosystem: Literal["qwen"] = "qwen"
    model_name: Literal["20b"] = Field("20b", alias="model")
    guidance: forms.Guidance30 = Field(2.5, alias="cfgScale")


class AnyCreate(Open20b, forms.Sized, forms.Create):
    version: Literal["latest", "2509", "2512"] = "latest"


class AnyEdit(Open20b, forms.Following, forms.Edit):
    version: Literal["latest", "2509", "2511"] = "latest"
    images: Annotated[list[Picture], Field(min_length=1, max_length=10)]


class AnyVariantOf(Open20b, forms.Following, forms.VariantOf):
    version: Literal["latest", "2509", "2512"] = "latest"


class OpenEdit(forms.Sdcpp, AnyEdit):
    def buzz(self) -> float | None:
        """40 for 1024 x 1024 at 20 steps; each source after the first adds a tenth."""
        price = forms.rate(40, 1024)(self)
        return None if price is None else price * (1 + 0.1 * (len(self.images) - 1))


# -- the maker's own API ------------------------------------------------------------------------
# Buzz a picture; `edit` and its fellows are the legacy names.
_FLAT = {
    "2.0": 45.5, "2.0-pro": 97.5, "3.0-pro": 97.5, "max": 97.5, "plus": 39.0, "edit": 58.5,
    "edit-plus": 39.0, "edit-max": 97.5,
}  # fmt: skip
# The recipe page: these draw one picture a call.
_ONE_AT_A_TIME = frozenset({"max", "plus", "edit"})


class Hosted(forms.Wire):
    """What both hosted forms share. The document requires width and height; the recipe page's own
    samples leave them out."""

    engine: Literal["qwen"] = "qwen"
    prompt: Annotated[Text, Field(max_length=5000)]
    negative_prompt: _Negative | None = None
    quantity: Annotated[Whole, Field(ge=1, le=6)] = 1
    seed: forms.Seed32 = None
    prompt_extend: Flag = True
    watermark: Flag = False

    def buzz(self) -> float | None:
        """A flat price a picture, by model."""
        form: Any = self
        return _FLAT[form.model_name] * self.quantity

    def objection(self) -> Problem | None:
        form: Any = self
        if form.model_name in _ONE_AT_A_TIME and self.quantity > 1:
            return Problem("quantity", self.quantity, f"1 on {form.model_name}", 1, "too many")
        return None


_LEAST = 512 * 512


def _enough(width: int, height: int) -> tuple[int, int]:
    """The nearest size that has the pixels: the longer side kept, the shorter one raised."""
    longer = max(width, height) // GRID * GRID
    if longer * 2048 < _LEAST:
        return 512, 512
    shorter = -(-_LEAST // (longer * GRID)) * GRID
    return (longer, shorter) if width >= height else (shorter, longer)


class HostedCreate(Hosted, forms.Create):
    sizing = Pixels()
    width: _Side = forms.ABSENT
    height: _Side = forms.ABSENT
    model_name: Literal["3.0-pro", "2.0-pro", "2.0", "max", "plus"] = Field("2.0", alias="model")

    def objection(self) -> Problem | None:
        """The recipe page: 512 x 512 to 2048 x 2048 pixels in all; the document starts at 0."""
        width, height = self.width, self.height
        if width is None and height is None:
            return super().objection()
        if width is None or height is None:
            missing = "width" if width is None else "height"
            return Problem(missing, None, "both width and height", None, "one was left out")
        if width * height < _LEAST:
            accepted = "512x512 to 2048x2048 pixels in all"
            near = "{}x{}".format(*_enough(width, height))
            return Problem("width", f"{width}x{height}", accepted, near, "too few pixels")
        return super().objection()


class HostedEdit(Hosted, forms.Following, forms.Edit3):
    model_name: Literal["3.0-pro", "2.0-pro", "2.0", "edit-max", "edit-plus", "edit"] = Field(
        "edit-plus", alias="model"
    )


# -- the same through fal -----------------------------------------------------------------------
class Fal(forms.Wire):
    """What the four fal forms share: named sizes instead of pixels, no documented price."""

    sizing = forms.FAL_SIZES
    engine: Literal["fal"] = "fal"
    model_name: Literal["qwen2"] = Field("qwen2", alias="model")
    prompt: Annotated[Text, Field(min_length=1)]
    negative_prompt: _Negative | None = None
    quantity: Annotated[Whole, Field(ge=1, le=10)] = 1
    image_size: forms.FalSize = "square_hd"
    seed: forms.Seed32 = None
    enable_prompt_expansion: Flag = True
    enable_safety_checker: Flag = False


FalCreate = leaf(Fal, forms.Create)


class FalProCreate(Fal):
    operation: Literal["proCreateImage"] = "proCreateImage"


FalEdit = leaf(Fal, forms.Edit3)


class FalProEdit(Fal, forms.Edit3):
    operation: Literal["proEditImage"] = "proEditImage"  # type: ignore[assignment]


# "latest" moves under a seed, so the version is pinned: 2512 draws best, 2511 edits best.
_DRAW: Values = {"version": "2512"}
_EDIT: Values = {"version": "2511"}
_SMALL: Sizes = by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672")


def _open(*taken: type[forms.Wire]) -> tuple[Way, ...]:
    create, edit, variant = taken
    small, native = {"width": 1024, "height": 1024}, {"width": 1328, "height": 1328}
    more = {"steps": 30}
    return (
        Way(create, default=_DRAW, draft=small, standard=native, high={**native, **more}),
        Way(edit, default=_EDIT, high=more),
        Way(variant, default=_DRAW, high=more),
    )


_OPEN = (
    *_open(
        leaf(forms.Sdcpp, AnyCreate, buzz=forms.rate(30, 1328)),
        OpenEdit,
        leaf(forms.Sdcpp, AnyVariantOf, buzz=forms.rate(30, 1328)),
    ),
    *_open(*(leaf(Unpublished, forms.Comfy, f) for f in (AnyCreate, AnyEdit, AnyVariantOf))),
)

#: The service rewrites the prompt unless told not to, and takes 60 to 90 s more for it.
_AS_WRITTEN: Values = {"prompt_extend": False}
_FAL: Values = {"enable_prompt_expansion": False}


def _hosted(model: str, *taken: type[forms.Wire]) -> tuple[Way, ...]:
    """The ways of a closed model: by both forms, where none is named."""
    drawn = {"width": 1328, "height": 1328, **_AS_WRITTEN}
    defaults: dict[type[forms.Wire], Values] = {HostedCreate: drawn, HostedEdit: _AS_WRITTEN}
    return tuple(Way(f, {"model_name": model}, defaults[f]) for f in taken or defaults)


_GONE = Retired(
    None, "absent from the recipe page's current list; the maker files it as legacy", "qwen 2.0"
)
_LEGACY = (
    *(Variant(n, _hosted(n, HostedCreate), retired=_GONE) for n in ("max", "plus")),
    *(Variant(n, _hosted(n, HostedEdit), retired=_GONE) for n in ("edit", "edit-plus", "edit-max")),
)

FAMILY = Family(
    name="qwen",
    title="Qwen-Image",
    maker="Alibaba",
    suits="readable or Chinese text and many references",
    variants=(
        Variant(
            "20b",
            _OPEN,
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
                Fit("inpaint", 57, shared.NO_MASK, pictures=1),
                Fit("keep_character", 60, "version 2511 keeps a face over many edits", pictures=1),
                Fit("commercial_licence", 54, "Apache-2.0 weights"),
                Fit("real_facts", 57, shared.LOOK_UP),
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
            (*_hosted("2.0"), *ways(FalCreate, FalEdit, default=_FAL)),
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
            (*_hosted("2.0-pro"), *ways(FalProCreate, FalProEdit, default=_FAL)),
            fits=(
                Fit("text_in_picture", 60, "spells and lays out long text"),
                Fit("logo", 60, "the finest lettering of these engines"),
                Fit("poster", 60, "layout and lettering in one"),
                Fit("comic_or_infographic", 60, "panels, diagrams and dense layouts"),
                Fit("real_facts", 60, shared.LOOK_UP),
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
    multiple=GRID,
    ecosystems=frozenset({"qwen"}),
    mature="civitai",
    cautions=(
        *shared.sdcpp_cautions("20b"),
        replace(shared.DISTORTING, variants=("20b",)),
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
        f"20b: {shared.TWIN}",
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
