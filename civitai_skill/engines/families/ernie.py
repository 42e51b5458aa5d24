"""ernie: Baidu ERNIE-Image, open weights that write and lay out text for little."""

from __future__ import annotations

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import ComfyModel, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio

Standard = leaf(ComfyModel, forms.Create, ecosystem="ernie", named="ernie", buzz=forms.rate(20))
Turbo = leaf(Standard, named="turbo", steps=8, guidance=1.0, buzz=forms.rate(8, steps=8))

FAMILY = Family(
    name="ernie",
    title="ERNIE-Image",
    maker="Baidu",
    suits="cheap posters and comics",
    variants=(
        Variant(
            "ernie",
            (Way(Standard, high={"steps": 30}),),
            fits=(
                Fit("comic_or_infographic", 57, "lays out panels and dense text at 20 Buzz"),
                Fit("poster", 54, "lettering and layout at 20 Buzz"),
                Fit("text_in_picture", 54, "dense readable text at 20 Buzz"),
                Fit("logo", 48, "readable letters at 20 Buzz"),
                Fit("chinese_text", 51, "Chinese lettering with open weights"),
                Fit("commercial_licence", 51, "Apache-2.0 weights"),
                Fit("lora", 48, "takes LoRAs made for ERNIE-Image"),
                Fit("checkpoint", 45, "takes an ERNIE-Image checkpoint as model"),
                Fit("exact_seed", 48, "real seeds"),
                Fit("mature", 48, "only Civitai's own moderation applies"),
            ),
            best_for="posters, comic pages, dense text and structured layouts at a low price",
            avoid_for="edits: it only creates",
            seconds="29",
            aliases=("image", "standard"),
            notes=("Guidance 4 to 6; the maker runs 50 steps.",),
        ),
        Variant(
            "turbo",
            (Way(Turbo),),
            fits=(
                Fit("draft", 48, "a layout with its lettering for 8 Buzz"),
                Fit("cheapest", 48, "8 steps, and it can spell"),
                Fit("text_in_picture", 48, "readable text for 8 Buzz"),
                Fit("commercial_licence", 48, "Apache-2.0 weights"),
            ),
            best_for="drafts of posters and pages",
            avoid_for="negative prompts (they do nothing at guidance 1); the site hides LoRAs here",
            seconds="13",
        ),
    ),
    quality={"draft": "turbo", "standard": "ernie", "high": "ernie"},
    best_for=("posters and comic pages for little", "dense text", "layouts region by region"),
    avoid_for=("edits and variants: it only creates",),
    prompt=(
        "Prose that describes the layout region by region (top, left column, speech balloon), with "
        "every text to be read in quotes. No (word:1.3) weights."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1264x848, 16:9 1376x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"ernie"}),
    mature="civitai",
    licence="Apache-2.0",
    notes=("Keep to euler with simple.",),
    conflicts=(
        "Steps: the service runs 20, the model card 50. Taken: 20, and 30 for high.",
        "Sizes: 1:1, 3:2 and 16:9 are the model card's; 4:3 and 21:9 are worked out beside them.",
    ),
    sources=(
        "recipe page ernie (August 2026)",
        "published document, forms ComfyErnie*",
        "ERNIE-Image model card",
        "civitai/civitai generator source, August 2026",
    ),
)
