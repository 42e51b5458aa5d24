"""What several families share: the forms of checkpoints, settings that spoil, reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import ClassVar, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.family import Caution, Measured
from civitai_skill.engines.forms import Operation
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
Seen = tuple[float, float, float]


def catalogue(
    create: Seen | None = None, edit: Seen | None = None, *, alike: Seen | None = None
) -> Mapping[Operation, Measured]:
    """What the service's public catalogue said of forms on 2026-08-31, of the day before: p50, p95
    and success of each operation, or of both `alike`, where one form does them."""
    seen: dict[Operation, Seen | None] = {"create": create or alike, "edit": edit or alike}
    whose = (date(2026, 8, 31), "the service's catalogue")
    return {operation: Measured(*figures, *whose) for operation, figures in seen.items() if figures}


# -- settings that spoil --------------------------------------------------------------------------
def sdcpp_cautions(*variants: str) -> tuple[Caution, ...]:
    """What Civitai's own matrix says of the distilled families on sdcpp (engine guide, part 0)."""
    return (
        Caution("gives a black picture", "scheduler", ("ays",), variants),
        Caution("gives noise", "scheduler", ("gits",), variants),
        Caution("fails", "sampler", ("ddim_trailing", "tcd"), variants),
    )


#: Beside those, on flux1, qwen and z-image.
DISTORTING = Caution("distorts", "sampler", ("euler_a", "dpm++2s_a"))
#: On sd1 and sdxl.
ONLY_LCM = Caution("is for LCM checkpoints and LoRAs only", "sampler", ("lcm",))


# -- why they fit ---------------------------------------------------------------------------------
TWIN = (
    "sdcpp draws, by its documented price; a sampler or schedule that only comfy has goes by "
    "comfy, whose price and limits are not published."
)
NO_PRICE = "The price is not documented: ask for an estimate first."
NO_MASK = "takes no mask: say what changes and that everything else stays"
LOOK_UP = "looks nothing up: find the facts first and write them into the prompt"
