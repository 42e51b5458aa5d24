"""The variants of krea2 that run its open weights: raw, turbo and edit.

Wire forms: comfy krea2, raw and turbo (create), edit (edit).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import ComfyEdit, ComfyModel, catalogue, leaf
from civitai_skill.engines.family import Fit, Variant, Way
from civitai_skill.schema.types import Picture

Raw = leaf(ComfyModel, forms.Create, ecosystem="krea2", named="raw")
Turbo = leaf(Raw, named="turbo", steps=8, guidance=1.0)


class Edit(ComfyEdit):
    ecosystem: Literal["krea2"] = "krea2"
    model_name: Literal["edit"] = Field("edit", alias="model")
    steps: forms.Steps150 = 10
    guidance: forms.Guidance30 = Field(1.0, alias="cfgScale")
    images: Annotated[list[Picture], Field(min_length=1, max_length=2)]


VARIANTS = (
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
