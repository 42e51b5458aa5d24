"""What the engines say about themselves, as dicts ready for JSON.

Nothing about a family stands here. Words come from its file, limits from its wire forms, prices and
sizes from the plan that a real request would get, so that a description and a request never
disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way, caution_notes, measured_now
from civitai_skill.engines.forms import Operation
from civitai_skill.engines.index import EVERYWHERE
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.planning.plan import Plan, Price, plan
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.planning.sizes import offered
from civitai_skill.engines.published.kept import in_force
from civitai_skill.engines.record import operations
from civitai_skill.engines.sizing import FollowsSource, ratio_value
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest, Quality

QUALITIES: tuple[Quality, ...] = get_args(Quality)
_SOURCE = "https://example.com/source.png"
_SOURCE_SIZE = (1024, 1024)


def estimate_offline(request: ImageRequest | Mapping[str, Any]) -> Price:
    """Price a request, or its fields, from the documented rules, without asking the service.

    Raises RequestInvalid when the engine does not take the request.
    """
    return plan(ImageRequest.of(request)).price


def describe_engine(name: str) -> dict[str, Any]:
    """Say everything that is known about one engine.

    Prices are Buzz for one picture, None where nothing is documented. Sizes are pixels, None where
    the maker decides them. Raises RequestInvalid for an unknown name.
    """
    family = catalog.family(name)
    new = {"unfamiliar": family.unfamiliar} if family.unfamiliar else {}
    return {
        "name": family.name,
        "title": family.title,
        "maker": family.maker,
        "aliases": list(catalog.find(name).aliases),
        "best_for": list(family.best_for),
        "avoid_for": list(family.avoid_for),
        "prompt": family.prompt,
        "operations": operations(family),
        "routes": list(dict.fromkeys(r for v in family.variants for r in v.routes())),
        "qualities": {} if family.unfamiliar else {q: _quality(family, q) for q in QUALITIES},
        "variants": [_variant(family, v) for v in family.variants],
        "fields": fields(family),
        "size_multiple": family.multiple,
        "ecosystems": sorted(family.ecosystems),
        "mature": family.mature,
        "licence": family.licence,
        "notes": _notes(family),
        "conflicts": list(family.conflicts),
        "sources": list(family.sources),
        **new,
    }


def _notes(family: Family) -> list[str]:
    names = tuple(variant.name for variant in family.variants if variant.retired is None)
    return [*family.notes, *caution_notes(family.cautions, names)]


def probe(
    family: Family,
    variant: Variant,
    operation: Operation | None = None,
    *,
    quality: Quality = "standard",
    ratio: str | None = None,
) -> Plan:
    """Plan the plainest request of its kind; left out, the first operation that the variant has."""
    operation = operation or variant.operations()[0]
    request = ImageRequest(
        prompt="a fox",
        engine=family.name,
        variant=variant.name,
        quality=quality,
        aspect_ratio=ratio,
        images=[] if operation == "create" else [_SOURCE],
        strength=0.5 if operation == "variant" else None,
        retired=True,
    )
    return plan(request, sources=() if operation == "create" else (_SOURCE_SIZE,))


def _quality(family: Family, quality: Quality) -> dict[str, Any]:
    variant = family.at[quality]
    decided = probe(family, variant, quality=quality)
    out: dict[str, Any] = {
        "variant": variant.name,
        "route": decided.route,
        "settings": _settings(variant, decided, quality),
        "size": list(decided.size) if decided.size else None,
        "buzz": decided.price.buzz,
    }
    if decided.operation == "create" and "edit" in variant.operations():
        out["edit_buzz"] = probe(family, variant, "edit", quality=quality).price.buzz
    return out


def _settings(variant: Variant, decided: Plan, quality: Quality) -> dict[str, Any]:
    """What is sent without being asked for, and the steps and guidance that will hold."""
    form = decided.form
    named = {n for n in ("steps", "guidance") if getattr(form, n, None) is not None}
    way = next(w for w in variant.ways if type(form) is w.form)
    known = limits(way.form)
    named |= set(way.settings(quality)) - set(form.sizing.fields)
    said = {k.label: getattr(form, n) for n, k in known.items() if n in named}
    return {label: said[label] for label in sorted(said, key=_in_order)}


def _variant(family: Family, variant: Variant) -> dict[str, Any]:
    buzz = None
    if not family.unfamiliar:
        buzz = probe(family, variant).price.buzz
    out: dict[str, Any] = {
        "name": variant.name,
        "aliases": list(variant.aliases),
        "operations": list(variant.operations()),
        "routes": variant.routes(),
        "best_for": variant.best_for,
        "avoid_for": variant.avoid_for,
        "seconds": variant.seconds,
        "buzz": buzz,
        "sizes": _sizes(family, variant),
        "notes": list(variant.notes),
    }
    measured = {
        op: seen.as_dict()
        for op in variant.operations()
        if (seen := measured_now(family.name, variant, op)) is not None
    }
    if measured:
        out["measured"] = measured
    figures = in_force().fresh_figures(family.name)
    if said := [figure.as_dict() for figure in figures if figure.variant == variant.name]:
        out["catalogue"] = said
    if variant.retired is not None:
        out["retired"] = {
            "on": variant.retired.on.isoformat() if variant.retired.on else None,
            "source": variant.retired.source,
            "instead": variant.retired.instead,
        }
    return out


def _sizes(family: Family, variant: Variant) -> dict[str, list[int] | None]:
    """The ratios the variant can be asked for, and the pixels each one means."""
    asked = ImageRequest(prompt="a fox", engine=family.name)
    ways = [Candidate(asked, family, variant, way) for way in variant.ways]
    named = {ratio for candidate in ways for ratio in offered(candidate)}
    found: dict[str, list[int] | None] = {}
    for ratio in sorted(named, key=_square_first):
        try:
            size = probe(family, variant, ratio=ratio).size
        except RequestInvalid:
            continue
        found[ratio] = list(size) if size else None
    return found


def _square_first(ratio: str) -> tuple[float, bool, str]:
    value = math.log(ratio_value(ratio))
    return abs(value), value < 0, ratio


# -- fields --------------------------------------------------------------------------------------
_DOING: dict[Operation, str] = {
    "create": "creating",
    "edit": "editing",
    "variant": "making variants",
}
_NOTHING: tuple[Any, ...] = (None, {}, [], "")


def fields(family: Family) -> dict[str, list[dict[str, Any]]]:
    """Map each field to entries of {accepts, required, where, defaults}, in the request's order.

    `defaults` are the values that hold at standard quality when the request says nothing, each
    with its own `where`; there is no such key where nothing holds.
    """
    accepted: dict[str, dict[tuple[str, bool], list[tuple[Any, Way]]]] = {}
    for variant in family.variants:
        for way in variant.ways:
            given = way.settings("standard")
            for name, limit in limits(way.form).items():
                if name in way.fixed or _is_filled_in(name, way):
                    continue
                key = _accepts(limit), limit.required and name not in given
                held = accepted.setdefault(limit.label, {}).setdefault(key, [])
                held.append((given.get(name, limit.default), way))
    return {
        name: [_entry(family, *key, held) for key, held in accepted[name].items()]
        for name in sorted(accepted, key=_in_order)
    }


def _in_order(label: str) -> tuple[int, str]:
    """The request's own fields in its order, then the engines' own by name."""
    names = list(ImageRequest.model_fields)
    return (names.index(label) if label in names else len(names), label)


def _is_filled_in(name: str, way: Way) -> bool:
    """Is it a size that the service takes from the source?"""
    sizing = way.form.sizing
    return isinstance(sizing, FollowsSource) and name in sizing.fields


def _accepts(limit: Limit) -> str:
    if limit.source == "picture" and limit.kind != "list":
        return "exactly one"
    if limit.role == "lora":
        return "a list of {air, strength}"
    if limit.bits is not None:
        return f"1 to {2 ** (limit.bits - 1) - 1}"
    return replace(limit, default=None).text()


def _entry(
    family: Family, accepts: str, required: bool, held: list[tuple[Any, Way]]
) -> dict[str, Any]:
    out: dict[str, Any] = {"accepts": accepts}
    if required:
        out["required"] = True
    out["where"] = _where(family, [way for _, way in held])
    values: dict[str, tuple[Any, list[Way]]] = {}
    for default, way in held:
        if default not in _NOTHING:
            values.setdefault(repr(default), (default, []))[1].append(way)
    if values:
        out["defaults"] = [
            {"value": value, "where": _where(family, ways)} for value, ways in values.values()
        ]
    return out


def _where(family: Family, held: list[Way]) -> list[str]:
    """Name a set of ways in few words: by what they do, by route, or by variant."""
    everything = [way for v in family.variants for way in v.ways]
    variants = [v for v in family.variants if any(way in held for way in v.ways)]
    words = _told_apart(everything, held)
    if words is not None and (len(variants) > 1 or len(variants) == len(family.variants)):
        return [words or EVERYWHERE]
    said = []
    for variant in variants:
        some = [way for way in variant.ways if way in held]
        words = _told_apart(variant.ways, some)
        each = [words] if words is not None else [" ".join(_words([way])) for way in some]
        said += [f"{variant.name} {name}".strip() for name in each]
    return said


def _told_apart(ways: Sequence[Way], held: list[Way]) -> str | None:
    """What tells `held` from the other ways: nothing (""), operations, routes, both, or None."""
    doing, by = _words(held)
    operations = {op for way in held for op in way.form.operations()}
    routes = {way.form.route() for way in held}
    same_doing = [w for w in ways if operations & set(w.form.operations())]
    same_route = [w for w in ways if w.form.route() in routes]
    both = [w for w in same_doing if w in same_route]
    meant = (("", ways), (doing, same_doing), (by, same_route), (f"{doing} {by}", both))
    return next((words for words, some in meant if len(some) == len(held)), None)


def _words(ways: list[Way]) -> tuple[str, str]:
    operations = {op for way in ways for op in way.form.operations()}
    doing = " and ".join(word for op, word in _DOING.items() if op in operations)
    return doing, "by " + " and ".join(sorted({way.form.route() for way in ways}))
