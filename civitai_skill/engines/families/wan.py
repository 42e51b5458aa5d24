"""wan: Alibaba Wan's pictures, through fal; the cheapest hosted pictures, and Wan LoRAs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import catalogue
from civitai_skill.engines.family import Caution, Family, Fit, Outside, Variant, Way, ways
from civitai_skill.engines.forms import FAL_SIZES, Create, Edit, LoraList, Seed32, Wire, flat
from civitai_skill.errors import Problem
from civitai_skill.schema.problems import nearest_name
from civitai_skill.schema.types import Flag, Number, Picture, Text, Whole


class Wan(Wire):
    """What the forms share. The document lists no sizes; the recipe page names fal's."""

    sizing = FAL_SIZES
    engine: Literal["wan"] = "wan"
    provider: Literal["fal"] = "fal"
    prompt: Annotated[Text, Field(min_length=1)]
    negative_prompt: Text | None = None
    guidance: Annotated[Number, Field(ge=1, le=10)] = Field(3.5, alias="guidanceScale")
    seed: Seed32 = None
    quantity: Annotated[Whole, Field(ge=1, le=10)] = 1
    image_size: Text = "square_hd"
    enable_prompt_expansion: Flag = False
    enable_safety_checker: Flag = False
    loras: LoraList = []

    def objection(self) -> Problem | None:
        """The recipe page: these names and no other."""
        names = list(FAL_SIZES.sizes)
        if self.image_size in names:
            return None
        accepted, near = "one of " + ", ".join(names), nearest_name(self.image_size, names)
        return Problem("options.imageSize", self.image_size, accepted, near, "no such size")


class Wan22(Wan):
    version: Literal["v2.2"] = "v2.2"
    steps: Annotated[Whole, Field(ge=2, le=40)] = 27
    acceleration: Literal["none", "fast", "faster"] = "none"

    def buzz(self) -> float | None:
        """150 a picture, twice that with LoRAs."""
        return 150.0 * self.quantity * (2 if self.loras else 1)


class Wan22Small(Wan):
    version: Literal["v2.2-5b"] = "v2.2-5b"
    steps: Annotated[Whole, Field(ge=2, le=50)] = 40
    shift: Annotated[Number, Field(ge=1, le=10)] = 2.0

    buzz = flat(100)


class Wan25(Wan):
    version: Literal["v2.5"] = "v2.5"

    buzz = flat(32.5)


class Wan25Create(Wan25):
    implied = frozenset({"operation"})
    operation: Literal["text-to-image"] = "text-to-image"


class Wan25Edit(Wan25):
    operation: Literal["image-to-image"] = "image-to-image"
    images: list[Picture] = []


class Wan27(Wan):
    version: Literal["v2.7"] = "v2.7"
    use_pro: Flag = False

    def buzz(self) -> float | None:
        """39 a picture, 97.5 as pro."""
        return (97.5 if self.use_pro else 39.0) * self.quantity


class Wan27Create(Wan27, Create):
    implied = frozenset({"operation"})


class Wan27Edit(Wan27, Edit):
    images: list[Picture]


FAMILY = Family(
    name="wan",
    title="Wan",
    maker="Alibaba",
    suits="cheap hosted pictures and edits",
    variants=(
        Variant(
            "v2.7",
            ways(Wan27Create, Wan27Edit, high={"use_pro": True}),
            fits=(
                Fit(
                    "edit",
                    58,
                    "hosted edits for 39, nearly all of which succeed within 25 seconds",
                    pictures=1,
                ),
                Fit("keep_character", 52, "up to 4 sources for 39", pictures=1),
                Fit("concept_art", 45, "cinematic scenes for 39"),
            ),
            best_for="edits with up to 4 sources",
            avoid_for="LoRAs and guidance: it ignores both",
            seconds="15-40",
            measured=catalogue(edit=(16, 25, 0.998)),
            aliases=("2.7",),
            notes=(
                "arena.ai's edit board, April 2026: 1300.",
                "quality high is pro (options.usePro): 97.5 instead of 39.",
            ),
        ),
        Variant(
            "v2.5",
            ways(Wan25Create, Wan25Edit),
            fits=(
                Fit("concept_art", 48, "the cheapest hosted pictures from words"),
                Fit("photo", 42, "the cheapest hosted pictures from words"),
            ),
            best_for="the cheapest hosted pictures from words",
            avoid_for="LoRAs: it ignores them",
            seconds="15-40",
            aliases=("2.5",),
        ),
        Variant(
            "v2.2",
            (Way(Wan22, draft={"acceleration": "faster"}),),
            best_for="Wan 2.2 LoRAs",
            avoid_for="work without a LoRA: 150 a picture, 300 with one",
            seconds="15-40",
            aliases=("2.2",),
            notes=("options.acceleration faster takes 7 to 15 s.",),
        ),
        Variant(
            "v2.2-5b",
            (Way(Wan22Small),),
            best_for="LoRAs of the small Wan 2.2",
            avoid_for="low cost: v2.5 and v2.7 are cheaper",
            seconds="15-40",
            aliases=("2.2-5b", "5b"),
            notes=("About 100 a picture.",),
        ),
    ),
    quality={"draft": "v2.5", "standard": "v2.7", "high": "v2.7"},
    best_for=("cheap hosted edits", "cinematic pictures", "Wan LoRAs on v2.2"),
    avoid_for=("exact pixels", "text", "v2.2 without a LoRA"),
    prompt="Cinematic sentences with light and lens, 40 to 100 words.",
    cautions=(
        Caution("LoRAs have no effect", "loras", Outside(high=0), ("v2.5", "v2.7")),
        Caution("the recipe page takes 4 sources", "images", Outside(high=4), ("v2.7",)),
    ),
    licence="v2.2 Apache-2.0; the rest closed",
    notes=("Sizes are fal's six names; aspect_ratio chooses one.",),
    conflicts=(
        "The recipe page calls v2.2-5b the cheap one (100); v2.5 (32.5) and v2.7 (39) are cheaper.",
        "Sources of v2.7: 4 (recipe page), 5 (site), no limit (document).",
    ),
    sources=(
        "recipe page wan-image (August 2026)",
        "published document, forms Wan*",
        "the service's catalogue as a third party read it, 2026-08-31",
        "arena.ai, April 2026",
    ),
)
