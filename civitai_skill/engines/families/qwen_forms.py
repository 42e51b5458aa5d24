"""The wire forms of qwen.

sdcpp and comfy qwen 20b (create, edit, variant each), engine qwen (create, edit) and fal qwen2
(create, edit, and both as pro).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import Open, leaf
from civitai_skill.engines.sizing import Pixels
from civitai_skill.engines.unpublished import Unpublished
from civitai_skill.errors import Problem
from civitai_skill.schema.types import Flag, Picture, Text, Whole

#: Pixels that width and height divide by.
GRID = 8

_Side = Annotated[Whole, Field(ge=0, le=2048)]
_Negative = Annotated[Text, Field(max_length=500)]


# -- 20b, the open weights ----------------------------------------------------------------------
class Open20b(Open):
    ecosystem: Literal["qwen"] = "qwen"
    model_name: Literal["20b"] = Field("20b", alias="model")
    guidance: forms.Guidance30 = Field(2.5, alias="cfgScale")


class AnyCreate(Open20b, forms.Sized, forms.Create):
    version: Literal["latest", "2509", "2512"] = "latest"


class AnyEdit(Open20b, forms.Following, forms.Edit):
    version: Literal["latest", "2509", "2511"] = "latest"
    images: Annotated[list[Picture], Field(min_length=1, max_length=10)]


class AnyVariantOf(Open20b, forms.Following, forms.VariantOf):
    version: Literal["latest", "2509", "2512"] = "latest"


class OpenEdit(forms.Sdcpp, AnyEdit):
    def buzz(self) -> float | None:
        """40 for 1024 x 1024 at 20 steps; each source after the first adds a tenth."""
        price = forms.rate(40, 1024)(self)
        return None if price is None else price * (1 + 0.1 * (len(self.images) - 1))


OpenCreate = leaf(forms.Sdcpp, AnyCreate, buzz=forms.rate(30, 1328))
OpenVariantOf = leaf(forms.Sdcpp, AnyVariantOf, buzz=forms.rate(30, 1328))
ComfyCreate = leaf(Unpublished, forms.Comfy, AnyCreate)
ComfyEdit = leaf(Unpublished, forms.Comfy, AnyEdit)
ComfyVariantOf = leaf(Unpublished, forms.Comfy, AnyVariantOf)


# -- the maker's own API ------------------------------------------------------------------------
# Buzz a picture; `edit` and its fellows are the legacy names.
_FLAT = {
    "2.0": 45.5,
    "2.0-pro": 97.5,
    "3.0-pro": 97.5,
    "max": 97.5,
    "plus": 39.0,
    "edit": 58.5,
    "edit-plus": 39.0,
    "edit-max": 97.5,
}
# The recipe page: these draw one picture a call.
_ONE_AT_A_TIME = frozenset({"max", "plus", "edit"})


class Hosted(forms.Wire):
    """What both hosted forms share. The document requires width and height; the recipe page's own
    samples leave them out."""

    engine: Literal["qwen"] = "qwen"
    prompt: Annotated[Text, Field(max_length=5000)]
    negative_prompt: _Negative | None = None
    quantity: Annotated[Whole, Field(ge=1, le=6)] = 1
    seed: forms.Seed32 = None
    prompt_extend: Flag = True
    watermark: Flag = False

    def buzz(self) -> float | None:
        """A flat price a picture, by model."""
        form: Any = self
        return _FLAT[form.model_name] * self.quantity

    def objection(self) -> Problem | None:
        form: Any = self
        if form.model_name in _ONE_AT_A_TIME and self.quantity > 1:
            return Problem("quantity", self.quantity, f"1 on {form.model_name}", 1, "too many")
        return None


_LEAST = 512 * 512


def _enough(width: int, height: int) -> tuple[int, int]:
    """The nearest size that has the pixels: the longer side kept, the shorter one raised."""
    longer = max(width, height) // GRID * GRID
    if longer * 2048 < _LEAST:
        return 512, 512
    shorter = -(-_LEAST // (longer * GRID)) * GRID
    return (longer, shorter) if width >= height else (shorter, longer)


class HostedCreate(Hosted, forms.Create):
    sizing = Pixels()
    width: _Side = forms.ABSENT
    height: _Side = forms.ABSENT
    model_name: Literal["3.0-pro", "2.0-pro", "2.0", "max", "plus"] = Field("2.0", alias="model")

    def objection(self) -> Problem | None:
        """The recipe page: 512 x 512 to 2048 x 2048 pixels in all; the document starts at 0."""
        width, height = self.width, self.height
        if width is None and height is None:
            return super().objection()
        if width is None or height is None:
            missing = "width" if width is None else "height"
            return Problem(missing, None, "both width and height", None, "one was left out")
        if width * height < _LEAST:
            accepted = "512x512 to 2048x2048 pixels in all"
            near = "{}x{}".format(*_enough(width, height))
            return Problem("width", f"{width}x{height}", accepted, near, "too few pixels")
        return super().objection()


class HostedEdit(Hosted, forms.Following, forms.Edit3):
    model_name: Literal["3.0-pro", "2.0-pro", "2.0", "edit-max", "edit-plus", "edit"] = Field(
        "edit-plus", alias="model"
    )


# -- the same through fal -----------------------------------------------------------------------
class Fal(forms.Wire):
    """What the four fal forms share: named sizes instead of pixels, no documented price."""

    sizing = forms.FAL_SIZES
    engine: Literal["fal"] = "fal"
    model_name: Literal["qwen2"] = Field("qwen2", alias="model")
    prompt: Annotated[Text, Field(min_length=1)]
    negative_prompt: _Negative | None = None
    quantity: Annotated[Whole, Field(ge=1, le=10)] = 1
    image_size: forms.FalSize = "square_hd"
    seed: forms.Seed32 = None
    enable_prompt_expansion: Flag = True
    enable_safety_checker: Flag = False


FalCreate = leaf(Fal, forms.Create)


class FalProCreate(Fal):
    operation: Literal["proCreateImage"] = "proCreateImage"


FalEdit = leaf(Fal, forms.Edit3)


class FalProEdit(Fal, forms.Edit3):
    operation: Literal["proEditImage"] = "proEditImage"  # type: ignore[assignment]
