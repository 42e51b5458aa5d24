"""The names of needs, in any common spelling."""

from __future__ import annotations

from civitai_skill.engines.family import NEEDS, Need
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.problems import nearest_name

# Other words for a need, in `air.fold` spelling.
_SYNONYMS: dict[str, Need] = {
    "4k": "print_4k",
    "cheap": "cheapest",
    "cutout": "transparent_background",
    "desktop": "wallpaper",
    "comic": "comic_or_infographic",
    "fast": "fastest",
    "furry": "cartoon",
    "icons": "pixel_art",
    "img2img": "restyle",
    "infographic": "comic_or_infographic",
    "nsfw": "mature",
    "phone": "phone_tall",
    "phonewallpaper": "phone_tall",
    "photorealistic": "photo",
    "realistic": "photo",
    "references": "several_references",
    "seed": "exact_seed",
    "sticker": "transparent_background",
    "text": "text_in_picture",
    "transparent": "transparent_background",
    "transparency": "transparent_background",
    "wide": "ultra_wide",
}


def known_need(need: str) -> Need:
    """A need in any common spelling. Raises RequestInvalid with the nearest."""
    bare = fold(str(need)[:100])
    found = {fold(n): n for n in NEEDS} | _SYNONYMS
    if bare in found:
        return found[bare]
    accepted = "some of " + ", ".join(NEEDS)
    near = nearest_name(str(need)[:100], list(NEEDS))
    raise RequestInvalid(
        Problem("needs", need, accepted, near if near in NEEDS else None, "no such need")
    )
