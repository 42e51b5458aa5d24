"""What choosing an engine goes by, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from civitai_skill.engines.family import Measured, Need
from civitai_skill.engines.planning.plan import Price


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
