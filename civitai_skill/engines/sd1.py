"""sd1: Stable Diffusion 1.5 and its merges; the cheapest pictures there are.

Wire forms: sdcpp sd1 and comfy sd1, create and variant each.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.cautions import ONLY_LCM
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.needs import Fit
from civitai_skill.engines.wire import (
    Comfy,
    ComfyVariant,
    ControlNet,
    EmbeddingAirs,
    Guidance30,
    LongText,
    ModelAir,
    Quantity12,
    Sdcpp,
    SdcppVariant,
    Sized,
    Steps150,
    VaeAir,
)
from civitai_skill.schema.types import Whole


class Sd1(Sized):
    """What the four forms share."""

    ecosystem: Literal["sd1"] = "sd1"
    prompt: LongText
    negative_prompt: LongText | None = None
    guidance: Guidance30 = Field(7.0, alias="cfgScale")
    quantity: Quantity12 = 1
    model: ModelAir
    vae_model: VaeAir | None = None
    clip_skip: Whole = 2


class Sd1Sdcpp(Sdcpp, Sd1):
    width: Annotated[Whole, Field(ge=64, le=2048)] = 512
    height: Annotated[Whole, Field(ge=64, le=2048)] = 512
    steps: Steps150 = 20
    embeddings: EmbeddingAirs = []
    u_cache: Literal["off", "normal"] | None = None

    def buzz(self) -> float | None:
        """4 for 512 x 512 at 20 steps."""
        return 4 * self.area() / 512**2 * self.steps / 20 * self.quantity


class SdcppCreate(Sd1Sdcpp):
    operation: Literal["createImage"] = "createImage"


class SdcppVariantOf(Sd1Sdcpp, SdcppVariant):
    operation: Literal["createVariant"] = "createVariant"


class Sd1Comfy(Comfy, Sd1):
    width: Annotated[Whole, Field(ge=64, le=1024)] = 512
    height: Annotated[Whole, Field(ge=64, le=1024)] = 512
    steps: Steps150 = 30
    control_nets: list[ControlNet] = []

    def buzz(self) -> float | None:
        """4 for 512 x 512 at 30 steps."""
        return 4 * self.area() / 512**2 * self.steps / 30 * self.quantity


class ComfyCreate(Sd1Comfy):
    operation: Literal["createImage"] = "createImage"


class ComfyVariantOf(Sd1Comfy, ComfyVariant):
    operation: Literal["createVariant"] = "createVariant"


_MODEL = {"model": "urn:air:sd1:checkpoint:civitai:4384@128713"}

FAMILY = Family(
    name="sd1",
    title="Stable Diffusion 1.5",
    maker="Runway, CompVis and Stability AI",
    variants=(
        Variant(
            "base",
            (
                Way(SdcppCreate, default=_MODEL, high={"steps": 30}),
                Way(SdcppVariantOf, default=_MODEL, high={"steps": 30}),
                Way(ComfyCreate, default=_MODEL, draft={"steps": 20}),
                Way(ComfyVariantOf, default=_MODEL, draft={"steps": 20}),
            ),
            fits=(
                Fit("cheapest", 2, "cheap because it is small: 512x512"),
                Fit("draft", 4, "small and quick: 512x512"),
                Fit("fastest", 3, "3 to 10 seconds"),
                Fit("pixel_art", 2, "retro styles and pixel LoRAs"),
                Fit("checkpoint", 2, "takes any SD 1.x checkpoint as model"),
                Fit("exact_seed", 2, "real seeds; pin model, sampler and size as well"),
                Fit("lora", 6, "takes LoRAs made for SD 1.x"),
                Fit("restyle", 2, "a small variant of the source", {"strength": 0.6}, 1),
                Fit("mature", 2, "only Civitai's own moderation applies"),
            ),
            best_for="the cheapest pictures, old LoRAs, pixel and retro styles",
            avoid_for="anatomy, text, anything above 768 pixels",
            seconds="3-10",
            notes=("Any SD 1.x checkpoint goes in `model`; this one is only the default.",),
        ),
    ),
    quality={"draft": "base", "standard": "base", "high": "base"},
    best_for=("drafts for 4 Buzz", "SD 1.x LoRAs and embeddings", "pixel and retro styles"),
    avoid_for=("hands and anatomy", "readable text", "large pictures: upscale afterwards"),
    prompt=(
        "Comma-separated tags, quality words first (masterpiece, best quality), then subject, "
        "scene and light; weights up to (word:1.5). A long negative prompt is essential: worst "
        "quality, low quality, blurry, bad anatomy."
    ),
    sizes={"1:1": (512, 512), "4:3": (640, 480), "3:2": (768, 512), "16:9": (768, 432)},
    multiple=16,
    ecosystems=frozenset({"sd1"}),
    mature="civitai",
    cautions=(ONLY_LCM,),
    licence="CreativeML OpenRAIL-M; merges have their own terms",
    notes=(
        "Guidance 7 to 8. embeddings and uCache are sdcpp's, controlNets comfy's (1024 at most).",
        "Far above 768 pixels the subject is drawn twice.",
    ),
    conflicts=(
        "clipSkip: the recipe page says -1, the document 2. Taken: 2, which most merges want.",
        "The default checkpoint has two names: Analog Madness (recipe page), DreamShaper (site).",
    ),
    sources=(
        "recipe page sd1 (August 2026)",
        "published document, forms Sd1* and ComfySd1*",
        "civitai/civitai generator source, August 2026",
    ),
)
