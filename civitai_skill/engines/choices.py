"""What choosing an engine goes by, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from civitai_skill.engines.family import NEEDS, Measured, Need
from civitai_skill.engines.planning.plan import Price
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.problems import nearest_name


@dataclass(frozen=True)
class Limits:
    """What must hold: pixels or a ratio, Buzz for one picture, source pictures, an AIR to load."""

    width: int | None = None
    height: int | None = None
    aspect_ratio: str | None = None
    max_buzz: int | None = None
    references: int = 0
    air: str | None = None


@dataclass(frozen=True)
class Choice:
    """One engine for the job. `arguments` are the request's fields to pass; sizes are pixels.

    `seconds` is the recipe page's figure, `measured` what users of the service saw; `paid` is the
    median that they paid, and `unavailable` says so, by its catalogue while that is fresh. The
    price is that of one picture.
    """

    engine: str
    variant: str
    arguments: dict[str, Any]
    price: Price
    size: tuple[int, int] | None
    seconds: str
    reason: str
    prompting: str
    unmet: tuple[Need, ...] = ()
    measured: Measured | None = None
    warnings: tuple[str, ...] = ()
    paid: str = ""
    unavailable: bool = False
    #: Where it is another, cheaper way to the same end: how, and how many pictures that takes.
    way: str = ""
    pictures: int = 1

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "engine": self.engine,
            "variant": self.variant,
            "arguments": dict(self.arguments),
            "buzz": self.price.buzz,
            "reason": self.reason,
        }
        if self.price.buzz is None:
            out["price"] = "not documented; ask for an estimate"
        if self.paid:
            out["paid"] = self.paid
        if self.size is not None:
            out["size"] = "{}x{}".format(*self.size)
        if self.measured is not None:
            out["seconds"] = str(self.measured)
        elif self.seconds:
            out["seconds"] = f"{self.seconds} by the recipe page; nobody measured it"
        if self.unmet:
            out["not_made_for"] = list(self.unmet)
        if self.warnings:
            out["warnings"] = list(self.warnings)
        if self.way:
            together = None if self.price.most is None else self.price.most * self.pictures
            out |= {"way": self.way, "pictures": self.pictures, "together": together}
        return out


# Other words for a need, in `air.fold` spelling.
_SYNONYMS: dict[Need, str] = {
    "cartoon": "furry",
    "cheapest": "cheap",
    "comic_or_infographic": "comic infographic",
    "exact_seed": "seed",
    "fastest": "fast",
    "mature": "nsfw",
    "phone_tall": "phone phonewallpaper",
    "photo": "photorealistic realistic",
    "pixel_art": "icons",
    "print_4k": "4k",
    "restyle": "img2img",
    "several_references": "references",
    "text_in_picture": "text",
    "transparent_background": "cutout sticker transparent transparency",
    "ultra_wide": "wide",
    "wallpaper": "desktop",
}


def known_need(need: str) -> Need:
    """A need in any common spelling. Raises RequestInvalid with the nearest."""
    bare = fold(str(need)[:100])
    found = {word: need for need, words in _SYNONYMS.items() for word in words.split()}
    found |= {fold(need): need for need in NEEDS}
    if bare in found:
        return found[bare]
    accepted = "some of " + ", ".join(NEEDS)
    near = nearest_name(str(need)[:100], list(NEEDS))
    raise RequestInvalid(
        Problem("needs", need, accepted, near if near in NEEDS else None, "no such need")
    )
