"""lens: Microsoft Lens, photos and long prompts on an open licence."""

from __future__ import annotations

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, ComfyModel, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio

Normal = leaf(ComfyModel, forms.Create, ecosystem="lens", named="normal")
Turbo = leaf(Normal, named="turbo", steps=4, guidance=1.0)

_LARGE = by_ratio("1:1 1440x1440, 4:3 1664x1248, 3:2 1760x1184, 16:9 1920x1088, 2:1 2032x1024")

FAMILY = Family(
    name="lens",
    title="Lens",
    maker="Microsoft",
    suits="photos by long prompts",
    variants=(
        Variant(
            "normal",
            (Way(Normal, high={"width": 1440, "height": 1440}),),
            fits=(
                Fit("photo", 48, "photoreal from long prompts, with open weights"),
                Fit("portrait", 45, "photoreal from long prompts, with open weights"),
                Fit("commercial_licence", 51, "MIT weights"),
                Fit("lora", 42, "takes LoRAs made for Lens"),
                Fit("exact_seed", 45, "real seeds"),
                Fit("mature", 45, "only Civitai's own moderation applies"),
            ),
            best_for="photoreal scenes from long prompts, on an open licence",
            avoid_for="edits: it only creates",
            aliases=("standard",),
            sizes_at={"high": _LARGE},
        ),
        Variant(
            "turbo",
            (Way(Turbo),),
            fits=(
                Fit("draft", 39, "4 steps, at a price that is not documented"),
                Fit("commercial_licence", 45, "MIT weights"),
            ),
            best_for="quick drafts before normal",
            avoid_for="negative prompts: they do nothing at guidance 1",
        ),
    ),
    quality={"draft": "turbo", "standard": "normal", "high": "normal"},
    best_for=("photoreal scenes", "long prompts", "an open licence"),
    avoid_for=("edits and variants: it only creates", "a price that must be known before"),
    prompt=(
        "Natural sentences, as long as you like: subject, scene, light, camera. Its text encoder "
        "is a language model, so say relations in words. Quote text that must be readable."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1184x880, 3:2 1248x832, 16:9 1376x768, 2:1 1424x720"),
    multiple=16,
    ecosystems=frozenset({"lens"}),
    mature="civitai",
    licence="MIT",
    notes=(NO_PRICE,),
    conflicts=(
        "Guidance: the service's default is 4, the model card's 5. Taken: the service's.",
        "No AIR for it is documented; ecosystem lens is its wire name.",
        "2:1 at the smaller size is worked out beside the model card's sizes.",
    ),
    sources=("published document, forms ComfyLens*", "Lens model card"),
)
