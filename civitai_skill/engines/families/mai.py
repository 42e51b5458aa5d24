"""mai: Microsoft MAI-Image-2.5, through fal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from civitai_skill.engines.families.shared import edits, leaf
from civitai_skill.engines.family import Family, Fit, Variant, ways
from civitai_skill.engines.forms import Create, Quantity4, Wire, flat
from civitai_skill.engines.sizing import Ratio
from civitai_skill.schema.types import Text


class Mai(Wire):
    sizing = Ratio()
    engine: Literal["fal"] = "fal"
    model_name: Literal["maiImage"] = Field("maiImage", alias="model")
    prompt: Annotated[Text, Field(min_length=3, max_length=5000)]
    quantity: Quantity4 = 1
    aspect_ratio: Literal[
        "auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"
    ] = "auto"

    buzz = flat(65)


FAMILY = Family(
    name="mai",
    title="MAI-Image",
    maker="Microsoft",
    suits="photoreal people and editorial pictures",
    variants=(
        Variant(
            "2.5",
            ways(leaf(Mai, Create), leaf(Mai, edits(1, 4))),
            fits=(
                Fit("portrait", 50, "photoreal people at a flat price"),
                Fit("photo", 49, "photoreal scenes at a flat price"),
                Fit("poster", 48, "editorial layouts"),
                Fit("edit", 44, "up to 4 sources at a flat price", pictures=1),
            ),
            best_for="photoreal people, posters, editorial pictures",
            avoid_for="seeds, exact pixels",
            aliases=("image-2.5", "mai image"),
        ),
    ),
    best_for=("photoreal people", "posters", "editorial pictures"),
    avoid_for=("the same picture again: there is no seed", "exact pixels", "negative prompts"),
    prompt="A photographer's brief in prose: subject, light, lens, mood; text in quotes.",
    licence="closed",
    notes=("Without a ratio the maker decides the shape.",),
    conflicts=("The recipe page says words only; the document has edits. The document rules.",),
    sources=("recipe page mai-image (August 2026)", "published document, forms MaiImage*"),
)
