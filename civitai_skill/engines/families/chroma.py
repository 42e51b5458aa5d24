"""chroma: Chroma1-HD, an open model of the community, made from FLUX.1 schnell."""

from __future__ import annotations

from typing import Literal

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, ComfyUnscheduled
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio


class Create(ComfyUnscheduled):
    ecosystem: Literal["chroma"] = "chroma"
    model: forms.ModelAir


_MODEL = "urn:air:chroma:checkpoint:civitai:1330309@2164239"
_DEFAULT = {"model": _MODEL, "sampler": "euler", "steps": 28, "guidance": 3.5}

FAMILY = Family(
    name="chroma",
    title="Chroma",
    maker="Lodestone Rock",
    suits="open and unfiltered styles",
    variants=(
        Variant(
            "hd",
            (Way(Create, default=_DEFAULT, draft={"steps": 20}, high={"steps": 40}),),
            fits=(
                Fit("mature", 48, "trained without a filter; only Civitai's moderation applies"),
                Fit("checkpoint", 42, "takes a Chroma checkpoint as model"),
                Fit("lora", 45, "takes LoRAs made for Chroma"),
                Fit("commercial_licence", 42, "Apache-2.0 weights"),
                Fit("illustration", 42, "styles beside photos, at a price that is not documented"),
                Fit("exact_seed", 45, "real seeds"),
            ),
            best_for="Chroma LoRAs and checkpoints, styles that other models refuse to know",
            avoid_for="edits: it only creates",
            aliases=("1.0", "1-hd", "base"),
        ),
    ),
    best_for=("Chroma LoRAs", "photos and drawings alike", "an open licence"),
    avoid_for=("edits and variants: it only creates", "a price that must be known before"),
    prompt=(
        "Sentences, 40 to 100 words: subject, scene, light, then the medium by name (photo, "
        "watercolour, anime). Negative prompts work, since guidance is above 1."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x896, 3:2 1216x832, 16:9 1344x768, 21:9 1536x640"),
    multiple=16,
    ecosystems=frozenset({"chroma"}),
    mature="civitai",
    licence="Apache-2.0",
    notes=(NO_PRICE, "No schedule can be chosen; keep to euler."),
    conflicts=(
        "Steps: 20 is the sibling's default, 28 what the site sends. Taken: 28.",
        "Its limits are not published: those of the comfy checkpoints are taken for likely.",
    ),
    sources=(
        "the service's published types, September 2026",
        "civitai/civitai generator source, autumn 2026",
        "Chroma1-HD model card",
    ),
)
