"""What one family's file says about itself: variants, ways, sizes, guidance, retirements.

A `Way` is one road to a picture: a wire form, what the variant fixes in it, and the settings that
each quality means. A `Variant` is what a user can name; its ways are in order of preference, and
the first that has the operation and the size is taken. Everything here is data; the decisions are
in `plan.py` and the words for people in `describe.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from civitai_skill.engines.cautions import Caution
from civitai_skill.engines.needs import Fit, Need
from civitai_skill.engines.wire import Operation, Wire
from civitai_skill.schema.air import fold
from civitai_skill.schema.request import Quality

Values = Mapping[str, Any]
Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Way:
    """One road to a picture. Keys are attribute names of the form; explicit request fields win.

    `fixed` selects the variant and can't be changed; `default` holds for every quality; `draft`,
    `standard` and `high` add what that quality means.
    """

    form: type[Wire]
    fixed: Values = field(default_factory=dict)
    default: Values = field(default_factory=dict)
    draft: Values = field(default_factory=dict)
    standard: Values = field(default_factory=dict)
    high: Values = field(default_factory=dict)

    def settings(self, quality: Quality) -> dict[str, Any]:
        """What is sent for this quality when the request says nothing itself."""
        return {**self.default, **getattr(self, quality)}


@dataclass(frozen=True)
class Retired:
    """The maker has withdrawn it, or will on `on` (None: some time before the source was read)."""

    on: date | None
    source: str
    instead: str

    def passed(self, today: date) -> bool:
        return self.on is None or self.on <= today


@dataclass(frozen=True)
class Variant:
    """What a user can name within a family.

    `sizes_at` replaces the family's recommended pixels for a quality whose pixels differ, with the
    same ratios.
    """

    name: str
    ways: tuple[Way, ...]
    best_for: str
    avoid_for: str = ""
    seconds: str = ""
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    retired: Retired | None = None
    fits: tuple[Fit, ...] = ()
    sizes_at: Mapping[Quality, Sizes] = field(default_factory=dict)

    def fit(self, need: Need) -> Fit | None:
        """How it serves a need, or None."""
        return next((fit for fit in self.fits if fit.need == need), None)

    def operations(self) -> tuple[Operation, ...]:
        found = {op for way in self.ways for op in way.form.operations()}
        return tuple(op for op in ("create", "edit", "variant") if op in found)

    def routes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(way.form.route() for way in self.ways))


@dataclass(frozen=True)
class Family:
    """One engine as users know it; the whole truth about it stands in its own file.

    `quality` names the variant that each quality means, and `own_checkpoint` the one whose settings
    a checkpoint of the user's own gets instead. `sizes` are the recommended pixels by ratio,
    landscape and square only: portrait is the same swapped. `multiple` is the number of pixels that
    width and height must divide by. `ecosystems` are the AIR ecosystems it loads, in `air.fold`
    spelling; `embedding_ecosystems` are further ones whose embeddings it loads. `mature` says
    whether only Civitai's own moderation applies ("civitai") or a provider's filter as well
    ("provider"). `cautions` are settings that are taken and spoil the picture.
    """

    name: str
    title: str
    maker: str
    variants: tuple[Variant, ...]
    quality: Mapping[Quality, str]
    best_for: tuple[str, ...]
    avoid_for: tuple[str, ...]
    prompt: str
    own_checkpoint: str = ""
    sizes: Sizes = field(default_factory=dict)
    multiple: int = 1
    ecosystems: frozenset[str] = frozenset()
    embedding_ecosystems: frozenset[str] = frozenset()
    mature: str = "provider"
    licence: str = ""
    cautions: tuple[Caution, ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def variant(self, name: str) -> Variant | None:
        """Find a variant by name or alias, without regard to case and separators.

        The family's own name may stand before it: `flux2-dev`, `Seedream 4.5`.
        """
        wanted = fold(name)
        for variant in self.variants:
            names = (variant.name, *variant.aliases)
            if wanted in {fold(n) for n in names} | {fold(self.name + n) for n in names}:
                return variant
        return None

    def size(
        self, ratio: str, variant: Variant | None = None, quality: Quality = "standard"
    ) -> tuple[int, int] | None:
        """The recommended pixels for a ratio, or None."""
        sizes = self.sizes if variant is None else variant.sizes_at.get(quality, self.sizes)
        if ratio in sizes:
            return sizes[ratio]
        swapped = ":".join(reversed(ratio.split(":")))
        if swapped in sizes:
            width, height = sizes[swapped]
            return height, width
        return None

    def ratios(self) -> tuple[str, ...]:
        """Every ratio with a recommended size, widest first."""
        both = {r for s in self.sizes for r in (s, ":".join(reversed(s.split(":"))))}
        return tuple(sorted(both, key=ratio_value, reverse=True))

    def forms(self) -> tuple[type[Wire], ...]:
        """Every wire form the family reaches, each once."""
        return tuple(dict.fromkeys(w.form for v in self.variants for w in v.ways))


def ratio_value(ratio: str) -> float:
    """16:9 as a number; `auto` counts as square."""
    wide, colon, high = ratio.partition(":")
    return float(wide) / float(high) if colon and float(high) else 1.0
