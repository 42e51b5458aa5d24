"""z-image: Alibaba Tongyi-MAI's 6B model; turbo is the fastest good picture, base the pliable one.

Wire forms: sdcpp zImage turbo and base, create only.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from civitai_skill.engines.cautions import DISTORTING, schedules, sdcpp_cautions
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.needs import Fit
from civitai_skill.engines.wire import (
    ABSENT,
    ControlNet,
    Guidance30,
    LongText,
    ModelAir,
    Quantity12,
    Sdcpp,
    Sized,
    Steps150,
)


class ZImage(Sdcpp, Sized):
    """What both forms share."""

    ecosystem: Literal["zImage"] = "zImage"
    operation: Literal["createImage"] = "createImage"
    prompt: LongText
    negative_prompt: LongText | None = None
    quantity: Quantity12 = 1
    model: ModelAir = Field(ABSENT, alias="diffuserModel")
    control_nets: list[ControlNet] = []


class Turbo(ZImage):
    model_name: Literal["turbo"] = Field("turbo", alias="model")
    steps: Steps150 = 9
    guidance: Guidance30 = Field(1.0, alias="cfgScale")

    def buzz(self) -> float | None:
        """8 for 1024 x 1024 at 9 steps."""
        return 8 * self.area() / 1024**2 * self.steps / 9 * self.quantity


class Base(ZImage):
    model_name: Literal["base"] = Field("base", alias="model")
    steps: Steps150 = 20
    guidance: Guidance30 = Field(4.0, alias="cfgScale")

    def buzz(self) -> float | None:
        """20 for 1024 x 1024 at 20 steps."""
        return 20 * self.area() / 1024**2 * self.steps / 20 * self.quantity


FAMILY = Family(
    name="z-image",
    title="Z-Image",
    maker="Alibaba Tongyi-MAI",
    variants=(
        Variant(
            "turbo",
            (Way(Turbo),),
            fits=(
                Fit("fastest", 1, "3 to 8 seconds"),
                Fit("portrait", 2, "real skin texture in seconds"),
                Fit("photo", 2, "real skin and light in seconds"),
                Fit("draft", 3, "a finished-looking draft in seconds"),
                Fit("anything", 3, "photoreal in seconds"),
                Fit("cheapest", 4, "cheap, and photoreal"),
                Fit("commercial_licence", 2, "Apache-2.0 weights"),
                Fit("chinese_text", 4, "signs and lettering in Chinese"),
                Fit("text_in_picture", 4, "short lettering in seconds"),
                Fit("exact_seed", 3, "runs on Civitai's sdcpp with real seeds"),
                Fit("checkpoint", 4, "takes a Z-Image checkpoint as model"),
                Fit("lora", 4, "takes LoRAs made for Z-Image"),
                Fit("mature", 4, "only Civitai's own moderation applies"),
            ),
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
            (Way(Base, high={"steps": 28}),),
            fits=(
                Fit("commercial_licence", 4, "Apache-2.0 weights, and negative prompts work"),
                Fit("lora", 5, "takes LoRAs made for Z-Image base"),
                Fit("exact_seed", 4, "runs on Civitai's sdcpp with real seeds"),
            ),
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
    sizes={
        "1:1": (1024, 1024),
        "4:3": (1184, 880),
        "3:2": (1248, 832),
        "16:9": (1392, 752),
        "21:9": (1568, 672),
    },
    multiple=16,
    ecosystems=frozenset({"zimage", "zimageturbo", "zimagebase"}),
    mature="civitai",
    cautions=(
        *sdcpp_cautions(),
        DISTORTING,
        schedules("gives noise", "karras", "exponential", variants=("turbo",)),
        schedules("is poor", "karras", "exponential", variants=("base",)),
    ),
    licence="Apache-2.0",
    notes=("Near 1 megapixel is safest; up to 2 megapixels is fine.",),
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
