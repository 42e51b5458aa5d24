"""Which engine for the job: the families' own answers, ranked. Offline.

What an engine fits stands in its family's file (`Variant.fits`); here needs and limits are only
compared. A candidate is planned like a real request, so a size that it lacks, a LoRA that it can't
load or a price above the limit puts it out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.choices import Choice as Choice
from civitai_skill.engines.choices import Limits, known_need
from civitai_skill.engines.family import HARD, Family, Fit, Need, Variant, measured_now
from civitai_skill.engines.index import serving
from civitai_skill.engines.limits import limits as limits_of
from civitai_skill.engines.planning.plan import Plan, Price
from civitai_skill.engines.published.kept import in_force
from civitai_skill.errors import Problem, RequestInvalid, preview
from civitai_skill.schema.air import LORA_TYPES, Air
from civitai_skill.schema.references import parse_reference
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_request
from civitai_skill.steps.needs import ALIKE, fit_of, passes_to_print
from civitai_skill.steps.needs import NEEDS as FINISHED

# Asked for, these set the order (price, or time) and make it a draft.
_BY_PRICE: frozenset[Need] = frozenset({"cheapest", "draft"})
_QUICK: frozenset[Need] = _BY_PRICE | {"fastest"}
_FROM_SOURCES: frozenset[Need] = frozenset(
    {"edit", "inpaint", "restyle", "keep_character", "several_references"}
)
#: Needs that several small pictures serve as well, one for each panel.
_PANELLED: frozenset[Need] = frozenset({"comic_or_infographic"})
_PANELS = 4

_ANYTHING: tuple[Need, ...] = ("anything",)

_SOURCE = "https://example.com/source.png"
_SOURCE_SIZE = (1024, 1024)


def choose_engine(
    needs: Sequence[str] = (),
    *,
    width: int | None = None,
    height: int | None = None,
    aspect_ratio: str | None = None,
    max_buzz: int | None = None,
    references: int = 0,
    air: str | None = None,
    engines: Sequence[str] | None = None,
    take: int | None = None,
    today: date | None = None,
) -> list[Choice]:
    """Rank the engines for what is needed, best first; nothing is sent.

    Gives the first `take` (3, or every variant where engines are named and nothing is needed), and
    behind them cheaper ways to the same end, where there are some.

    `needs` are of `civitai_skill.engines.family.NEEDS`; limits must hold: pixels or a ratio,
    `max_buzz` for one picture, how many `references` (source pictures) there are, and `air`, a LoRA
    or checkpoint that must load. `engines` narrows the search; `today` says what is withdrawn.
    Raises RequestInvalid for an unknown need, or when nothing is left.
    """
    limits = Limits(width, height, aspect_ratio, max_buzz, references, air)
    if air is not None:
        _check_air(air)
    asked = _with_implied([known_need(need) for need in dict.fromkeys(needs)], limits)
    allowed = None if engines is None else {catalog.find(name).name for name in engines}
    search = _Search(asked, limits, allowed, today or date.today())
    ranking = search.rank()
    if take is None:
        take = len(ranking.fitting) if asked == _ANYTHING and engines is not None else 3
    found = ranking.fitting[: max(1, take)]
    cheaper = list(search.in_panels(found))
    if not found:
        cheaper += search.as_draft()
    if not found and not cheaper:
        raise search.nothing(ranking)
    return found + cheaper


def _check_air(air: str) -> None:
    try:
        found = parse_reference(air)
    except ValueError as error:
        raise RequestInvalid(Problem("air", air, "an AIR", None, str(error))) from None
    if not found.is_whole:
        why = "only leads to an AIR; look the model up first"
        raise RequestInvalid(Problem("air", air, "an AIR", None, why))


def _is_lora(air: str) -> bool:
    return (Air.parse(air).type or "").lower() in LORA_TYPES


def _with_implied(asked: list[Need], limits: Limits) -> tuple[Need, ...]:
    """What the limits say without words: an AIR must load, sources mean an edit."""
    implied = list(dict.fromkeys(asked))
    if limits.air is not None and not {"lora", "checkpoint"} & set(asked):
        implied.append("lora" if _is_lora(limits.air) else "checkpoint")
    if limits.references and not _FROM_SOURCES & set(asked):
        implied.append("edit" if limits.references == 1 else "several_references")
    return tuple(implied) or _ANYTHING


@dataclass(frozen=True)
class _Ranking:
    """What fits, best first; what costs too much; what a limit puts out."""

    fitting: list[Choice]
    too_dear: list[Choice]
    refusals: list[RequestInvalid]


@dataclass(frozen=True)
class _Search:
    """What is asked for, of which engines (None: of all), and the day on which it is."""

    asked: tuple[Need, ...]
    limits: Limits
    allowed: set[str] | None
    today: date

    def rank(self) -> _Ranking:
        ranked: list[tuple[Any, Choice]] = []
        found = _Ranking([], [], [])
        # With limits alone, whoever keeps them will do.
        alone = self.asked == _ANYTHING and (self.limits != Limits() or self.allowed is not None)
        # What any engine serves with a step after it tells none from another.
        anybody = alone or FINISHED.issuperset(self.asked)
        for family, variant in self._current(anybody):
            if any(need in HARD and fit_of(variant, need) is None for need in self.asked):
                continue
            if not anybody and not any(variant.fit(need) for need in self.asked):
                continue
            try:
                choice = self._choice(family, variant)
            except RequestInvalid as error:
                found.refusals.append(error)
                continue
            if self.limits.max_buzz is not None and _most(choice.price) > self.limits.max_buzz:
                found.too_dear.append(choice)
            else:
                ranked.append((self._order(variant, choice), choice))
        ranked.sort(key=lambda pair: pair[0])
        found.fitting.extend(choice for _, choice in ranked)
        return found

    def _current(self, anybody: bool) -> Iterator[tuple[Family, Variant]]:
        """The variants that may serve and are not withdrawn."""
        useful = set(catalog.NAMES) if anybody else serving(self.asked)
        for name in catalog.NAMES:
            if name in useful and (self.allowed is None or name in self.allowed):
                family = catalog.family(name)
                for variant in family.variants:
                    if variant.retired is None or not variant.retired.passed(self.today):
                        yield family, variant

    def _order(self, variant: Variant, choice: Choice) -> tuple[float, ...]:
        """What is available first, and least unmet; then price or time where that was asked, then
        the scores, then price."""
        fits = [fit_of(variant, need) for need in self.asked]
        # Drawn so or cut out, transparent ground is the same: the price decides between the two.
        score = sum(fit.score for fit in fits if fit is not None and fit.need not in ALIKE)
        lead: tuple[float, ...] = ()
        if set(self.asked) & _BY_PRICE:
            lead = (_most(choice.price),)
        elif set(self.asked) & _QUICK:
            lead = _slowness(choice)
        return (choice.unavailable, len(choice.unmet), *lead, -score, _most(choice.price))

    # -- one candidate -------------------------------------------------------------------------
    def _choice(self, family: Family, variant: Variant) -> Choice:
        """One candidate, planned. Raises RequestInvalid where a limit puts it out."""
        fits = [fit for need in self.asked if (fit := fit_of(variant, need)) is not None]
        arguments = self._arguments(family, variant, fits)
        decided = self._planned(arguments, fits)
        if "print_4k" in self.asked and "upscale" in arguments:
            drawn = decided.form.sizing.drawn(decided.form, None)
            arguments["upscale"] = passes_to_print(drawn)
            if not arguments["upscale"]:
                del arguments["upscale"]
            decided = self._planned(arguments, fits)
        kept, paid = in_force(), ""
        figure = kept.figure(family.name, variant.name, decided.operation)
        if figure is not None and figure.buzz is not None:
            paid = f"{figure.buzz:g} Buzz at the median ({kept.catalogue}, {kept.looked_on})"
        served = {fit.need for fit in fits} | _QUICK | set(_ANYTHING)
        return Choice(
            family.name,
            variant.name,
            arguments,
            decided.price,
            decided.size,
            variant.seconds,
            max(fits, key=lambda fit: fit.score).reason if fits else variant.best_for,
            " ".join((family.prompt, *variant.notes)),
            tuple(need for need in self.asked if need not in served),
            measured_now(family.name, variant, decided.operation),
            decided.warnings,
            paid,
            figure is not None and figure.status == "unavailable",
        )

    def _arguments(self, family: Family, variant: Variant, fits: list[Fit]) -> dict[str, Any]:
        """The fields to pass: the engine, what serves the needs, and the limits, which win."""
        limits, sides = self.limits, ("width", "height")
        found: dict[str, Any] = {"engine": family.name, "variant": variant.name}
        if set(self.asked) & _QUICK:
            found["quality"] = "draft"
        for fit in reversed(fits):
            found |= fit.settings
        wanted = {n: getattr(limits, n) for n in ("aspect_ratio", *sides)}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if wanted:
            found = {n: v for n, v in found.items() if n not in ("aspect_ratio", *sides)}
            if "exact" not in found:
                found |= wanted
            elif limits.width and limits.height and not limits.aspect_ratio:
                # A size of the caller's own is the one that shall be exact.
                found["exact"] = f"{limits.width}x{limits.height}"
            else:
                del found["exact"]
                found |= wanted
        if limits.air is not None and _is_lora(limits.air):
            found["loras"] = [{"air": limits.air}]
        elif limits.air is not None:
            found["model"] = limits.air
        return found

    def _planned(self, arguments: dict[str, Any], fits: list[Fit]) -> Plan:
        sources = max([self.limits.references, *(fit.pictures for fit in fits)])
        request = ImageRequest(prompt="a picture", images=[_SOURCE] * sources, **arguments)
        decided = plan_request(request, (_SOURCE_SIZE,) * sources, today=self.today)
        wanted = "create" if not sources else "variant" if request.strength is not None else "edit"
        for limit in limits_of(type(decided.form)).values():
            given = getattr(decided.form, limit.name)
            if limit.likely and given is not None and not limit.holds(given):
                # The service might take it; nobody who asks for a choice wants to try.
                raise RequestInvalid(Problem(limit.label, given, limit.accepted()))
        if decided.operation != wanted:
            why = "it has no edit; it can only make a variant of the source"
            raise RequestInvalid(Problem("references", sources, "no sources", None, why))
        return decided

    # -- cheaper ways --------------------------------------------------------------------------
    def in_panels(self, found: list[Choice]) -> Iterator[Choice]:
        """Small pictures, one for each panel, where they cost less than half of the one page."""
        if not _PANELLED & set(self.asked):
            return
        rest = tuple(need for need in self.asked if need not in _PANELLED) or _ANYTHING
        panels = replace(self, asked=rest).rank().fitting
        most = _most(found[0].price) / 2 if found else self.limits.max_buzz or 0
        best = next((panel for panel in panels if _PANELS * _most(panel.price) <= most), None)
        if best is not None:
            way = (
                f"{_PANELS} pictures, one for each panel, put on one sheet; lettering goes beside "
                "them, not into them"
            )
            yield replace(best, way=way, pictures=_PANELS)

    def as_draft(self) -> list[Choice]:
        """The best that fits the limit as a draft, where nothing else does."""
        if set(self.asked) & _QUICK:
            return []
        drafts = replace(self, asked=(*self.asked, "draft")).rank().fitting
        way = "as a draft, to see whether it comes out well; the final picture costs more"
        served = [choice for choice in drafts if not set(choice.unmet) - {"draft"}]
        return [replace(choice, way=way) for choice in served[:1]]

    def nothing(self, ranking: _Ranking) -> RequestInvalid:
        """The refusal where nothing is left, with what came nearest."""
        given = {name: value for name, value in vars(self.limits).items() if value not in (None, 0)}
        said = ", ".join(f"{n} {preview(value)}" for n, value in given.items()) or "no limits"
        hint = ""
        if ranking.too_dear:
            near = min(ranking.too_dear, key=lambda choice: _most(choice.price))
            price = "a price that is not documented" if near.price.buzz is None else str(near.price)
            hint = f"The cheapest that can is {near.engine} {near.variant}, for {price}."
        elif ranking.refusals:
            hint = f"One of them says: {ranking.refusals[0].problems[0].sentence()}"
        why = f"no engine here serves all of this with {said}"
        problem = Problem("needs", ", ".join(self.asked), "fewer needs or looser limits", None, why)
        return RequestInvalid(problem, advice=hint)


def _most(price: Price) -> float:
    return math.inf if price.most is None else price.most


def _slowness(choice: Choice) -> tuple[float, ...]:
    """What was measured comes before what was not, however fast that is said to be."""
    if choice.measured is not None:
        return 0, choice.measured.p50
    numbers = re.findall(r"\d+", choice.seconds)
    return 1, float(numbers[-1]) if numbers else math.inf
