"""A family's fields: what each one accepts, its default, and which variants this is true of.

The forms of a family agree on most limits; what is equal is put together, so that a page stays
readable and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from civitai_skill.engines.family import Family, Way
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.wire import Operation
from civitai_skill.schema.request import ImageRequest

EVERYWHERE = "every variant"

_DOING: dict[Operation, str] = {
    "create": "creating",
    "edit": "editing",
    "variant": "making variants",
}
_SIZES = frozenset({"width", "height", "aspect_ratio", "image_size"})
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
                if name in way.fixed or (name in _SIZES and way.form.follows_source):
                    continue
                key = _accepts(limit), limit.required and name not in given
                held = accepted.setdefault(label(limit), {}).setdefault(key, [])
                held.append((given.get(name, limit.default), way))
    order = {name: i for i, name in enumerate(ImageRequest.model_fields)}
    return {
        name: [_entry(family, *key, held) for key, held in accepted[name].items()]
        for name in sorted(accepted, key=lambda name: (order.get(name, len(order)), name))
    }


def label(limit: Limit) -> str:
    """The name that a request uses: its own field, or the engine's own under `options`."""
    if limit.name == "image":
        return "images"
    return limit.name if limit.name in ImageRequest.model_fields else f"options.{limit.wire}"


def _accepts(limit: Limit) -> str:
    if limit.name == "image":
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
    variants = [v for v in family.variants if any(_among(way, held) for way in v.ways)]
    words = _told_apart(everything, held)
    if words is not None and (len(variants) > 1 or len(variants) == len(family.variants)):
        return [words or EVERYWHERE]
    said = []
    for variant in variants:
        some = [way for way in variant.ways if _among(way, held)]
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
    both = [w for w in same_doing if _among(w, same_route)]
    meant = (("", ways), (doing, same_doing), (by, same_route), (f"{doing} {by}", both))
    return next((words for words, some in meant if len(some) == len(held)), None)


def _words(ways: list[Way]) -> tuple[str, str]:
    operations = {op for way in ways for op in way.form.operations()}
    doing = " and ".join(word for op, word in _DOING.items() if op in operations)
    return doing, "by " + " and ".join(sorted({way.form.route() for way in ways}))


def _among(way: Way, ways: Iterable[Way]) -> bool:
    return any(way is other for other in ways)
