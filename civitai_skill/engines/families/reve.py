"""reve: Reve 2.1, native 4K from 4:1 to 1:4, through fal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import edits, leaf
from civitai_skill.engines.family import Family, Fit, Variant, ways
from civitai_skill.engines.forms import Create, Wire
from civitai_skill.engines.sizing import Ratio, by_ratio
from civitai_skill.schema.types import Text, Whole

# What comes back for a ratio, by a reseller's table.
_SIZES = by_ratio("1:1 4096x4096, 3:2 4864x3328, 16:9 5376x3072, 21:9 6144x2560, 4:1 8192x2048")


class Reve(Wire):
    sizing = Ratio(sizes=_SIZES)
    engine: Literal["fal"] = "fal"
    model_name: Literal["reve"] = Field("reve", alias="model")
    prompt: Annotated[Text, Field(min_length=1, max_length=4000)]
    quantity: Annotated[Whole, Field(ge=1, le=10)] = 1
    aspect_ratio: Literal[
        "auto", "4:1", "3:1", "21:9", "2:1", "17:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5",
        "3:4", "2:3", "9:16", "1:2", "1:3", "1:4",
    ] = "auto"  # fmt: skip


FAMILY = Family(
    name="reve",
    title="Reve",
    maker="Reve",
    suits="native 4K, exact counts and places",
    variants=(
        Variant(
            "2.1",
            ways(leaf(Reve, Create), leaf(Reve, edits(1, 8))),
            fits=(
                Fit("print_4k", 55, "native 4K in every shape; its price is not documented"),
                Fit("ultra_wide", 55, "4:1 natively, 8192x2048", {"aspect_ratio": "4:1"}),
                Fit("phone_tall", 48, "1:2 natively", {"aspect_ratio": "1:2"}),
                Fit("several_references", 50, "up to 8 sources, named by number", pictures=2),
                Fit("poster", 50, "things where they are told to be"),
            ),
            best_for="native 4K, exact counts and places, wide and tall shapes",
            avoid_for="drafts, seeds, LoRAs",
            notes=("Price not documented; a reseller's suggests about 260. Ask first.",),
        ),
    ),
    best_for=("native 4K", "exact counts and places", "4:1 to 1:4"),
    avoid_for=("drafts: it is dear", "the same picture again: there is no seed", "exact pixels"),
    prompt=(
        "Say how many of each thing and where it stands. References are <frame>0</frame>, "
        "<frame>1</frame>, counted from 0."
    ),
    licence="closed",
    notes=("Without a ratio the maker decides the shape.",),
    conflicts=("There is no recipe page; sizes and times are a reseller's.",),
    sources=(
        "published document, forms Reve*",
        "a reseller's documentation (sizes)",
        "arena.ai text-to-image board, August 2026: 1302",
    ),
)
