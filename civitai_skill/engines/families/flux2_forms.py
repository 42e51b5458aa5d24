"""The wire forms of flux2.

Engine flux2 (klein, dev, flex, pro, max; create and edit); sdcpp and comfy flux2Klein and flux2Dev
(create, edit, variant each).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import leaf
from civitai_skill.engines.unpublished import Unpublished
from civitai_skill.schema.types import Flag, Number, Picture, Text, Whole


class Flux2(forms.Sized512):
    """What all flux2 forms share."""

    prompt: Annotated[Text, Field(max_length=1000)]
    seed: forms.Seed = None
    quantity: Annotated[Whole, Field(ge=1, le=4)] = 1


class Edit2(forms.Edit):
    images: Annotated[list[Picture], Field(max_length=2)] = []


class Edit9(forms.Edit):
    images: Annotated[list[Picture], Field(max_length=9)] = []


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
KleinEdit = leaf(KleinHosted, Edit2)


class KleinSdcpp(forms.Sdcpp, KleinKnobs):
    ecosystem: Literal["flux2Klein"] = "flux2Klein"


KleinSdcppCreate = leaf(KleinSdcpp, forms.Create)
KleinSdcppEdit = leaf(KleinSdcpp, Edit2)
KleinSdcppVariant = leaf(KleinSdcpp, forms.VariantOf)


class KleinComfy(Unpublished, forms.Comfy, KleinKnobs):
    """The comfy route, whose limits and price nobody published."""

    ecosystem: Literal["flux2Klein"] = "flux2Klein"

    def buzz(self) -> float | None:
        return None


KleinComfyCreate = leaf(KleinComfy, forms.Create)
KleinComfyEdit = leaf(KleinComfy, Edit2)
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
DevSdcppEdit = leaf(forms.Sdcpp, OpenDev, Edit2)
DevSdcppVariant = leaf(forms.Sdcpp, OpenDev, forms.VariantOf)
DevComfyCreate = leaf(forms.Comfy, OpenDev, forms.Create)
DevComfyEdit = leaf(forms.Comfy, OpenDev, Edit9)
DevComfyVariant = leaf(Unpublished, forms.Comfy, OpenDev, forms.VariantOf)
