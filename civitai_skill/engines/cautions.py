"""Settings that a form takes and that spoil the picture: a family's data, told in every plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from civitai_skill.engines.wire import Wire


@dataclass(frozen=True)
class Outside:
    """Every number below `low` or above `high`."""

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, value: Any) -> bool:
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Caution:
    """What happens (`what`) where a form's `field` has one of the values.

    `variants` are the names of those it is true of, or how they begin; empty: of all.
    """

    what: str
    field: str
    values: frozenset[str] | Outside
    variants: tuple[str, ...] = ()

    def concerns(self, variant: str) -> bool:
        """Is it true of this variant?"""
        return not self.variants or variant.startswith(self.variants)

    def holds(self, variant: str, form: Wire) -> bool:
        """Does this form of the variant run into it?"""
        value = getattr(form, self.field, None)
        if callable(value):
            value = value()
        return value is not None and self.concerns(variant) and value in self.values


def samplers(what: str, *names: str, variants: tuple[str, ...] = ()) -> Caution:
    """Name samplers and what they do."""
    return Caution(_named("sampler", names, what), "sampler", frozenset(names), variants)


def schedules(what: str, *names: str, variants: tuple[str, ...] = ()) -> Caution:
    """Name schedules and what they do."""
    return Caution(_named("scheduler", names, what), "scheduler", frozenset(names), variants)


def _named(field: str, names: tuple[str, ...], what: str) -> str:
    return f"{field} {' or '.join(names)} {what}"


def notes(cautions: tuple[Caution, ...], variants: tuple[str, ...]) -> list[str]:
    """The cautions as notes for people: a line for all variants, and one for each group of some."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for caution in cautions:
        concerned = tuple(name for name in variants if caution.concerns(name))
        groups.setdefault(concerned, []).append(caution.what)
    return [
        f"Warned of, not refused{_whose(names, variants)}: {'; '.join(said)}."
        for names, said in groups.items()
    ]


def _whose(names: tuple[str, ...], variants: tuple[str, ...]) -> str:
    return "" if names == variants else f" on {', '.join(names)}"


def sdcpp_cautions(*variants: str) -> tuple[Caution, ...]:
    """What Civitai's own matrix says of the distilled families on sdcpp (engine guide, part 0)."""
    return (
        schedules("gives a black picture", "ays", variants=variants),
        schedules("gives noise", "gits", variants=variants),
        samplers("fails", "ddim_trailing", "tcd", variants=variants),
    )


#: Beside those, on flux1, qwen and z-image.
DISTORTING = samplers("distorts", "euler_a", "dpm++2s_a")
#: On sd1 and sdxl.
ONLY_LCM = samplers("is for LCM checkpoints and LoRAs only", "lcm")
