"""mageflow: Microsoft Mage-Flow 4B, ratios from 4:1 to 1:4 and up to 16 references.

The document requires steps, cfgScale and quantity in the body, so they are always sent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, Open, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way, ways
from civitai_skill.engines.sizing import by_ratio
from civitai_skill.schema.types import Picture


class MageFlow(forms.Comfy, Open, forms.Sized512):
    ecosystem: Literal["mageflow"] = "mageflow"
    steps: forms.Steps150
    guidance: forms.Guidance30 = Field(alias="cfgScale")
    quantity: forms.Quantity12
    model: forms.ModelAir | None = Field(None, alias="diffusionModel")


class AnyEdit(MageFlow, forms.Edit):
    quantity: forms.Quantity4
    images: Annotated[list[Picture], Field(min_length=1, max_length=16)]


Create = leaf(MageFlow, forms.Create, named="4b", steps=20, guidance=5, quantity=1)
CreateTurbo = leaf(MageFlow, forms.Create, named="4b-turbo", steps=4, guidance=1, quantity=1)
Edit = leaf(AnyEdit, named="4b-edit", steps=30, guidance=5, quantity=1)
EditTurbo = leaf(AnyEdit, named="4b-edit-turbo", steps=4, guidance=1, quantity=1)

_WIDE = {"aspect_ratio": "4:1"}

FAMILY = Family(
    name="mageflow",
    title="Mage-Flow",
    maker="Microsoft",
    suits="banners and many references",
    variants=(
        Variant(
            "4b",
            (
                Way(Create, default={"steps": 20, "guidance": 5, "quantity": 1}),
                Way(Edit, default={"steps": 30, "guidance": 5, "quantity": 1}),
            ),
            fits=(
                Fit("ultra_wide", 51, "4:1 and 1:4 natively, at an unknown price", _WIDE),
                Fit("several_references", 48, "up to 16 sources, the most there is", pictures=2),
                Fit("edit", 45, "an open edit model", pictures=1),
                Fit("commercial_licence", 42, "MIT weights with a research notice"),
                Fit("exact_seed", 45, "real seeds"),
            ),
            best_for="banners and strips from 4:1 to 1:4; edits with up to 16 sources",
            avoid_for="LoRAs: the field is there, but the site knows none yet",
            aliases=("base", "4b-edit", "edit"),
            notes=('With guidance above 1 the maker sends a negative prompt of " ".',),
        ),
        Variant(
            "4b-turbo",
            ways(CreateTurbo, EditTurbo, default={"steps": 4, "guidance": 1, "quantity": 1}),
            fits=(
                Fit("draft", 36, "4 steps, at a price that is not documented"),
                Fit("ultra_wide", 45, "4:1 and 1:4 in 4 steps", _WIDE),
            ),
            best_for="quick drafts and quick edits",
            avoid_for="negative prompts: they do nothing at guidance 1",
            aliases=("turbo", "4b-edit-turbo", "edit-turbo"),
        ),
    ),
    quality={"draft": "4b-turbo", "standard": "4b", "high": "4b"},
    best_for=("ratios from 4:1 to 1:4", "many references", "quick edits"),
    avoid_for=("LoRAs", "a price that must be known before"),
    prompt=(
        "Plain sentences: subject, scene, light. For an edit one instruction that names each "
        "source by number, and what must stay as it is."
    ),
    sizes=by_ratio(
        "1:1 1024x1024, 4:3 1200x896, 3:2 1248x832, 16:9 1344x768, 21:9 1568x672, 4:1 2048x512"
    ),
    multiple=16,
    ecosystems=frozenset({"mageflow"}),
    mature="civitai",
    licence="MIT, with a notice that it is for research",
    notes=(NO_PRICE,),
    conflicts=(
        "Sources of an edit: 16 by the document, 3 on the site. Taken: the document's.",
        "Steps of 4b: 20 by the document, 30 on the site. Taken: the document's.",
    ),
    sources=(
        "published document, forms ComfyMageFlow*",
        "Mage-Flow repository",
        "civitai/civitai generator source, August 2026",
    ),
)
