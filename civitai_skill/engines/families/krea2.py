"""krea2: Krea 2: pictures with a mood, and with the style of other pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import ComfyEdit, ComfyModel, catalogue, leaf
from civitai_skill.engines.family import Family, Fit, Values, Variant, Way
from civitai_skill.engines.forms import Create, Seed32
from civitai_skill.engines.sizing import Ratio, by_ratio
from civitai_skill.schema.types import Number, Picture, Style, Text, Whole

Raw = leaf(ComfyModel, forms.Create, ecosystem="krea2", named="raw")
Turbo = leaf(Raw, named="turbo", steps=8, guidance=1.0)


class Edit(ComfyEdit):
    ecosystem: Literal["krea2"] = "krea2"
    model_name: Literal["edit"] = Field("edit", alias="model")
    steps: forms.Steps150 = 10
    guidance: forms.Guidance30 = Field(1.0, alias="cfgScale")
    images: Annotated[list[Picture], Field(min_length=1, max_length=2)]


#: The variants that run its open weights.
_OPEN = (
    Variant(
        "raw",
        (Way(Raw, high={"steps": 52, "guidance": 3.5}),),
        fits=(
            Fit("lora", 48, "takes LoRAs made for Krea 2, by the open weights"),
            Fit("concept_art", 48, "Krea's film looks with open weights and seeds"),
            Fit("photo", 42, "gritty film looks with open weights"),
            Fit("checkpoint", 42, "takes a Krea 2 checkpoint as model"),
            Fit("exact_seed", 45, "real seeds"),
        ),
        best_for="LoRAs trained on Krea 2 raw, film looks with negative prompts and seeds",
        avoid_for="haste: three minutes were measured",
        measured=catalogue(create=(176, 1029, 0.967)),
        notes=("Price not documented; the median that users paid was 24 (August 2026).",),
    ),
    Variant(
        "turbo",
        (Way(Turbo),),
        fits=(
            Fit("fastest", 45, "8 steps; a minute was measured"),
            Fit("lora", 51, "LoRAs trained on raw run on it"),
            Fit("concept_art", 51, "Krea's looks in 8 steps"),
            Fit("photo", 45, "Krea's looks in 8 steps"),
        ),
        best_for="Krea's looks and Krea 2 LoRAs in a minute",
        avoid_for="negative prompts: they do nothing at guidance 1",
        measured=catalogue(create=(64, 253, 0.995)),
        notes=("Price not documented; the median that users paid was 19 (August 2026).",),
    ),
    Variant(
        "edit",
        (Way(Edit),),
        fits=(
            Fit("edit", 39, "edits in Krea's looks", pictures=1),
            Fit("several_references", 36, "two sources", pictures=2),
        ),
        best_for="edits of one or two sources in Krea's looks",
        avoid_for="haste, and what must succeed: one in seven failed",
        measured=catalogue(edit=(106, 443, 0.859)),
        notes=("Price not documented; the median that users paid was 39 (August 2026).",),
    ),
)


_Scale = Annotated[Whole, Field(ge=-100, le=100)]


class StyleReference(BaseModel):
    """One element of `imageStyleReferences`."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
    image_url: Annotated[Style, Field(min_length=1)]
    strength: Annotated[Number, Field(ge=-2, le=2)] = 1.0


class Krea2(Create):
    """What both forms share. The document requires style references; the recipe page's own samples
    leave them out."""

    sizing = Ratio()
    prompt: Annotated[Text, Field(min_length=1, max_length=5000)]
    aspect_ratio: Literal["1:1", "4:3", "3:2", "16:9", "2.35:1", "4:5", "2:3", "9:16"] = "1:1"
    creativity: Literal["raw", "low", "medium", "high"] = "medium"
    quantity: Annotated[Whole, Field(ge=1, le=10)] = 1
    seed: Seed32 = None
    style_images: Annotated[list[StyleReference], Field(max_length=10)] = Field(
        [], alias="imageStyleReferences"
    )


class Fal(Krea2):
    engine: Literal["fal"] = "fal"
    model_name: Literal["krea2"] = Field("krea2", alias="model")
    tier: Literal["medium", "large"] = Field("medium", alias="size")

    def buzz(self) -> float | None:
        """By size, 6.5 more with style references."""
        each = 39.0 if self.tier == "medium" else 78.0
        return (each + (6.5 if self.style_images else 0)) * self.quantity


class Own(Krea2):
    """Krea's own API; its price is not documented. The document: with a picture it makes a variant
    of it."""

    does = ("create", "variant")
    engine: Literal["krea"] = "krea"
    model_name: Literal["krea2-medium", "krea2-large", "krea2-medium-turbo"] = Field(
        "krea2-medium", alias="model"
    )
    image: Picture | None = None
    strength: Annotated[Number, Field(ge=0, le=1)] = 0.99
    intensity: _Scale = 0
    complexity: _Scale = 0
    movement: _Scale = 0


#: Of both sizes together.
_MEASURED = catalogue(create=(32, 55, 0.874))
_NO_STYLE: Values = {"style_images": []}


FAMILY = Family(
    name="krea2",
    title="Krea 2",
    maker="Krea",
    suits="mood, film looks, style references",
    variants=(
        Variant(
            "medium",
            (
                Way(Fal, {"tier": "medium"}, _NO_STYLE),
                Way(Own, {"model_name": "krea2-medium"}, _NO_STYLE),
            ),
            fits=(
                Fit(
                    "concept_art",
                    60,
                    "mood and material in every picture; creativity high goes further",
                    {"options": {"creativity": "high"}},
                ),
                Fit("illustration", 57, "takes the style of up to 10 pictures (style_images)"),
                Fit("ultra_wide", 52, "2.35:1 natively", {"aspect_ratio": "2.35:1"}),
            ),
            best_for="illustration, concept art, the style of other pictures",
            avoid_for="tight layouts, much text",
            seconds="5-15",
            measured=_MEASURED,
        ),
        Variant(
            "large",
            (
                Way(Fal, {"tier": "large"}, _NO_STYLE),
                Way(Own, {"model_name": "krea2-large"}, _NO_STYLE),
            ),
            fits=(
                Fit("portrait", 55, "gritty photoreal faces, fashion, film looks"),
                Fit("photo", 55, "film grain and light as shot"),
                Fit("concept_art", 55, "the same mood in finer detail"),
                Fit("ultra_wide", 51, "2.35:1 natively", {"aspect_ratio": "2.35:1"}),
            ),
            best_for="gritty photoreal pictures, fashion, film looks",
            avoid_for="drafts: twice the price of medium",
            seconds="15-40",
            measured=_MEASURED,
        ),
        Variant(
            "medium-turbo",
            (Way(Own, {"model_name": "krea2-medium-turbo"}, _NO_STYLE),),
            best_for="quick tries of medium",
            avoid_for="known prices: ask for an estimate first",
        ),
        *_OPEN,
    ),
    own_checkpoint="turbo",
    quality={"draft": "medium", "standard": "medium", "high": "large"},
    best_for=("film looks", "concept art", "illustration in a given style"),
    avoid_for=("tight layouts", "much text", "3:4: it has 4:5 and 2:3"),
    prompt=(
        "Natural sentences with words of mood, material and light, up to 300 words; no weights. "
        "options.creativity raw takes it literally."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"krea2"}),
    licence="medium and large closed; raw, turbo and edit by Krea's licence for its open weights",
    notes=(
        "A seed is the same for the whole batch: with quantity above 1 it buys near-copies.",
        "style_images take a strength from -2 to 2; 6.5 Buzz more with any.",
        "Variants (strength with one source) go by Krea's own engine, whose price is not "
        "documented; options.intensity, complexity and movement are its alone.",
        "raw, turbo and edit run on Civitai and take LoRAs and pixels; raw is made for up to 1K, "
        "turbo for 1K to 2K. No provider's filter is known for them.",
    ),
    conflicts=(
        "raw's settings: 20 steps at guidance 4 by the document, 52 at 3.5 by the maker. Taken: "
        "the document's, and the maker's for high.",
        "Style references: the document requires the list, the recipe page omits it. Taken: an "
        "empty list is sent.",
        "Their strength: -2 to 2 (document), 0 to 1 (site).",
    ),
    sources=(
        "recipe page krea (August 2026)",
        "published document, forms Krea2*; recipe document of engine krea, August 2026",
        "Krea 2's model card",
    ),
)
