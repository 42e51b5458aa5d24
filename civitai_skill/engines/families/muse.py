"""muse: Meta Muse Image, through fal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import leaf
from civitai_skill.engines.family import Family, Fit, Variant, ways
from civitai_skill.engines.forms import ABSENT, Create, Edit, Likely, Wire
from civitai_skill.engines.sizing import Ratio
from civitai_skill.schema.types import Picture, Text, Whole


class Muse(Wire):
    """The types are published, the limits are a third party's."""

    sizing = Ratio()
    engine: Literal["fal"] = "fal"
    model_name: Literal["museImage"] = Field("museImage", alias="model")
    prompt: Annotated[Text, Likely(high=4000)]
    quantity: Annotated[Whole, Likely(1, 10)] = 1
    aspect_ratio: Literal[
        "auto", "21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"
    ] = ABSENT


class MuseEdit(Muse, Edit):
    images: list[Picture]


FAMILY = Family(
    name="muse",
    title="Muse Image",
    maker="Meta",
    suits="pictures and edits from words alone",
    variants=(
        Variant(
            "image",
            ways(leaf(Muse, Create), MuseEdit),
            fits=(
                Fit("illustration", 40, "new here: nobody has measured it"),
                Fit("edit", 38, "new here: nobody has measured it", pictures=1),
            ),
            best_for="trying Meta's model",
            avoid_for="known prices: ask for an estimate first",
            aliases=("muse image",),
        ),
    ),
    best_for=("pictures from plain sentences",),
    avoid_for=("the same picture again: there is no seed", "exact pixels", "negative prompts"),
    prompt="Plain sentences; text in quotes.",
    licence="closed",
    notes=("Price and times are not documented.",),
    conflicts=("There is no recipe page; limits are of a third party's catalogue.",),
    sources=("the service's client types, September 2026", "a third party's catalogue (limits)"),
)
