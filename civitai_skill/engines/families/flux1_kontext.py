"""flux1-kontext: Black Forest Labs FLUX.1 Kontext, one picture changed by an order in words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import NO_MASK, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.forms import Quantity4, Seed, Wire, flat
from civitai_skill.engines.sizing import Ratio, by_ratio
from civitai_skill.schema.types import Number, Picture, Text

# What comes back for each ratio; the form itself takes the ratio alone.
_SIZES = by_ratio("1:1 1024x1024, 4:3 1344x1008, 3:2 1512x1008, 16:9 1792x1008, 21:9 2352x1008")


class Kontext(Wire):
    """What the three forms share: a ratio instead of pixels."""

    sizing = Ratio(sizes=_SIZES)
    engine: Literal["flux1-kontext"] = "flux1-kontext"
    prompt: Annotated[Text, Field(max_length=1000)]
    images: list[Picture] = []
    aspect_ratio: Literal["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"] = "1:1"
    guidance: Annotated[Number, Field(ge=1, le=20)] = Field(3.5, alias="guidanceScale")
    quantity: Quantity4 = 1
    seed: Seed = None


Dev = leaf(Kontext, named="dev", buzz=flat(35))
Pro = leaf(Kontext, named="pro", buzz=flat(45))
Max = leaf(Kontext, named="max", buzz=flat(90))

FAMILY = Family(
    name="flux1-kontext",
    title="FLUX.1 Kontext",
    maker="Black Forest Labs",
    suits="changing one picture",
    variants=(
        Variant(
            "dev",
            (Way(Dev),),
            best_for="the cheapest of the three; small changes to one picture",
            seconds="10-30",
            notes=("Civitai's own picker shows only pro and max.",),
        ),
        Variant(
            "pro",
            (Way(Pro),),
            fits=(
                Fit("ultra_wide", 57, "a native 21:9", {"aspect_ratio": "21:9"}),
                Fit("edit", 45, "keeps the identity of one subject", pictures=1),
                Fit("keep_character", 45, "keeps the identity of one subject", pictures=1),
                Fit("inpaint", 51, NO_MASK, pictures=1),
            ),
            best_for="one-picture edits that keep the person or thing recognisable",
            seconds="10-30",
        ),
        Variant(
            "max",
            (Way(Max),),
            best_for="the family's best likeness and lettering",
            avoid_for="trying things out: twice the price of pro",
            seconds="15-60",
        ),
    ),
    quality={"draft": "dev", "standard": "pro", "high": "max"},
    best_for=("one-picture edits that keep identity", "swapping text in a picture"),
    avoid_for=("several references", "new projects: FLUX.2 edits better and costs less"),
    prompt=(
        "A direct order, then what must stay: change the car to red, keep everything else as it "
        'is. Name the subject ("the woman in the green coat"), not "she". For lettering: replace '
        '"OLD" with "NEW".'
    ),
    sizes=_SIZES,
    licence="dev non-commercial weights; pro and max closed",
    notes=(
        "The ratio is 1:1 unless aspect_ratio says otherwise, for edits too: give the source's.",
        "A source that the maker can't fetch is not reported: an unrelated picture comes back.",
        "No LoRA, negative prompt or pixel size.",
    ),
    conflicts=(
        "The human-vote edit boards put klein 9b (12 Buzz an edit) above pro and max (45 and 90).",
    ),
    sources=(
        "recipe page flux1 (August 2026)",
        "published document, forms Flux1Kontext*",
        "Black Forest Labs prompting guide",
        "civitai/civitai generator source, August 2026",
    ),
)
