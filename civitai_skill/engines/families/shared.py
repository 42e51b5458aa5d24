"""What several families share: the forms of checkpoints, settings that spoil, reasons."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.family import Caution, Measured, samplers, schedules
from civitai_skill.engines.unpublished import Unpublished


# -- the forms of Civitai's own checkpoints, by its two backends ----------------------------------
class Checkpoint(forms.Sized):
    """A checkpoint as `model`."""

    prompt: forms.LongText
    guidance: forms.Guidance30 = Field(7.0, alias="cfgScale")
    quantity: forms.Quantity12 = 1
    model: forms.ModelAir
    vae: forms.VaeAir | None = Field(None, alias="vaeModel")


class SdcppCheckpoint(forms.Sdcpp, Checkpoint):
    prompt_syntax: ClassVar[forms.Syntax] = "weights"
    steps: forms.Steps150 = 20
    embeddings: forms.EmbeddingAirs = []
    u_cache: Literal["off", "normal"] | None = None


class ComfyCheckpoint(forms.Comfy, Checkpoint):
    prompt_syntax: ClassVar[forms.Syntax] = "comfy"
    steps: forms.Steps150 = 30
    control_nets: list[forms.ControlNet] = []


class ComfyModel(forms.Comfy, forms.Sized):
    """What the newer models on comfy share; another checkpoint of theirs is `diffusionModel`."""

    prompt: forms.LongText
    negative_prompt: forms.LongText | None = None
    quantity: forms.Quantity12 = 1
    model: forms.ModelAir | None = Field(None, alias="diffusionModel")


class ComfyUnscheduled(Unpublished, forms.ComfySampled, forms.Sized, forms.Create):
    """What the comfy forms of September 2026 without a schedule share (chroma, ponyV7, hidream)."""

    prompt: forms.LongText
    negative_prompt: forms.LongText | None = None
    steps: forms.Steps150 = 20
    guidance: forms.Guidance30 = Field(3.5, alias="cfgScale")
    quantity: forms.Quantity12 = 1
    control_nets: list[forms.ControlNet] = []


# -- how long they take ---------------------------------------------------------------------------
def catalogue(p50: float, p95: float, success: float) -> Measured:
    """What the service's public catalogue said of a form on 2026-08-31, of the day before."""
    return Measured(p50, p95, success, date(2026, 8, 31), "the service's catalogue")


# -- settings that spoil --------------------------------------------------------------------------
def sdcpp_cautions(*variants: str) -> tuple[Caution, ...]:
    """What Civitai's own matrix says of the distilled families on sdcpp (engine guide, part 0)."""
    return (
        schedules("gives a black picture", "ays", variants=variants),
        schedules("gives noise", "gits", variants=variants),
        samplers("fails", "ddim_trailing", "tcd", variants=variants),
    )


#: Beside those, on flux1, qwen and z-image.
DISTORTING = samplers("distorts", "euler_a", "dpm++2s_a")
#: On sd1 and sdxl.
ONLY_LCM = samplers("is for LCM checkpoints and LoRAs only", "lcm")


# -- why they fit ---------------------------------------------------------------------------------
TWIN = (
    "sdcpp draws, by its documented price; a sampler or schedule that only comfy has goes by "
    "comfy, whose price and limits are not published."
)
NO_PRICE = "The price is not documented: ask for an estimate first."
NO_MASK = "takes no mask: say what changes and that everything else stays"
LOOK_UP = "looks nothing up: find the facts first and write them into the prompt"
