"""boogu: Boogu 0.1, an open model that creates and edits, with English and Chinese text."""

from __future__ import annotations

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, ComfyEdit, ComfyModel, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio

Base = leaf(ComfyModel, forms.Create, ecosystem="boogu", named="base")
Turbo = leaf(Base, named="turbo", steps=4, guidance=1.0)
Edit = leaf(ComfyEdit, ecosystem="boogu", named="edit", steps=25, guidance=3.5)
EditTurbo = leaf(Edit, named="editTurbo", steps=4, guidance=1.0)

FAMILY = Family(
    name="boogu",
    title="Boogu 0.1",
    maker="Boogu",
    suits="open edits and lettering",
    variants=(
        Variant(
            "base",
            (Way(Base, high={"steps": 30}), Way(Edit, high={"steps": 30})),
            fits=(
                Fit("edit", 48, "an open edit model for one or two sources", pictures=1),
                Fit("inpaint", 42, "an open edit model: name what changes", pictures=1),
                Fit("several_references", 39, "two sources", pictures=2),
                Fit("text_in_picture", 45, "English and Chinese text with open weights"),
                Fit("chinese_text", 45, "English and Chinese text with open weights"),
                Fit("commercial_licence", 48, "Apache-2.0 weights, and it edits"),
                Fit("lora", 42, "takes LoRAs made for Boogu"),
                Fit("checkpoint", 39, "takes a Boogu checkpoint as model"),
                Fit("exact_seed", 45, "real seeds"),
            ),
            best_for="edits with open weights, English and Chinese text, LoRAs",
            avoid_for="a price that must be known before",
            aliases=("0.1", "edit"),
            notes=("The model card runs 25 to 50 steps, edits at guidance 5.",),
        ),
        Variant(
            "turbo",
            (Way(Turbo), Way(EditTurbo)),
            fits=(
                Fit("draft", 36, "4 steps, at a price that is not documented"),
                Fit("edit", 42, "an edit in 4 steps", pictures=1),
            ),
            best_for="quick drafts and quick edits",
            avoid_for="negative prompts: they do nothing at guidance 1",
            aliases=("edit-turbo",),
        ),
    ),
    quality={"draft": "turbo", "standard": "base", "high": "base"},
    best_for=("edits with open weights", "English and Chinese text"),
    avoid_for=("a price that must be known before", "more than two sources"),
    prompt=(
        "Prose; the exact words to be read in quotes. For an edit one instruction, and what must "
        "stay as it is."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"boogu"}),
    mature="civitai",
    licence="Apache-2.0",
    notes=(NO_PRICE,),
    conflicts=(
        "Sources of an edit: 2 by the document, 1 on the site. Taken: 2.",
        "Steps: the service's defaults are below the model card's. Taken: the service's, 30 for "
        "high.",
    ),
    sources=(
        "published document, forms ComfyBoogu*",
        "Boogu 0.1 model card",
        "civitai/civitai generator source, August 2026",
    ),
)
