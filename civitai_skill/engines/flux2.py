"""flux2: Black Forest Labs FLUX.2; klein is the default engine of this package.

Wire forms: engine flux2 (klein, dev, flex, pro, max; create and edit), sdcpp flux2Klein and
flux2Dev (create, edit, variant), comfy flux2Dev (create, edit).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.needs import CUT_OUT, ENLARGE, NO_MASK, Fit
from civitai_skill.engines.wire import (
    Comfy,
    LoraList,
    LoraMap,
    Sdcpp,
    SdcppSampler,
    SdcppSchedule,
    SdcppVariant,
    Seed,
    Sized512,
    Wire,
    started_megapixels,
)
from civitai_skill.scalars import Flag, Number, Text, Whole


class Flux2(Sized512):
    """What all flux2 forms share."""

    prompt: Annotated[Text, Field(max_length=1000)]
    seed: Seed = None
    quantity: Annotated[Whole, Field(ge=1, le=4)] = 1

    def sources(self) -> int:
        """How many source pictures the body carries."""
        return len(getattr(self, "images", ()))


class Create(Wire):
    operation: Literal["createImage"] = "createImage"


class Edit(Wire):
    operation: Literal["editImage"] = "editImage"
    images: list[Text] = []


class Edit2(Edit):
    images: Annotated[list[Text], Field(max_length=2)] = []


class Edit9(Edit):
    images: Annotated[list[Text], Field(max_length=9)] = []


class VariantOf(SdcppVariant):
    operation: Literal["createVariant"] = "createVariant"


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
        doubled = 1 if self.guidance == 1 else 2
        return step * self.steps * (self.sources() + 1) * doubled * self.quantity


class KleinHosted(Hosted, KleinKnobs):
    model_name: Literal["klein"] = Field("klein", alias="model")
    sampler: SdcppSampler | None = Field(None, alias="sampleMethod")
    scheduler: SdcppSchedule | None = Field(None, alias="schedule")
    loras: LoraMap = {}
    model_version: Literal["4b", "4b-base", "9b", "9b-base", "9b-kv"] = "4b"  # type: ignore[assignment]


class KleinCreate(KleinHosted, Create):
    pass


class KleinEdit(KleinHosted, Edit2):
    pass


class KleinSdcpp(Sdcpp, KleinKnobs):
    ecosystem: Literal["flux2Klein"] = "flux2Klein"


class KleinSdcppCreate(KleinSdcpp, Create):
    pass


class KleinSdcppEdit(KleinSdcpp, Edit2):
    pass


class KleinSdcppVariant(KleinSdcpp, VariantOf):
    pass


# -- dev, flex, pro, max ---------------------------------------------------------------
class DevKnobs(Hosted):
    model_name: Literal["dev"] = Field("dev", alias="model")
    guidance: Annotated[Number, Field(ge=0, le=20)] = Field(2.5, alias="guidanceScale")
    steps: Annotated[Whole, Field(ge=4, le=50)] = Field(28, alias="numInferenceSteps")
    loras: LoraList = []

    def buzz(self) -> float | None:
        """20 for each started megapixel (1024 x 1024 counts as two), doubled with LoRAs."""
        doubled = 2 if self.loras else 1
        return 20.0 * started_megapixels(self.area()) * doubled * self.quantity


class DevCreate(DevKnobs, Create):
    pass


class DevEdit(DevKnobs, Edit):
    pass


class FlexKnobs(Hosted):
    model_name: Literal["flex"] = Field("flex", alias="model")
    guidance: Annotated[Number, Field(ge=1.5, le=100)] = Field(3.5, alias="guidanceScale")
    steps: Annotated[Whole, Field(ge=2, le=50)] = Field(28, alias="numInferenceSteps")


class FlexCreate(FlexKnobs, Create):
    pass


class FlexEdit(FlexKnobs, Edit):
    pass


class ProCreate(Hosted, Create):
    model_name: Literal["pro"] = Field("pro", alias="model")


class ProEdit(Hosted, Edit):
    model_name: Literal["pro"] = Field("pro", alias="model")


class MaxCreate(Hosted, Create):
    model_name: Literal["max"] = Field("max", alias="model")


class MaxEdit(Hosted, Edit):
    model_name: Literal["max"] = Field("max", alias="model")


class OpenDev(Flux2):
    """flux2 dev on Civitai's own backends."""

    ecosystem: Literal["flux2Dev"] = "flux2Dev"
    guidance: Annotated[Number, Field(ge=1, le=20)] = Field(1.0, alias="cfgScale")
    steps: Annotated[Whole, Field(ge=4, le=50)] = 20
    negative_prompt: Text | None = None


class DevSdcppCreate(Sdcpp, OpenDev, Create):
    pass


class DevSdcppEdit(Sdcpp, OpenDev, Edit2):
    pass


class DevSdcppVariant(Sdcpp, OpenDev, VariantOf):
    pass


class DevComfyCreate(Comfy, OpenDev, Create):
    pass


class DevComfyEdit(Comfy, OpenDev, Edit9):
    pass


# -- variants --------------------------------------------------------------------------
def _klein(version: str, steps: tuple[int, int, int], guidance: float) -> tuple[Way, ...]:
    forms: list[type[Wire]] = [KleinCreate, KleinEdit]
    if version != "9b-kv":
        forms += [KleinSdcppCreate, KleinSdcppEdit, KleinSdcppVariant]
    draft, standard, high = ({"steps": n, "guidance": guidance} for n in steps)
    fixed = {"model_version": version}
    return tuple(Way(f, fixed=fixed, draft=draft, standard=standard, high=high) for f in forms)


def _hosted(*forms: type[Wire]) -> tuple[Way, ...]:
    return tuple(Way(form) for form in forms)


FAMILY = Family(
    name="flux2",
    title="FLUX.2",
    maker="Black Forest Labs",
    variants=(
        Variant(
            "klein-4b",
            _klein("4b", (4, 8, 12), 1),
            fits=(
                Fit(
                    "anything",
                    1,
                    "nothing else is as cheap and as able",
                ),
                Fit("draft", 1, "4 steps are enough to judge a composition"),
                Fit("cheapest", 1, "the lowest documented price of all engines"),
                Fit("fastest", 2, "5 to 15 seconds"),
                Fit("transparent_background", 1, CUT_OUT),
                Fit("commercial_licence", 1, "Apache-2.0 weights"),
                Fit("photo", 4, "believable light for the price of a draft"),
                Fit("illustration", 4, "clean shapes and interface art"),
                Fit("edit", 4, "the cheapest edit there is", sources=1),
                Fit("print_4k", 7, ENLARGE),
                Fit("restyle", 3, "a variant of the source", {"strength": 0.6}, 1),
                Fit("lora", 3, "takes LoRAs made for FLUX.2 klein"),
                Fit("mature", 4, "only Civitai's own moderation applies"),
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
                Fit("portrait", 1, "skin and light at a draft's price"),
                Fit("photo", 1, "the best photo for little Buzz"),
                Fit(
                    "edit",
                    1,
                    "keeps what the order does not name",
                    sources=1,
                ),
                Fit("inpaint", 1, NO_MASK, sources=1),
                Fit("product", 2, "for trying out a product shot before paying for pro"),
                Fit("anything", 2, "the keeper after drafts with klein-4b"),
                Fit("print_4k", 6, ENLARGE),
                Fit("keep_character", 4, "keeps a face over one or two edits", sources=1),
                Fit("several_references", 4, "two sources at the lowest price", sources=2),
                Fit("illustration", 3, "clean shapes, and it follows a described style"),
                Fit("lora", 3, "takes LoRAs made for FLUX.2 klein"),
                Fit("mature", 4, "only Civitai's own moderation applies"),
            ),
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
            ),
            fits=(
                Fit("concept_art", 1, "follows long descriptions of mood, material and light"),
                Fit("illustration", 2, "follows a described style closely"),
                Fit("lora", 3, "takes LoRAs made for FLUX.2"),
                Fit("several_references", 5, "many references, and FLUX.2 LoRAs", sources=2),
            ),
            best_for="FLUX.2 LoRAs, many reference pictures (9 by comfy), concept art",
            avoid_for="drafts: 1024x1024 bills as two megapixels",
            seconds="10-30",
            notes=("1008x992 bills one megapixel, half of what 1024x1024 costs.",),
        ),
        Variant(
            "flex",
            _hosted(FlexCreate, FlexEdit),
            fits=(
                Fit("logo", 5, "the maker's typography specialist"),
                Fit("text_in_picture", 5, "the maker's typography specialist"),
            ),
            best_for="typography and fine control of guidance and steps",
            seconds="10-30",
        ),
        Variant(
            "pro",
            _hosted(ProCreate, ProEdit),
            fits=(
                Fit("product", 1, "clean light, exact hex colours, label text"),
                Fit("photo", 6, "production quality, at a price that is not documented"),
            ),
            best_for="product shots, exact hex colours, production work; up to 8 references",
            seconds="15-60",
            notes=("No steps, guidance or LoRA: the maker sets them.",),
        ),
        Variant(
            "max",
            _hosted(MaxCreate, MaxEdit),
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
    sizes={
        "1:1": (1024, 1024),
        "4:3": (1184, 880),
        "3:2": (1248, 832),
        "16:9": (1392, 752),
        "21:9": (1568, 672),
    },
    multiple=16,
    ecosystems=frozenset(
        {
            "flux2",
            "flux2klein",
            "flux2klein4b",
            "flux2klein4bbase",
            "flux2klein9b",
            "flux2klein9bbase",
            "flux2klein9bkv",
        }
    ),
    mature="civitai",
    licence="klein 4b Apache-2.0; klein 9b and dev non-commercial weights; flex, pro, max closed",
    notes=(
        "Names of the knobs differ inside the family; the wrong one is refused by the service.",
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
