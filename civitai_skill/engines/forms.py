"""The base of every wire form, and the field types they are written with.

A wire form is one leaf of the service's `ImageGenInput`: a small pydantic class whose attributes
carry the shared vocabulary's names and whose aliases are the JSON. `guidance` is `cfgScale` in one
form and `guidanceScale` in the next, and that line is the whole translation.

Types, ranges and enums are exactly the published document's: a form accepts what the document
accepts and refuses what it refuses (seven point nought is an integer, true is not a number). A
field's default is the service's own default, so a form always knows the value that will hold;
`sent()` leaves the defaults out. What the document does not know, but
the guide does (a provider's own floor, steps that make noise), is said by `objection()`. Which
fields hold pictures is marked (`Picture`, `Mask`, `Style`, `Guide`), and how a size is said is
declared (`sizing`): no reader knows a form's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from civitai_skill.engines.prompts import Syntax as Syntax
from civitai_skill.engines.sizing import FollowsSource, Named, Pixels, Sizing
from civitai_skill.engines.sources import picture_of
from civitai_skill.errors import Problem
from civitai_skill.schema.types import AirText, Guide, Mask, Number, Picture, Text, Whole

Operation = Literal["create", "edit", "variant"]

# What the service calls an operation, and which of ours it is.
OPERATIONS: dict[str, Operation] = {
    "createImage": "create",
    "proCreateImage": "create",
    "text-to-image": "create",
    "editImage": "edit",
    "proEditImage": "edit",
    "image-to-image": "edit",
    "createVariant": "variant",
}


@dataclass(frozen=True)
class Bits:
    """Marks an integer with the width that the document's `format` gives it."""

    size: int


@dataclass(frozen=True)
class Likely:
    """Marks limits that nobody published: a sibling's, or a third party's.

    They bound a number, or the length of a text or list. Beyond them is warned, not refused.
    """

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class AirRole:
    """Marks a field that holds AIRs with what must be in it."""

    role: Literal["model", "lora", "vae", "embedding", "part"]


Seed = Annotated[Whole | None, Bits(64)]
Seed32 = Annotated[Whole | None, Bits(32)]
ModelAir = Annotated[AirText, AirRole("model")]
PartAir = Annotated[AirText, AirRole("part")]
VaeAir = Annotated[AirText, AirRole("vae")]
EmbeddingAirs = Annotated[list[AirText], AirRole("embedding")]
LoraMap = Annotated[dict[str, Number], AirRole("lora")]

# The ranges that the forms of Civitai's own checkpoints share (sd1, sdxl, zImage, qwen 20b, comfy
# flux1); only the defaults differ.
LongText = Annotated[Text, Field(max_length=10000)]
Steps150 = Annotated[Whole, Field(ge=1, le=150)]
Guidance30 = Annotated[Number, Field(ge=0, le=30)]
Quantity12 = Annotated[Whole, Field(ge=1, le=12)]
Quantity4 = Annotated[Whole, Field(ge=1, le=4)]

#: A field that may be left out but not be null, and whose default the document does not state.
ABSENT: Any = None


class LoraItem(BaseModel):
    """One element of a LoRA list (flux2 dev, wan)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    air: AirText
    strength: Annotated[Number, Field(ge=0, le=4)] = 1.0


LoraList = Annotated[list[LoraItem], AirRole("lora")]

OutputFormat = Literal["jpeg", "png", "webP"]

# The site's own matrix and third parties found a part of these to work (engine guide, section 0);
# the document is the upper bound, and the presets stay inside the part that works.
SdcppSampler = Literal[
    "euler", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v",
    "ddim_trailing", "euler_a", "lcm", "res_multistep", "res_2s", "tcd", "er_sde",
]  # fmt: skip
SdcppSchedule = Literal[
    "simple", "discrete", "karras", "exponential", "ays", "bong_tangent", "gits", "sgm_uniform",
    "smoothstep", "kl_optimal", "lcm",
]  # fmt: skip
ComfySampler = Literal[
    "euler", "euler_ancestral", "euler_cfg_pp", "euler_ancestral_cfg_pp", "heun", "heunpp2",
    "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm",
    "ipndm_v", "deis", "ddim", "uni_pc", "uni_pc_bh2", "res_multistep", "er_sde",
]  # fmt: skip
ComfyScheduler = Literal[
    "normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta"
]
ImageTransformer = Literal[
    "canny", "mlsd", "depthZoe", "depthAnything", "depthAnythingV2", "zoeDepthAnything",
    "zoeDepth", "midasDepth", "leresDepth", "metric3dDepth", "softedgePidinet", "hed", "teed",
    "midasNormal", "baeNormal", "dsineNormal", "metric3dNormal", "lineartRealistic",
    "lineartStandard", "lineartAnime", "lineartManga", "anyline", "scribble", "scribbleXdog",
    "scribblePidinet", "fakeScribble", "openpose", "dwpose", "oneformerCoco", "oneformerAde20k",
    "uniformer", "shuffle", "tile", "gray", "rembg", "inpaint",
]  # fmt: skip


class WireObject(BaseModel):
    """A closed object of the service's: attributes carry plain names, aliases are the JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    @classmethod
    @cache
    def tags(cls) -> Mapping[str, str]:
        """The fields that select it among its like: {wire name: the one value}."""
        found = {}
        for name, field in cls.model_fields.items():
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                found[field.alias or name] = get_args(field.annotation)[0]
        return MappingProxyType(found)

    @classmethod
    def alias(cls, name: str) -> str:
        """The wire name of an attribute."""
        return cls.model_fields[name].alias or name

    def sent(self, *, defaults: bool = False) -> dict[str, Any]:
        """The JSON that goes out: what was set, and what selects the form; or with every default
        spelt out, as the service echoes it."""
        said = self.model_dump(
            mode="json", by_alias=True, exclude_unset=not defaults, exclude_none=True
        )
        return {**self.tags(), **said}


class ControlNet(WireObject):
    """One element of `controlNets` (schema ImageJobControlNet)."""

    # Required, yet may be null: the document gives the enum by reference.
    preprocessor: ImageTransformer | None
    weight: Number
    start_step: Number
    end_step: Number
    image: Guide | None = None
    mask: Mask | None = None


class Wire(WireObject):
    """What every form has. Subclasses add fields; those that select it are one-value Literals."""

    #: How the size of the pictures is said.
    sizing: ClassVar[Sizing] = Sizing()
    #: Fields that select the form and may be left out: this form is then meant.
    implied: ClassVar[frozenset[str]] = frozenset()
    #: The widest a source picture may be, as width through height, and the tallest the other way.
    source_ratio: ClassVar[float | None] = None
    #: What it can do, where its operation does not tell.
    does: ClassVar[tuple[Operation, ...]] = ()
    #: How many source pictures it looks at, where it takes more.
    looks_at: ClassVar[int | None] = None
    #: What it makes of weights and of other marks in a prompt.
    prompt_syntax: ClassVar[Syntax] = "words"
    #: Is a style reference a picture alone, with no strength?
    styles_alone: ClassVar[bool] = False
    #: What only a fetched document has: {attribute: its new values, () for all}.
    newer: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})

    output_format: OutputFormat | None = None
    image_metadata: Text | None = None

    # -- what the form is --------------------------------------------------------------
    @classmethod
    def route(cls) -> str:
        """The service's `engine`: sdcpp, comfy, fal, or the maker's own."""
        return cls.tags()["engine"]

    @classmethod
    @cache
    def operations(cls) -> tuple[Operation, ...]:
        """What the form can do. A form without an operation edits when it is given sources."""
        if cls.does:
            return cls.does
        tag = cls.tags().get("operation")
        if tag is not None:
            return (OPERATIONS[tag],)
        return ("create",) if picture_of(cls) is None else ("create", "edit")

    # -- what the maker's guide adds ---------------------------------------------------
    def buzz(self) -> float | None:
        """The documented price in Buzz, not yet rounded; None where nothing is documented."""
        return None

    def objection(self) -> Problem | None:
        """A limit that the document does not state but the guide does; None when all is well."""
        return None


# -- prices ----------------------------------------------------------------------------
def flat(each: float) -> Callable[[Any], float | None]:
    """A form's `buzz`: a price for each picture, whatever is in it."""
    return lambda form: each * float(getattr(form, "quantity", 1))


def rate(base: float, side: int = 1024, steps: int = 20) -> Callable[[Any], float | None]:
    """A form's `buzz`: `base` for a picture of side x side pixels at so many steps.

    It is None while the size is not known.
    """

    def buzz(form: Any) -> float | None:
        size = form.sizing.asked(form)
        if size is None:
            return None
        width, height = size
        return float(base * width * height / side**2 * form.steps / steps * form.quantity)

    return buzz


# -- sizes -----------------------------------------------------------------------------
class Sized(Wire):
    """Width and height in pixels; the ranges are those most forms share (64 to 2048)."""

    sizing = Pixels()
    width: Annotated[Whole, Field(ge=64, le=2048)] = 1024
    height: Annotated[Whole, Field(ge=64, le=2048)] = 1024

    def area(self) -> int:
        """Pixels."""
        return self.width * self.height


class Sized512(Sized):
    """512 to 2048 pixels a side."""

    width: Annotated[Whole, Field(ge=512, le=2048)] = 1024
    height: Annotated[Whole, Field(ge=512, le=2048)] = 1024


class Following(Wire):
    """The size of the source: the document marks width and height `readOnly`."""

    sizing = FollowsSource(("width", "height"))
    width: Annotated[Whole, Field(ge=0, le=2048)] = ABSENT
    height: Annotated[Whole, Field(ge=0, le=2048)] = ABSENT


FalSize = Literal[
    "square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"
]
#: The names that fal gives to sizes, and the pixels that they are.
FAL_SIZES = Named(
    ("image_size",),
    {
        "square_hd": (1024, 1024),
        "square": (512, 512),
        "portrait_4_3": (768, 1024),
        "portrait_16_9": (576, 1024),
        "landscape_4_3": (1024, 768),
        "landscape_16_9": (1024, 576),
    },
)


# -- operations ------------------------------------------------------------------------
class Create(Wire):
    operation: Literal["createImage"] = "createImage"


class Edit(Wire):
    operation: Literal["editImage"] = "editImage"
    images: list[Picture] = []


class Edit3(Edit):
    images: Annotated[list[Picture], Field(min_length=1, max_length=3)]


class VariantOf(Wire):
    """One source picture and how far to leave it, as sdcpp says it."""

    operation: Literal["createVariant"] = "createVariant"
    image: Picture
    strength: Annotated[Number, Field(ge=0, le=1)] = 0.7


class ComfyVariantOf(VariantOf):
    """The same on comfy: under another name, with another default."""

    strength: Annotated[Number, Field(ge=0, le=1)] = Field(0.75, alias="denoiseStrength")


# -- the two self-hosted backends ------------------------------------------------------
class Sdcpp(Wire):
    """What the sdcpp backend's forms share: its own sampler names, a LoRA map."""

    prompt_syntax: ClassVar[Syntax] = "parsed"
    engine: Literal["sdcpp"] = "sdcpp"
    sampler: SdcppSampler | None = Field(None, alias="sampleMethod")
    scheduler: SdcppSchedule | None = Field(None, alias="schedule")
    seed: Seed = None
    loras: LoraMap = {}


class ComfyBare(Wire):
    """What all of the comfy backend's forms share: a seed and a LoRA map."""

    engine: Literal["comfy"] = "comfy"
    seed: Seed = None
    loras: LoraMap = {}


class ComfySampled(ComfyBare):
    """Beside those, its own sampler names."""

    sampler: ComfySampler | None = None


class Comfy(ComfySampled):
    """Beside those, a schedule."""

    scheduler: ComfyScheduler | None = None
