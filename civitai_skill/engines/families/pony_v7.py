"""pony-v7: Pony V7 by PurpleSmartAI, made from AuraFlow; no relative of the Pony in sdxl."""

from __future__ import annotations

from typing import Literal

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, ComfyUnscheduled
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio


class Create(ComfyUnscheduled):
    ecosystem: Literal["ponyV7"] = "ponyV7"
    model: forms.ModelAir


_MODEL = "urn:air:auraflow:checkpoint:civitai:1901521@2152373"
_DEFAULT = {"model": _MODEL, "sampler": "euler", "steps": 40, "guidance": 3.5}

FAMILY = Family(
    name="pony-v7",
    title="Pony V7",
    maker="PurpleSmartAI",
    suits="characters in sentences",
    variants=(
        Variant(
            "base",
            (Way(Create, default=_DEFAULT, draft={"steps": 25}, high={"steps": 50}),),
            fits=(
                Fit("cartoon", 48, "cartoon and furry characters by description"),
                Fit("anime", 42, "characters by description instead of tags"),
                Fit("mature", 45, "only Civitai's own moderation applies"),
                Fit("lora", 42, "takes LoRAs made for Pony V7"),
                Fit("checkpoint", 39, "takes an AuraFlow checkpoint as model"),
                Fit("exact_seed", 42, "real seeds"),
            ),
            best_for="cartoon, furry and stylised characters described in sentences",
            avoid_for="LoRAs and tags made for Pony V6: take sdxl pony",
            aliases=("7", "v7"),
        ),
    ),
    best_for=("cartoon and furry characters", "Pony V7 LoRAs"),
    avoid_for=("Pony V6 LoRAs: take sdxl pony", "text in pictures", "edits: it only creates"),
    prompt=(
        "Sentences that describe character, pose, scene and style; tags may follow. Pony V6's "
        "score tags are not needed."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x896, 3:2 1216x832, 16:9 1344x768, 21:9 1536x640"),
    multiple=16,
    ecosystems=frozenset({"auraflow", "ponyv7"}),
    mature="civitai",
    licence="Apache-2.0 with restrictions of its maker",
    notes=(NO_PRICE, "No schedule can be chosen; the site sends euler alone."),
    conflicts=(
        "Settings: the site's form has 40 steps at guidance 3.5, its request 25 at 7 where the "
        "form says nothing. Taken: the form's.",
        "Sizes: the site has 1:1 and 3:2; the others are SDXL's.",
        "Its limits are not published: those of the comfy checkpoints are taken for likely.",
    ),
    sources=(
        "the service's published types, September 2026",
        "civitai/civitai generator source, autumn 2026",
        "Pony V7 model page",
    ),
)
