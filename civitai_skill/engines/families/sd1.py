"""sd1: Stable Diffusion 1.5 and its merges; the cheapest pictures there are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import (
    ONLY_LCM,
    Checkpoint,
    ComfyCheckpoint,
    SdcppCheckpoint,
    leaf,
)
from civitai_skill.engines.family import Family, Fit, Variant, ways
from civitai_skill.engines.forms import ComfyVariantOf, Create, LongText, VariantOf, rate
from civitai_skill.engines.sizing import by_ratio
from civitai_skill.schema.types import Whole


class Sd1(Checkpoint):
    ecosystem: Literal["sd1"] = "sd1"
    negative_prompt: LongText | None = None
    clip_skip: Whole = 2


class Sd1Sdcpp(SdcppCheckpoint, Sd1):
    width: Annotated[Whole, Field(ge=64, le=2048)] = 512
    height: Annotated[Whole, Field(ge=64, le=2048)] = 512

    buzz = rate(4, 512)


class Sd1Comfy(ComfyCheckpoint, Sd1):
    width: Annotated[Whole, Field(ge=64, le=1024)] = 512
    height: Annotated[Whole, Field(ge=64, le=1024)] = 512

    buzz = rate(4, 512, 30)


_FORMS = (
    leaf(Sd1Sdcpp, Create),
    leaf(Sd1Sdcpp, VariantOf),
    leaf(Sd1Comfy, Create),
    leaf(Sd1Comfy, ComfyVariantOf),
)


_MODEL = {"model": "urn:air:sd1:checkpoint:civitai:4384@128713"}

FAMILY = Family(
    name="sd1",
    title="Stable Diffusion 1.5",
    maker="Runway, CompVis and Stability AI",
    suits="SD 1.5 LoRAs",
    variants=(
        Variant(
            "base",
            (
                *ways(*_FORMS[:2], default=_MODEL, high={"steps": 30}),
                *ways(*_FORMS[2:], default=_MODEL, draft={"steps": 20}),
            ),
            fits=(
                Fit("cheapest", 57, "cheap because it is small: 512x512"),
                Fit("draft", 51, "small and quick: 512x512"),
                Fit("fastest", 54, "the smallest model; its time was not measured"),
                Fit("pixel_art", 57, "retro styles and pixel LoRAs"),
                Fit("checkpoint", 57, "takes any SD 1.x checkpoint as model"),
                Fit("exact_seed", 57, "real seeds; pin model, sampler and size as well"),
                Fit("lora", 45, "takes LoRAs made for SD 1.x"),
                Fit("restyle", 57, "a small variant of the source", {"strength": 0.6}, 1),
                Fit("mature", 57, "only Civitai's own moderation applies"),
            ),
            best_for="the cheapest pictures, old LoRAs, pixel and retro styles",
            avoid_for="anatomy, text, anything above 768 pixels",
            seconds="3-10",
            notes=("Any SD 1.x checkpoint goes in `model`; this one is only the default.",),
        ),
    ),
    best_for=("drafts for 4 Buzz", "SD 1.x LoRAs and embeddings", "pixel and retro styles"),
    avoid_for=("hands and anatomy", "readable text", "large pictures: upscale afterwards"),
    prompt=(
        "Comma-separated tags, quality words first (masterpiece, best quality), then subject, "
        "scene and light; weights up to (word:1.5). A long negative prompt is essential: worst "
        "quality, low quality, blurry, bad anatomy."
    ),
    sizes=by_ratio("1:1 512x512, 4:3 640x480, 3:2 768x512, 16:9 768x432"),
    multiple=16,
    ecosystems=frozenset({"sd1"}),
    mature="civitai",
    cautions=(ONLY_LCM,),
    licence="CreativeML OpenRAIL-M; merges have their own terms",
    notes=(
        "Guidance 7 to 8. embeddings and uCache are sdcpp's, control_nets comfy's (1024 at most).",
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
