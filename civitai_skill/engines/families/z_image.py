"""z-image: Alibaba Tongyi-MAI's 6B model; turbo is the photoreal draft, base the pliable one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import (
    DISTORTING,
    TWIN,
    Open,
    Unpublished,
    catalogue,
    leaf,
    sdcpp_cautions,
)
from civitai_skill.engines.family import Caution, Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio


class ZImage(Open, forms.Sized, forms.Create):
    ecosystem: Literal["zImage"] = "zImage"
    model: forms.ModelAir = Field(forms.ABSENT, alias="diffuserModel")
    control_nets: list[forms.ControlNet] = []


_TURBO: dict[str, Any] = {"named": "turbo", "steps": 9, "guidance": 1.0}

Turbo = leaf(forms.Sdcpp, ZImage, buzz=forms.rate(8, steps=9), **_TURBO)
Base = leaf(forms.Sdcpp, ZImage, named="base", buzz=forms.rate(20))
ComfyTurbo = leaf(Unpublished, forms.Comfy, ZImage, **_TURBO)
ComfyBase = leaf(Unpublished, forms.Comfy, ZImage, named="base")

FAMILY = Family(
    name="z-image",
    title="Z-Image",
    maker="Alibaba Tongyi-MAI",
    suits="fast photos",
    variants=(
        Variant(
            "turbo",
            (Way(Turbo), Way(ComfyTurbo)),
            fits=(
                Fit("fastest", 54, "few steps, yet it waits for a machine: a minute was measured"),
                Fit("portrait", 57, "real skin texture"),
                Fit("photo", 57, "real skin and light"),
                Fit("draft", 54, "a finished-looking draft"),
                Fit("anything", 54, "photoreal for little"),
                Fit("cheapest", 51, "cheap, and photoreal"),
                Fit("commercial_licence", 57, "Apache-2.0 weights"),
                Fit("chinese_text", 51, "signs and lettering in Chinese"),
                Fit("text_in_picture", 51, "short lettering"),
                Fit("exact_seed", 54, "runs on Civitai's sdcpp with real seeds"),
                Fit("checkpoint", 51, "takes a Z-Image checkpoint as model"),
                Fit("lora", 51, "takes LoRAs made for Z-Image"),
                Fit("mature", 51, "only Civitai's own moderation applies"),
            ),
            measured=catalogue(create=(59, 274, 0.971)),
            best_for="fast photoreal drafts, shop signs and lettering in Chinese and English",
            avoid_for="negative prompts (they do nothing at guidance 1), extreme stylisation",
            seconds="3-8",
            notes=(
                "The maker's 9 steps are 8 passes; more steps cost more and bring little.",
                "Keep to euler with simple or discrete.",
            ),
        ),
        Variant(
            "base",
            (Way(Base, high={"steps": 28}), Way(ComfyBase, high={"steps": 28})),
            fits=(
                Fit("commercial_licence", 51, "Apache-2.0 weights, and negative prompts work"),
                Fit("lora", 48, "takes LoRAs made for Z-Image base"),
                Fit("exact_seed", 51, "runs on Civitai's sdcpp with real seeds"),
            ),
            measured=catalogue(create=(72, 506, 0.98)),
            best_for="negative prompts, variety between seeds, LoRAs trained on base",
            avoid_for="quick drafts",
            seconds="8-20",
            notes=("Guidance 3 to 5; the maker recommends 28 to 50 steps.",),
        ),
    ),
    quality={"draft": "turbo", "standard": "turbo", "high": "base"},
    best_for=("fast photos", "skin and light", "Chinese and English lettering"),
    avoid_for=("edits and variants: it only creates", "extreme stylisation"),
    prompt=(
        "Plain sentences, about 60 to 120 words, the vital things first. For the feel of a photo "
        'name what a lens would see: "skin texture", "film grain". Quote text that must be '
        "readable. Negatives work on base only."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1184x880, 3:2 1248x832, 16:9 1392x752, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"zimage", "zimageturbo", "zimagebase"}),
    mature="civitai",
    cautions=(
        *sdcpp_cautions(),
        DISTORTING,
        Caution("gives noise", "scheduler", ("karras", "exponential"), ("turbo",)),
        Caution("is poor", "scheduler", ("karras", "exponential"), ("base",)),
    ),
    licence="Apache-2.0",
    notes=("Near 1 megapixel is safest; up to 2 megapixels is fine.", TWIN),
    conflicts=(
        "Length of the prompt: one source sees attention fade after 75 tokens, the maker's team "
        "recommends long ones. Taken: medium length with the vital things first.",
        "LoRA ecosystem: the recipe page writes zImage, the site zimageturbo and zimagebase. All "
        "are taken; copy the AIR that the site gives.",
    ),
    sources=(
        "recipe page zimage (August 2026)",
        "published document, forms ZImage*",
        "Z-Image model card",
        "civitai/civitai generator source, August 2026",
    ),
)
