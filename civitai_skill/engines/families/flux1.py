"""flux1: Black Forest Labs FLUX.1, for its large stock of LoRAs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import (
    DISTORTING,
    ComfyCheckpoint,
    Unpublished,
    edits,
    leaf,
    sdcpp_cautions,
)
from civitai_skill.engines.family import Caution, Family, Fit, Outside, Values, Variant, Way
from civitai_skill.engines.sizing import by_ratio
from civitai_skill.schema.types import Number, Text, Whole


class Flux1(forms.Wire):
    ecosystem: Literal["flux1"] = "flux1"


class FluxComfy(ComfyCheckpoint, Flux1):
    """The comfy route: any size, cheap, no negative prompt."""

    prompt_syntax: ClassVar[forms.Syntax] = "words"
    steps: forms.Steps150 = 20
    guidance: forms.Guidance30 = Field(3.5, alias="cfgScale")

    buzz = forms.rate(8)


class ComfyEdit(Unpublished, FluxComfy, forms.Edit):
    """For bodies that were made for sdcpp: a variant of the first source, at strength 0.7."""

    looks_at = 1

    def unused(self) -> int:
        """How many sources it passes over."""
        return len(self.images) - 1

    def buzz(self) -> float | None:
        return None


class FluxSdcpp(forms.Sdcpp, Flux1, forms.Sized):
    """The sdcpp route: 832 to 1216 pixels a side, the only one that edits.

    The document requires vaeModel, clipLModel and t5XXLModel; the recipe page's own samples leave
    them out, and the service fills them in.
    """

    width: Annotated[Whole, Field(ge=832, le=1216)] = 1024
    height: Annotated[Whole, Field(ge=832, le=1216)] = 1024
    prompt: Annotated[Text, Field(max_length=1000)]
    negative_prompt: Text | None = None
    steps: Annotated[Whole, Field(ge=4, le=50)] = 28
    guidance: Annotated[Number, Field(ge=1, le=20)] = Field(3.5, alias="cfgScale")
    quantity: forms.Quantity4 = 1
    model: forms.ModelAir = Field(alias="diffuserModel")
    vae: forms.VaeAir = Field(forms.ABSENT, alias="vaeModel")
    clip_l_model: forms.PartAir = forms.ABSENT
    t5_xxl_model: forms.PartAir = Field(forms.ABSENT, alias="t5XXLModel")

    def buzz(self) -> float | None:
        """0.5 a step; each source of an edit adds one whole price; guidance 1 halves it."""
        doubled = 1 if self.guidance == 1 else 2
        sources = len(getattr(self, "images", ()))
        return 0.5 * self.steps * (sources + 1) * doubled * self.quantity


ComfyCreate = leaf(FluxComfy, forms.Create)
ComfyVariant = leaf(FluxComfy, forms.ComfyVariantOf)
SdcppCreate = leaf(FluxSdcpp, forms.Create)
SdcppEdit = leaf(FluxSdcpp, edits(0, 2))
SdcppVariant = leaf(FluxSdcpp, forms.VariantOf)


def _ways(version: int, comfy: Values, sdcpp: Values, high: Values) -> tuple[Way, ...]:
    """comfy first: the same model for less than a third of the price."""
    checkpoint = {"model": f"urn:air:flux1:checkpoint:civitai:618692@{version}", **comfy}
    diffuser = {"model": f"urn:air:flux1:diffuser:civitai:618692@{version}", **sdcpp}
    return (
        Way(ComfyCreate, default=checkpoint, high=high),
        Way(ComfyVariant, default=checkpoint, high=high),
        Way(SdcppCreate, default=diffuser),
        Way(SdcppEdit, default=diffuser),
        Way(SdcppVariant, default=diffuser),
        Way(ComfyEdit, default=checkpoint, high=high),
    )


_FEW = {"steps": 4, "guidance": 1}
_NOISE = "gave a third party noise"

FAMILY = Family(
    name="flux1",
    title="FLUX.1",
    maker="Black Forest Labs",
    suits="FLUX.1 LoRAs",
    variants=(
        Variant(
            "dev",
            _ways(691639, {}, {}, {"steps": 30}),
            fits=(
                Fit("lora", 57, "takes LoRAs made for FLUX.1, by the cheap comfy route"),
                Fit("checkpoint", 54, "takes a FLUX.1 checkpoint as model"),
                Fit("keep_character", 48, "with a FLUX.1 LoRA of the character"),
                Fit("mature", 51, "only Civitai's own moderation applies"),
            ),
            best_for="FLUX.1 LoRAs, photoreal scenes, short legible text",
            avoid_for="new work without a LoRA: FLUX.2 klein is better and cheaper",
            seconds="10-30",
            aliases=("flux-dev",),
        ),
        Variant(
            "schnell",
            _ways(699279, _FEW, _FEW, {}),
            fits=(
                Fit("cheapest", 54, "4 steps by the cheap comfy route"),
                Fit("draft", 48, "4 steps by the cheap comfy route"),
                Fit("fastest", 51, "4 steps"),
            ),
            best_for="a quick look before dev",
            avoid_for="final pictures; LoRAs that were trained on dev",
            notes=("Made for 4 steps at guidance 1.",),
            aliases=("flux-schnell",),
        ),
        Variant(
            "krea",
            _ways(2068000, {}, {}, {"steps": 30}),
            fits=(
                Fit("portrait", 54, "a film look without gloss"),
                Fit("photo", 54, "a film look without gloss"),
            ),
            best_for="photos without the glossy look of dev",
            seconds="10-30",
            aliases=("krea-dev", "flux-krea"),
        ),
    ),
    quality={"draft": "schnell", "standard": "dev", "high": "dev"},
    own_checkpoint="dev",
    best_for=("your own FLUX.1 LoRA", "photoreal scenes", "short legible text"),
    avoid_for=("negative prompts on comfy", "new work without a LoRA", "white backgrounds on dev"),
    prompt=(
        "Sentences, 30 to 80 words: the subject first, then light and lens by name, text in "
        "quotes. Weights such as (word:1.3) are ignored. Say what you want, not what you don't."
    ),
    # Within sdcpp's range where the ratio allows it; 16:9 and 21:9 are comfy's alone.
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1216x832, 16:9 1344x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"flux1", "fluxkrea"}),
    mature="civitai",
    cautions=(
        *sdcpp_cautions(),
        DISTORTING,
        Caution("by comfy an edit looks at its first source only", "unused", Outside(high=0)),
        Caution(f"fewer than 20 steps {_NOISE}", "steps", Outside(20), ("dev",)),
        Caution(f"guidance outside 1 to 4.5 {_NOISE}", "guidance", Outside(1, 4.5), ("dev",)),
    ),
    licence="dev and krea non-commercial weights; schnell Apache-2.0",
    notes=(
        "Edits go by sdcpp (2 sources), which also takes a negative prompt; it costs 28, comfy 8. "
        "An edit by comfy is a variant of its first source.",
        "Samplers are spelt otherwise on sdcpp and comfy; euler with simple is safe on both.",
    ),
    conflicts=(
        "sdcpp: the document requires vaeModel, clipLModel and t5XXLModel, the recipe page only "
        "diffuserModel. Taken: only the diffuser is sent unless you name the others.",
    ),
    sources=(
        "recipe page flux1 (August 2026)",
        "published document, forms Flux1SdCpp* and ComfyFlux1*",
        "Black Forest Labs prompting guide",
        "civitai/civitai generator source, August 2026",
    ),
)
