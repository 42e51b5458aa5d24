"""textToImage: the older step, which official clients still send and the service phases out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from civitai_skill.engines.forms import ControlNet, Guidance30, ModelAir, Steps150
from civitai_skill.schema.types import AirText, Number, Text, Whole
from civitai_skill.steps.form import ABSENT, StepForm

_Sampler = Literal[
    "eulerA", "euler", "lms", "heun", "dpM2", "dpM2A", "dpM2SA", "dpM2M", "dpmsde", "dpmFast",
    "dpmAdaptive", "lmsKarras", "dpM2Karras", "dpM2AKarras", "dpM2SAKarras", "dpM2MKarras",
    "dpmsdeKarras", "ddim", "plms", "uniPC", "undefined", "lcm", "ddpm", "deis", "dpM3MSDE",
]  # fmt: skip
_Side = Annotated[Whole, Field(ge=64, le=4084)]
_Count = Annotated[Whole, Field(ge=1, le=100)]


class Network(BaseModel):
    """Schema ImageJobNetworkParams."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    strength: Number | None = None
    triggerWord: Text | None = None
    type: Text | None = None


class TextToImage(StepForm):
    """Schema TextToImageInput, in its own words, into which no request is translated. It requires
    seed and cfgScale, which official examples leave out; the service fills them in."""

    kind = "textToImage"
    gives = "output.images[0]"
    raster = True
    does = "draws pictures, as older clients ask for them"
    charges = "not documented"

    quantity: _Count = 1
    batchSize: _Count = 1
    model: ModelAir = "urn:air:sd1:checkpoint:civitai:4384@128713"
    additionalNetworks: dict[AirText, Network] = {}
    controlNets: list[ControlNet] = []
    prompt: Text
    negativePrompt: Text | None = None
    scheduler: _Sampler | None = None
    steps: Steps150 = 30
    cfgScale: Annotated[Guidance30, Field(ge=1)] = 7.5
    width: _Side = 512
    height: _Side = 512
    seed: Annotated[Whole, Field(ge=0, le=2**32 - 1)] = ABSENT
    clipSkip: Whole = 2
    imageMetadata: Text | None = None
    engine: Text | None = None
    outputFormat: Literal["png", "jpeg", "webP"] | None = None
    sourceImage: Text | None = None
    # Spelled so by the document.
    sourceImageDenoiseStrenght: Number = 0.8
