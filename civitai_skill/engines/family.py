"""What one family's file says about itself: variants, ways, sizes, guidance, needs, retirements.

A `Way` is one road to a picture: a wire form, what the variant fixes in it, and the settings that
each quality means. A `Variant` is what a user can name; its ways are in order of preference, and
the first that has the operation and the size is taken. A `Fit` says how well it serves a need, a
`Caution` which settings spoil the picture. Everything here is data; the decisions are in
`planning/`, the words for people in `cards.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal, get_args

from civitai_skill.engines.forms import Operation, Wire
from civitai_skill.engines.published.kept import in_force
from civitai_skill.engines.sizing import Sizes, ratio_value, size_at, swapped
from civitai_skill.schema.air import fold
from civitai_skill.schema.request import Quality

Values = Mapping[str, Any]

# -- needs ---------------------------------------------------------------------------------------
Need = Literal[
    "anything", "photo", "portrait", "product", "illustration", "anime", "cartoon", "pixel_art",
    "concept_art", "text_in_picture", "logo", "poster", "chinese_text", "comic_or_infographic",
    "edit", "inpaint", "restyle", "keep_character", "several_references", "transparent_background",
    "print_4k", "wallpaper", "ultra_wide", "phone_tall", "draft", "cheapest", "fastest", "lora",
    "checkpoint", "exact_seed", "real_facts", "commercial_licence", "mature",
]  # fmt: skip

NEEDS: tuple[Need, ...] = get_args(Need)

#: A variant that does not say it fits one of these can't do it, however well it fits the rest.
HARD: frozenset[Need] = frozenset(
    {
        "edit", "inpaint", "restyle", "several_references", "transparent_background", "print_4k",
        "wallpaper", "ultra_wide", "phone_tall",
        "lora", "checkpoint", "exact_seed", "commercial_licence", "mature",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """One need that a variant serves: how well, from 0 to 100, and why.

    The score is the variant's own, whatever others have: 60 is the best that judgement gives, and
    above it stands what somebody measured or voted on, who is named as the `source`. `settings` are
    the request's fields that serve the need; `pictures` is how many source pictures it takes.
    """

    need: Need
    score: int
    reason: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pictures: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.score <= (100 if self.source else 60):
            raise ValueError(f"{self.need}: a score is 0 to 60, or to 100 with a source")


# -- settings that spoil -------------------------------------------------------------------------
@dataclass(frozen=True)
class Outside:
    """Every number below `low` or above `high`."""

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, value: Any) -> bool:
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Caution:
    """What happens (`what`) where a form's `field` has one of the values: of names, or of numbers.

    `variants` are the names of those it is true of, or how they begin; empty: of all.
    """

    what: str
    field: str
    values: tuple[str, ...] | Outside
    variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        if isinstance(self.values, Outside):
            return self.what
        return f"{self.field} {' or '.join(self.values)} {self.what}"

    def concerns(self, variant: str) -> bool:
        """Is it true of this variant?"""
        return not self.variants or variant.startswith(self.variants)

    def holds(self, variant: str, form: Wire) -> bool:
        """Does this form of the variant run into it? Of a list its length counts."""
        value = getattr(form, self.field, None)
        if callable(value):
            value = value()
        value = len(value) if isinstance(value, list) else value
        return value is not None and self.concerns(variant) and value in self.values


def caution_notes(cautions: tuple[Caution, ...], variants: tuple[str, ...]) -> list[str]:
    """The cautions as notes for people: a line for all variants, and one for each group of some."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for caution in cautions:
        concerned = tuple(name for name in variants if caution.concerns(name))
        groups.setdefault(concerned, []).append(str(caution))
    whose = {names: "" if names == variants else f" on {', '.join(names)}" for names in groups}
    return [
        f"Warned of, not refused{whose[names]}: {'; '.join(said)}."
        for names, said in groups.items()
    ]


# -- the family ----------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
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


def ways(*forms: type[Wire], **settings: Values) -> tuple[Way, ...]:
    """A way by each form, with the same settings."""
    return tuple(Way(form, **settings) for form in forms)


@dataclass(frozen=True)
class Retired:
    """The maker has withdrawn it, or will on `on` (None: some time before the source was read)."""

    on: date | None
    source: str
    instead: str

    def passed(self, today: date) -> bool:
        return self.on is None or self.on <= today


@dataclass(frozen=True)
class Measured:
    """What was measured of an operation: seconds a step took, and the share that succeeded (of 1).

    `p50` is the median; 95 of 100 steps took no longer than `p95`. `source` says who measured it.
    """

    p50: float
    p95: float
    success: float
    on: date
    source: str

    def __str__(self) -> str:
        return (
            f"{self.p50:g}, rarely over {self.p95:g}; {self.success:.1%} succeed "
            f"({self.source}, {self.on})"
        )

    def as_dict(self) -> dict[str, Any]:
        said = {"median": self.p50, "rarely_over": self.p95, "success": self.success}
        return {**said, "on": self.on.isoformat(), "source": self.source}


def measured_now(engine: str, variant: Variant, operation: Operation) -> Measured | None:
    """What was measured of an operation: by the service's catalogue where that was fetched lately,
    else as the variant's file has it."""
    kept = in_force()
    figure = kept.figure(engine, variant.name, operation)
    known = {} if figure is None else figure.as_dict()
    if not {"seconds", "slow", "success"} <= known.keys():
        return variant.measured.get(operation)
    times = (known["seconds"], known["slow"], known["success"])
    return Measured(*times, kept.looked_on, kept.catalogue)


@dataclass(frozen=True)
class Variant:
    """What a user can name within a family.

    What `best_for` says where nothing is said is of those that are `retired`.
    `seconds` is what the recipe page promises, `measured` what users of the service saw.
    `sizes_at` replaces the family's recommended pixels for a quality whose pixels differ, with the
    same ratios; `ecosystems` are those of the family's that it loads, where it is not all;
    `least_pixels` are the fewest of a picture, width times height, where the maker draws no fewer.
    """

    name: str
    ways: tuple[Way, ...]
    best_for: str = "nothing new: kept for requests that must stay as they were"
    avoid_for: str = ""
    seconds: str = ""
    measured: Mapping[Operation, Measured] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    retired: Retired | None = None
    fits: tuple[Fit, ...] = ()
    sizes_at: Mapping[Quality, Sizes] = field(default_factory=dict)
    least_pixels: int = 0
    ecosystems: frozenset[str] = frozenset()

    def fit(self, need: Need) -> Fit | None:
        """How it serves a need, or None."""
        serving = [fit for fit in self.fits if fit.need == need]
        return serving[0] if serving else None

    def operations(self) -> tuple[Operation, ...]:
        found = {op for way in self.ways for op in way.form.operations()}
        return tuple(op for op in ("create", "edit", "variant") if op in found)

    def routes(self) -> list[str]:
        return [*dict.fromkeys(way.form.route() for way in self.ways)]


@dataclass(frozen=True)
class Family:
    """One engine as users know it; the whole truth about it stands in its own file.

    `quality` names the variant that each quality means (left out, the first), and `own_checkpoint`
    the one whose settings a checkpoint of the user's own gets instead. `sizes` are the recommended
    pixels by ratio, landscape and square only: portrait is the same swapped. `multiple` is the
    number of pixels that width and height must divide by. `ecosystems` are the AIR ecosystems it
    loads, in `air.fold` spelling; `embedding_ecosystems` are further ones whose embeddings it
    loads. `mature` says whether only Civitai's own moderation applies ("civitai") or a provider's
    filter as well ("provider"). `cautions` are settings that are taken and spoil the picture.
    `suits` tells models in about four words what to take it for.
    """

    name: str
    title: str
    maker: str
    suits: str
    variants: tuple[Variant, ...]
    best_for: tuple[str, ...]
    avoid_for: tuple[str, ...]
    prompt: str
    quality: Mapping[Quality, str] = field(default_factory=dict)
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
    #: Where it is known from, where no file here has it: nobody knows more of it then.
    unfamiliar: str = ""
    #: The variant that each quality means.
    at: Mapping[Quality, Variant] = field(init=False, repr=False, compare=False)
    #: Every wire form that it reaches, each once.
    forms: tuple[type[Wire], ...] = field(init=False, repr=False, compare=False)
    _spelt: Mapping[str, Variant] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spelt: dict[str, Variant] = {}
        for variant in self.variants:
            names = (variant.name, *variant.aliases)
            written = {fold(before + name) for name in names for before in ("", self.name)}
            if twice := written & spelt.keys():
                raise ValueError(f"{self.name}: names of two variants: {', '.join(sorted(twice))}")
            spelt |= dict.fromkeys(written, variant)
        own: dict[str, Any] = vars(self)  # the object is frozen for everybody else
        own["quality"] = self.quality or dict.fromkeys(get_args(Quality), self.variants[0].name)
        named = {variant.name: variant for variant in self.variants}
        unknown = {*self.quality.values(), self.own_checkpoint or self.variants[0].name} - set(
            named
        )
        if unknown or set(self.quality) != set(get_args(Quality)):
            raise ValueError(f"{self.name}: each quality names a variant (not {unknown or None})")
        own["_spelt"] = spelt
        own["at"] = {quality: named[name] for quality, name in self.quality.items()}
        own["forms"] = tuple(dict.fromkeys(w.form for v in self.variants for w in v.ways))

    def variant(self, name: str) -> Variant | None:
        """Find a variant by name or alias, without regard to case and separators.

        The family's own name may stand before it: `flux2-dev`, `Seedream 4.5`.
        """
        return self._spelt.get(fold(name))

    def size(
        self, ratio: str, variant: Variant | None = None, quality: Quality = "standard"
    ) -> tuple[int, int] | None:
        """The recommended pixels for a ratio, or None."""
        sizes = self.sizes if variant is None else variant.sizes_at.get(quality, self.sizes)
        return size_at(sizes, ratio)

    def ratios(self) -> tuple[str, ...]:
        """Every ratio with a recommended size, widest first."""
        both = {r for s in self.sizes for r in (s, swapped(s))}
        return tuple(sorted(both, key=ratio_value, reverse=True))

    @cached_property
    def selectors(self) -> list[tuple[str, Values, Values, Values]]:
        """How to know an input of each way: its variant, and by wire name what selects it, what it
        says of itself, and the defaults of its form."""
        found: list[tuple[str, Values, Values, Values]] = []
        for variant in self.variants:
            for way in variant.ways:
                form = way.form
                tags = {**form.tags(), **{form.alias(k): v for k, v in way.fixed.items()}}
                likely = {form.alias(k): v for k, v in way.default.items()}
                defaults = {f.alias or n: f.default for n, f in form.model_fields.items()}
                found.append((variant.name, tags, likely, defaults))
        return found
