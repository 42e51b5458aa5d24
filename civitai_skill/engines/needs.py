"""What a picture may be needed for, as a closed list, and how a variant says that it fits.

Each family's file answers with `Variant.fits`; `civitai_skill.choose` only compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Need = Literal[
    "anything", "photo", "portrait", "product", "illustration", "anime", "cartoon", "pixel_art",
    "concept_art", "text_in_picture", "logo", "poster", "chinese_text", "comic_or_infographic",
    "edit", "inpaint", "restyle", "keep_character", "several_references", "transparent_background",
    "print_4k", "ultra_wide", "phone_tall", "draft", "cheapest", "fastest", "lora", "checkpoint",
    "exact_seed", "real_facts", "commercial_licence", "mature",
]  # fmt: skip

NEEDS: tuple[Need, ...] = get_args(Need)

#: A variant that does not say it fits one of these can't do it, however well it fits the rest.
HARD: frozenset[Need] = frozenset(
    {
        "edit", "inpaint", "restyle", "several_references", "print_4k", "ultra_wide", "phone_tall",
        "lora", "checkpoint", "exact_seed", "commercial_licence", "mature",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """One need that a variant serves: how well (1 is best over all engines), and why.

    `settings` are the request's fields that serve it; `sources` is how many source pictures the
    way of doing it takes at least.
    """

    need: Need
    rank: int
    reason: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: int = 0
