"""qwen21: Alibaba Qwen-Image-2.1, the 7B open model of September 2026; up to 10 references.

Its LoRAs are no relatives of those for 20b.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, Open, Unpublished, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.forms import Likely
from civitai_skill.engines.sizing import FollowsSource, by_ratio
from civitai_skill.schema.types import Picture, Whole


class Qwen21(Unpublished, forms.Comfy, Open):
    ecosystem: Literal["qwen"] = "qwen"
    model_name: Literal["2.1"] = Field("2.1", alias="model")
    guidance: forms.Guidance30 = Field(2.5, alias="cfgScale")
    model: forms.ModelAir = Field(forms.ABSENT, alias="diffusionModel")


Create = leaf(Qwen21, forms.Sized, forms.Create)


class Edit(Qwen21, forms.Edit):
    """The picture keeps its source's shape, at about `resolution` squared pixels."""

    sizing = FollowsSource(("width", "height"))
    images: Annotated[list[Picture], Field(min_length=1, max_length=10)]
    resolution: Annotated[Whole, Likely(high=2048)] = forms.ABSENT
    width: Whole = forms.ABSENT
    height: Whole = forms.ABSENT


_LARGE = by_ratio("1:1 2048x2048, 4:3 2048x1536, 16:9 2048x1152")
_EULER = {"sampler": "euler", "scheduler": "simple"}

FAMILY = Family(
    name="qwen21",
    title="Qwen-Image-2.1",
    maker="Alibaba",
    suits="text and 10 references",
    variants=(
        Variant(
            "base",
            (
                Way(
                    Create,
                    default=_EULER,
                    high={"steps": 25, "width": 2048, "height": 2048},
                ),
                Way(Edit, default=_EULER, high={"steps": 25, "resolution": 2048}),
            ),
            fits=(
                Fit("edit", 48, "the newest open Qwen, at a price that is not documented"),
                Fit("several_references", 51, "up to 10 sources, called <image1>", pictures=2),
                Fit("text_in_picture", 51, "long readable text, with open weights"),
                Fit("chinese_text", 54, "long Chinese text, with open weights"),
                Fit("poster", 48, "layout and lettering up to 2K"),
                Fit("lora", 45, "takes LoRAs made for Qwen-Image-2.1"),
                Fit("exact_seed", 42, "real seeds"),
            ),
            best_for="text, posters and edits with up to 10 sources, up to 2K",
            avoid_for="LoRAs made for Qwen-Image 20b: take qwen 20b",
            aliases=("2.1", "7b", "image-2.1"),
            sizes_at={"high": _LARGE},
        ),
    ),
    best_for=("Chinese and English text", "edits with many references", "2K"),
    avoid_for=("LoRAs made for 20b", "a price that must be known before"),
    prompt=(
        "One to three rich sentences: subject, setting, light, style; the exact words to be read "
        "in quotes. For an edit name each source as <image1>, <image2> and say what changes."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1024x768, 16:9 1024x576"),
    multiple=32,
    ecosystems=frozenset({"qwen21"}),
    mature="civitai",
    licence="open weights; read the model card before commercial use",
    notes=(
        NO_PRICE,
        "An edit keeps its source's shape; options.resolution is the side of the square with as "
        "many pixels, up to 2048.",
        "The model can draw transparency; how the service returns it is not documented.",
    ),
    conflicts=(
        "Its limits are not published: those of qwen 20b are taken for likely. Guidance: the "
        "service's own test sends 1, the sibling's default is 2.5. Taken: the service decides.",
    ),
    sources=(
        "the service's published types and contract test, September 2026",
        "civitai/civitai generator source, autumn 2026",
    ),
)
