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


# Said by more than one family.
CUT_OUT = (
    "no engine here draws transparency: ask for a plain background, then cut it out with the "
    "service's imageBackgroundRemoval step (about 7 Buzz)"
)
ENLARGE = "1 megapixel, then the service's imageUpscaler step (4 Buzz) makes it 4096x4096"
NO_MASK = "no engine here takes a mask: say what changes and that everything else stays"
LOOK_UP = "no engine here looks things up: find the facts first and write them into the prompt"
