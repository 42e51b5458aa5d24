"""ideogram4: Ideogram 4, open weights that set type and place things by coordinates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio


class Create(forms.ComfySampled, forms.Sized, forms.Create):
    """No schedule and no negative prompt: a second model draws what is not asked for."""

    ecosystem: Literal["ideogram4"] = "ideogram4"
    prompt: forms.LongText
    steps: forms.Steps150 = 12
    guidance: forms.Guidance30 = Field(7.0, alias="cfgScale")
    quantity: forms.Quantity12 = 1
    model: forms.ModelAir | None = Field(None, alias="diffusionModel")
    unconditional_diffusion_model: forms.PartAir | None = None


_NATIVE = by_ratio("1:1 2048x2048, 4:3 2048x1536, 3:2 2048x1360, 16:9 2048x1152, 21:9 2048x880")

FAMILY = Family(
    name="ideogram4",
    title="Ideogram 4",
    maker="Ideogram",
    suits="exact layout by JSON",
    variants=(
        Variant(
            "base",
            (Way(Create, high={"steps": 48, "width": 2048, "height": 2048}),),
            fits=(
                Fit("logo", 54, "typography; the layout by coordinates in a JSON prompt"),
                Fit("poster", 48, "every text at its place, by coordinates in a JSON prompt"),
                Fit("text_in_picture", 48, "typography, at a price that is not documented"),
                Fit("exact_seed", 42, "real seeds"),
                Fit("lora", 39, "takes LoRAs made for Ideogram 4"),
            ),
            best_for="typography and exact layout, said as a JSON caption",
            avoid_for="plain short prompts, commercial use, mature work",
            aliases=("4", "quality"),
            sizes_at={"high": _NATIVE},
            notes=("12 steps are the service's default; the maker's quality preset has 48.",),
        ),
    ),
    best_for=("typography", "exact layout by coordinates"),
    avoid_for=("plain prompts", "commercial use", "mature work", "negative prompts: it has none"),
    prompt=(
        "A JSON caption, the only thing that it was trained on: high_level_description, "
        "style_description {aesthetics, lighting, photo, medium, color_palette}, "
        "compositional_deconstruction {background, elements [{type: obj or text, text, bbox: "
        "[y1, x1, y2, x2] in 0 to 1000, desc}]}. Plain text works and is weaker."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"ideogram4"}),
    mature="civitai",
    licence="non-commercial weights; no mature pictures",
    notes=(
        NO_PRICE,
        "Keep to euler. Civitai marks its licence as not for mature pictures.",
        "The service's mediaCaptioning step writes such a JSON caption of a picture.",
    ),
    conflicts=(
        "Steps: 12 by the service, 48 by the maker's preset. Taken: 12, and 48 for high.",
        "Size: native at 2K, 1024 by the service's default. Taken: 1024, and 2048 for high.",
        "No AIR for it is documented; ecosystem ideogram4 is its wire name.",
    ),
    sources=(
        "published document, form ComfyIdeogram4*",
        "Ideogram 4 repository",
        "civitai/civitai generator source, August 2026",
    ),
)
