"""The wire forms of openai: gpt-image 1, 1.5, 2, 2.5 flare and sunburst, dall-e 2 and 3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import leaf
from civitai_skill.engines.forms import ABSENT, Create, Edit, Likely, Quantity4, Wire, flat
from civitai_skill.engines.sizing import Named, Pixels, PixelsOrSource, Size
from civitai_skill.schema.types import Mask, Picture, Text, Whole

Background = Literal["auto", "transparent", "opaque"]
_Size = Literal["1024x1024", "1536x1024", "1024x1536"]
_SizeOrAuto = Literal["auto", _Size]
_Prompt = Annotated[Text, Field(max_length=32000)]
_Quantity10 = Annotated[Whole, Field(ge=1, le=10)]

# Buzz a picture by the maker's quality.
_FLAT = {"low": 25, "medium": 100, "high": 375, "auto": 300}


class OpenAI(Wire):
    engine: Literal["openai"] = "openai"


class Flat(OpenAI):
    """gpt-image-1 and 1.5: a price by quality alone."""

    sizing = Named(("size",))

    def buzz(self) -> float | None:
        form: Any = self
        return float(_FLAT[form.rendering or "auto"] * form.quantity)


# -- gpt-image-1 ----------------------------------------------------------------------------------
class Gpt1(Flat):
    model_name: Literal["gpt-image-1"] = Field("gpt-image-1", alias="model")
    prompt: _Prompt
    size: _Size = "1024x1024"
    quantity: _Quantity10 = 1
    background: Background = "opaque"
    rendering: Literal["auto", "high", "medium", "low"] | None = Field("auto", alias="quality")


Gpt1Create = leaf(Gpt1, Create)


class Gpt1Edit(Gpt1, Edit):
    images: list[Picture]
    mask: Mask | None = None


# -- gpt-image-1.5 --------------------------------------------------------------------------------
class Gpt15(Flat):
    model_name: Literal["gpt-image-1.5"] = Field("gpt-image-1.5", alias="model")
    prompt: _Prompt
    quantity: Quantity4 = 1
    background: Background = "auto"
    rendering: Literal["low", "medium", "high"] = Field("high", alias="quality")


class Gpt15Create(Gpt15, Create):
    size: _Size = "1024x1024"


class Gpt15Edit(Gpt15, Edit):
    size: _SizeOrAuto = "auto"
    images: list[Picture]
    input_fidelity: Literal["low", "high"] = "high"


# -- gpt-image-2 ----------------------------------------------------------------------------------
# Buzz a picture at low, medium and high, up to these pixels, however turned.
_TIERS: dict[Size, tuple[int, int, int]] = {
    (1024, 768): (13, 52, 195),
    (1024, 1024): (13, 78, 286),
    (1536, 1024): (13, 65, 221),
    (1920, 1080): (13, 52, 208),
    (2560, 1440): (13, 78, 299),
    (3840, 2160): (26, 143, 533),
}
_QUALITIES = ("low", "medium", "high")
#: The most that a picture may cost is that of the largest tier.
_LARGEST: Size = (3840, 2160)


class Sides(OpenAI):
    """What gpt-image-2 and 2.5 share."""

    def area(self) -> int | None:
        """Pixels; None where the service decides."""
        size = self.sizing.asked(self)
        return None if size is None else size[0] * size[1]

    def stretch(self) -> float | None:
        """The longer side over the shorter one."""
        size = self.sizing.asked(self)
        return None if size is None else max(size) / min(size)


class Gpt2(Sides):
    model_name: Literal["gpt-image-2"] = Field("gpt-image-2", alias="model")
    prompt: _Prompt
    quantity: Quantity4 = 1
    rendering: Literal["low", "medium", "high"] = Field("high", alias="quality")

    def buzz(self) -> float | None:
        """The cheapest tier that covers the size."""
        size = self.sizing.asked(self)
        if size is None:
            return None
        at = _QUALITIES.index(self.rendering)
        wide, high = max(size), min(size)
        prices = [p[at] for top, p in _TIERS.items() if wide <= top[0] and high <= top[1]]
        return float(min(prices) * self.quantity) if prices else None


class Gpt2Create(Gpt2, Create):
    sizing = Pixels()
    width: Annotated[Whole, Field(ge=256, le=3840)] | None = 1024
    height: Annotated[Whole, Field(ge=256, le=3840)] | None = 1024


class AnyEdit(Edit):
    """Their edits: of the source's size, where none is said."""

    sizing = PixelsOrSource()
    width: Whole | None = None
    height: Whole | None = None
    images: list[Picture]
    mask: Mask | None = Field(None, alias="maskImage")


class Gpt2Edit(AnyEdit, Gpt2):
    sizing = PixelsOrSource(most=_LARGEST)


# -- gpt-image-2.5: the types are published, the limits are a third party's ------------------------
class Gpt25(Sides):
    prompt: Annotated[Text, Likely(high=32000)]
    quantity: Annotated[Whole, Likely(1, 4)] = 1
    rendering: Literal["low", "medium", "high", "xhigh", "max"] = Field(ABSENT, alias="quality")


class Gpt25Create(Gpt25, Create):
    sizing = Pixels()
    width: Annotated[Whole, Likely(256, 3840)] | None = 1024
    height: Annotated[Whole, Likely(256, 3840)] | None = 1024


FlareCreate = leaf(Gpt25Create, named="gpt-image-2.5-flare")
FlareEdit = leaf(AnyEdit, Gpt25, named="gpt-image-2.5-flare")
SunburstCreate = leaf(Gpt25Create, named="gpt-image-2.5-sunburst")
SunburstEdit = leaf(AnyEdit, Gpt25, named="gpt-image-2.5-sunburst")


# -- dall-e ---------------------------------------------------------------------------------------
class DallE2(OpenAI):
    sizing = Named(("size",))
    model_name: Literal["dall-e-2"] = Field("dall-e-2", alias="model")
    prompt: Annotated[Text, Field(max_length=1000)]
    size: Literal["256x256", "512x512", "1024x1024"]
    quantity: _Quantity10 = 1

    buzz = flat(300)


class DallE2Create(DallE2, Create):
    background: Background = "auto"


class DallE2Edit(DallE2):
    operation: Literal["editImage"] = "editImage"
    image: Picture
    mask: Mask | None = None


class DallE3(OpenAI, Create):
    sizing = Named(("size",))
    model_name: Literal["dall-e-3"] = Field("dall-e-3", alias="model")
    prompt: Annotated[Text, Field(max_length=4000)]
    size: Literal["1024x1024", "1792x1024", "1024x1792"]
    background: Background = "auto"
    style: Literal["natural", "vivid"] = "vivid"
    rendering: Literal["auto", "hd", "standard"] = Field("auto", alias="quality")

    buzz = flat(300)
