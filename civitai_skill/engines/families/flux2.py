"""flux2: Black Forest Labs FLUX.2; klein is the default engine of this package."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import (
    NO_MASK,
    Unpublished,
    catalogue,
    edits,
    leaf,
    sdcpp_cautions,
)
from civitai_skill.engines.family import Family, Fit, Variant, Way, ways
from civitai_skill.engines.sizing import by_ratio
from civitai_skill.schema.types import Flag, Number, Text, Whole


class Flux2(forms.Sized512):
    prompt: Annotated[Text, Field(max_length=1000)]
    seed: forms.Seed = None
    quantity: forms.Quantity4 = 1


class Hosted(Flux2):
    """The maker's own endpoint."""

    engine: Literal["flux2"] = "flux2"
    enable_prompt_expansion: Flag = False


# -- klein -----------------------------------------------------------------------------
class KleinKnobs(Flux2):
    guidance: Annotated[Number, Field(ge=1, le=20)] = Field(5.0, alias="cfgScale")
    steps: Annotated[Whole, Field(ge=4, le=50)] = 20
    negative_prompt: Text | None = None
    model_version: Literal["4b", "4b-base", "9b", "9b-base"] = "4b"

    def buzz(self) -> float | None:
        """0.3 (4b) or 0.5 (9b) a step; each source adds one whole price; guidance 1 halves it."""
        step = 0.3 if self.model_version.startswith("4b") else 0.5
        doubled, sources = 1 if self.guidance == 1 else 2, len(getattr(self, "images", ()))
        return step * self.steps * (sources + 1) * doubled * self.quantity


class KleinHosted(Hosted, KleinKnobs):
    model_name: Literal["klein"] = Field("klein", alias="model")
    sampler: forms.SdcppSampler | None = Field(None, alias="sampleMethod")
    scheduler: forms.SdcppSchedule | None = Field(None, alias="schedule")
    loras: forms.LoraMap = {}
    model_version: Literal["4b", "4b-base", "9b", "9b-base", "9b-kv"] = "4b"  # type: ignore[assignment]


KleinCreate = leaf(KleinHosted, forms.Create)
KleinEdit = leaf(KleinHosted, edits(0, 2))


class KleinSdcpp(forms.Sdcpp, KleinKnobs):
    ecosystem: Literal["flux2Klein"] = "flux2Klein"


KleinSdcppCreate = leaf(KleinSdcpp, forms.Create)
KleinSdcppEdit = leaf(KleinSdcpp, edits(0, 2))
KleinSdcppVariant = leaf(KleinSdcpp, forms.VariantOf)


class KleinComfy(Unpublished, forms.Comfy, KleinKnobs):
    """The comfy route, whose limits and price nobody published."""

    ecosystem: Literal["flux2Klein"] = "flux2Klein"

    def buzz(self) -> float | None:
        return None


KleinComfyCreate = leaf(KleinComfy, forms.Create)
KleinComfyEdit = leaf(KleinComfy, edits(0, 2))
KleinComfyVariant = leaf(KleinComfy, forms.VariantOf)


# -- dev, flex, pro, max ---------------------------------------------------------------
class DevKnobs(Hosted):
    model_name: Literal["dev"] = Field("dev", alias="model")
    guidance: Annotated[Number, Field(ge=0, le=20)] = Field(2.5, alias="guidanceScale")
    steps: Annotated[Whole, Field(ge=4, le=50)] = Field(28, alias="numInferenceSteps")
    loras: forms.LoraList = []

    def buzz(self) -> float | None:
        """20 for each started megapixel (1024 x 1024 counts as two), doubled with LoRAs."""
        doubled = 2 if self.loras else 1
        megapixels = math.ceil(self.area() / 1_000_000)  # every started one is billed
        return 20 * megapixels * doubled * self.quantity


DevCreate = leaf(DevKnobs, forms.Create)
DevEdit = leaf(DevKnobs, forms.Edit)


class FlexKnobs(Hosted):
    model_name: Literal["flex"] = Field("flex", alias="model")
    guidance: Annotated[Number, Field(ge=1.5, le=100)] = Field(3.5, alias="guidanceScale")
    steps: Annotated[Whole, Field(ge=2, le=50)] = Field(28, alias="numInferenceSteps")


FlexCreate = leaf(FlexKnobs, forms.Create)
FlexEdit = leaf(FlexKnobs, forms.Edit)
ProCreate = leaf(Hosted, forms.Create, named="pro")
ProEdit = leaf(Hosted, forms.Edit, named="pro")
MaxCreate = leaf(Hosted, forms.Create, named="max")
MaxEdit = leaf(Hosted, forms.Edit, named="max")


class OpenDev(Flux2):
    """flux2 dev on Civitai's own backends."""

    ecosystem: Literal["flux2Dev"] = "flux2Dev"
    guidance: Annotated[Number, Field(ge=1, le=20)] = Field(1.0, alias="cfgScale")
    steps: Annotated[Whole, Field(ge=4, le=50)] = 20
    negative_prompt: Text | None = None


DevSdcppCreate = leaf(forms.Sdcpp, OpenDev, forms.Create)
DevSdcppEdit = leaf(forms.Sdcpp, OpenDev, edits(0, 2))
DevSdcppVariant = leaf(forms.Sdcpp, OpenDev, forms.VariantOf)
DevComfyCreate = leaf(forms.Comfy, OpenDev, forms.Create)
DevComfyEdit = leaf(forms.Comfy, OpenDev, edits(0, 9))
DevComfyVariant = leaf(Unpublished, forms.Comfy, OpenDev, forms.VariantOf)


def _klein(version: str, steps: tuple[int, int, int], guidance: float) -> tuple[Way, ...]:
    taken: list[type[forms.Wire]] = [KleinCreate, KleinEdit]
    if version != "9b-kv":
        taken += [KleinSdcppCreate, KleinSdcppEdit, KleinSdcppVariant]
        taken += [KleinComfyCreate, KleinComfyEdit, KleinComfyVariant]
    draft, standard, high = ({"steps": n, "guidance": guidance} for n in steps)
    fixed = {"model_version": version}
    return ways(*taken, fixed=fixed, draft=draft, standard=standard, high=high)


_PHONE = {"aspect_ratio": "9:19.5"}

FAMILY = Family(
    name="flux2",
    title="FLUX.2",
    maker="Black Forest Labs",
    suits="photos, drafts and edits",
    variants=(
        Variant(
            "klein-4b",
            _klein("4b", (4, 8, 12), 1),
            fits=(
                Fit("anything", 60, "nothing else is as cheap and as able"),
                Fit("draft", 60, "4 steps are enough to judge a composition"),
                Fit("cheapest", 60, "the lowest documented price of all engines"),
                Fit("fastest", 57, "8 steps of the smallest model; its time was not measured"),
                Fit("commercial_licence", 60, "Apache-2.0 weights"),
                Fit("photo", 51, "believable light for the price of a draft"),
                Fit("illustration", 51, "clean shapes and interface art"),
                Fit("edit", 51, "the cheapest edit there is", pictures=1),
                Fit("phone_tall", 60, "a phone's 9:19.5 to the pixel, 672x1456", _PHONE),
                Fit("restyle", 54, "a variant of the source", {"strength": 0.6}, 1),
                Fit("lora", 54, "takes LoRAs made for FLUX.2 klein"),
                Fit("mature", 51, "only Civitai's own moderation applies"),
            ),
            best_for="cheap drafts, photos, edits, interface art; the default of this package",
            avoid_for="dense text, final hero shots",
            seconds="5-15",
            aliases=("klein", "4b"),
            notes=("Weights are Apache-2.0.",),
        ),
        Variant(
            "klein-9b",
            _klein("9b", (8, 12, 12), 1),
            fits=(
                Fit("portrait", 60, "skin and light at a draft's price"),
                Fit("photo", 60, "the best photo for little Buzz"),
                Fit("edit", 60, "keeps what the order does not name", pictures=1),
                Fit("inpaint", 60, NO_MASK, pictures=1),
                Fit("product", 57, "for trying out a product shot before paying for pro"),
                Fit("anything", 57, "the keeper after drafts with klein-4b"),
                Fit("keep_character", 51, "keeps a face over one or two edits", pictures=1),
                Fit("several_references", 51, "two sources at the lowest price", pictures=2),
                Fit("illustration", 54, "clean shapes, and it follows a described style"),
                Fit("lora", 54, "takes LoRAs made for FLUX.2 klein"),
                Fit("mature", 51, "only Civitai's own moderation applies"),
            ),
            measured=catalogue(create=(65, 262, 0.997), edit=(91, 329, 0.971)),
            best_for="portraits, photos and edits worth keeping, still cheap",
            avoid_for="dense text",
            seconds="10-25",
            aliases=("9b",),
            notes=("Weights are licensed for non-commercial use.",),
        ),
        Variant(
            "klein-4b-base",
            _klein("4b-base", (20, 24, 30), 4),
            best_for="trying out a LoRA that was trained on the base model",
            avoid_for="direct use: the recipe page calls the base models unsuited to it",
            seconds="10-25",
            aliases=("4b-base",),
        ),
        Variant(
            "klein-9b-base",
            _klein("9b-base", (20, 24, 30), 4),
            measured=catalogue(create=(92, 303, 0.984)),
            best_for="trying out a LoRA that was trained on the base model",
            avoid_for="direct use: the recipe page calls the base models unsuited to it",
            seconds="15-40",
            aliases=("9b-base",),
        ),
        Variant(
            "klein-9b-kv",
            _klein("9b-kv", (8, 12, 12), 1),
            best_for="edits with klein 9b's look; only the maker's own route has it",
            seconds="10-25",
            aliases=("9b-kv",),
        ),
        Variant(
            "dev",
            (
                Way(DevCreate),
                Way(DevEdit),
                Way(DevSdcppVariant, default={"steps": 20, "guidance": 1}),
                Way(DevComfyCreate, default={"steps": 20, "guidance": 1}),
                Way(DevComfyEdit, default={"steps": 20, "guidance": 1}),
                Way(DevSdcppCreate, default={"steps": 20, "guidance": 1}),
                Way(DevSdcppEdit, default={"steps": 20, "guidance": 1}),
                Way(DevComfyVariant, default={"steps": 20, "guidance": 1}),
            ),
            fits=(
                Fit("concept_art", 60, "follows long descriptions of mood, material and light"),
                Fit("illustration", 57, "follows a described style closely"),
                Fit("lora", 54, "takes LoRAs made for FLUX.2"),
                Fit("several_references", 48, "many references, and FLUX.2 LoRAs", pictures=2),
            ),
            measured=catalogue(edit=(14, 37, 0.946)),
            best_for="FLUX.2 LoRAs, many reference pictures (9 by comfy), concept art",
            avoid_for="drafts: 1024x1024 bills as two megapixels",
            seconds="10-30",
            notes=("1008x992 bills one megapixel, half of what 1024x1024 costs.",),
        ),
        Variant(
            "flex",
            ways(FlexCreate, FlexEdit),
            fits=(
                Fit("logo", 48, "the maker's typography specialist"),
                Fit("text_in_picture", 48, "the maker's typography specialist"),
            ),
            best_for="typography and fine control of guidance and steps",
            seconds="10-30",
        ),
        Variant(
            "pro",
            ways(ProCreate, ProEdit),
            fits=(
                Fit("product", 60, "clean light, exact hex colours, label text"),
                Fit("photo", 45, "production quality, at a price that is not documented"),
            ),
            best_for="product shots, exact hex colours, production work; up to 8 references",
            seconds="15-60",
            notes=("No steps, guidance or LoRA: the maker sets them.",),
        ),
        Variant(
            "max",
            ways(MaxCreate, MaxEdit),
            best_for="the family's top quality; 8 to 10 references",
            seconds="15-60",
            notes=("No steps, guidance or LoRA: the maker sets them.",),
        ),
    ),
    quality={"draft": "klein-4b", "standard": "klein-4b", "high": "klein-9b"},
    best_for=("drafts for 2 to 3 Buzz", "photos", "edits that keep the rest", "product shots"),
    avoid_for=("dense text on klein", "transparency"),
    prompt=(
        "Flowing prose of 40 to 70 words: subject, action, scene, then light. klein never rewrites "
        'a prompt, so write it out. Call references "image 1", "image 2". Put a hex colour beside '
        'the object it belongs to ("walls in #2ECC71 green"). Quote text that must be readable, '
        "with font, size and place. pro and max also take JSON prompts, up to 300 words."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1184x880, 3:2 1248x832, 16:9 1392x752, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"flux2", "flux2klein"})
    | {f"flux2klein{size}" for size in ("4b", "4bbase", "9b", "9bbase", "9bkv")},
    mature="civitai",
    cautions=sdcpp_cautions("klein"),
    licence="klein 4b Apache-2.0; klein 9b and dev non-commercial weights; flex, pro, max closed",
    notes=(
        "Names of the knobs differ inside the family; the wrong one is refused by the service.",
        "klein by comfy has the 9b-kv checkpoint behind 9b, and other samplers; its price is not "
        "documented.",
        "Keep klein to euler with simple, discrete or sgm_uniform.",
        "dev, flex, pro and max pass a second content filter at the provider; klein does not.",
    ),
    conflicts=(
        "klein: the recipe page's default (20 steps, guidance 5) costs four to six times the "
        "maker's own setting (4 steps, guidance 1). Taken: 8 steps, guidance 1, between the maker "
        "and Civitai's site (12 steps, guidance 1).",
        "klein edits: the document allows 2 references, the model 4, the site 7. Taken: 2.",
        "Divisibility: one page says none and 8; 16 is safe on every route.",
        "flex: the recipe page calls it lower in fidelity than dev, the maker prices it above pro.",
    ),
    sources=(
        "recipe page flux2 (August 2026)",
        "published document, forms Flux2*",
        "FLUX.2 klein model card",
        "civitai/civitai generator source, August 2026",
    ),
)
