"""What the engines say about themselves: dicts for programs, a table and pages for people.

Nothing about a family stands here. Words come from its file, limits from its wire forms, prices and
sizes from the plan that a real request would get, so that a description and a request never
disagree.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from civitai_skill.engines import catalog, cautions
from civitai_skill.engines.family import Family, Variant, ratio_value
from civitai_skill.engines.fields import EVERYWHERE, fields, label
from civitai_skill.engines.limits import limits
from civitai_skill.engines.plan import Plan, Price, plan
from civitai_skill.engines.wire import FAL_SIZES, Operation
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest, Quality

QUALITIES: tuple[Quality, ...] = get_args(Quality)
NOT_DOCUMENTED = "not documented"

#: When the documented prices were read; the families name their sources.
PRICES_READ = "August 2026"

_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_SOURCE = "https://example.com/source.png"
_SOURCE_SIZE = (1024, 1024)


# -- facts, ready for JSON -------------------------------------------------------------------------
def estimate_offline(request: ImageRequest | Mapping[str, Any]) -> Price:
    """Price a request, or its fields, from the documented rules, without asking the service.

    Raises RequestInvalid when the engine does not take the request.
    """
    return plan(ImageRequest.of(request)).price


def list_engines() -> list[dict[str, Any]]:
    """Sum up every engine: enough to choose one. Prices are Buzz for one picture, None unknown."""
    return [
        {
            "name": family.name,
            "title": family.title,
            "best_for": list(family.best_for),
            "avoid_for": list(family.avoid_for),
            "operations": list(_operations(family)),
            "variants": [v.name for v in family.variants if v.retired is None],
            "buzz": {q: _quality_plan(family, q).price.buzz for q in QUALITIES},
            "takes": [n for n in ImageRequest.model_fields if n in _taken(family)],
        }
        for family in catalog.families()
    ]


def describe_engine(name: str) -> dict[str, Any]:
    """Say everything that is known about one engine.

    Prices are Buzz for one picture, None where nothing is documented. Sizes are pixels, None where
    the maker decides them. Raises RequestInvalid for an unknown name.
    """
    family = catalog.family(name)
    return {
        "name": family.name,
        "title": family.title,
        "maker": family.maker,
        "aliases": list(catalog.find(name).aliases),
        "best_for": list(family.best_for),
        "avoid_for": list(family.avoid_for),
        "prompt": family.prompt,
        "operations": list(_operations(family)),
        "routes": list(dict.fromkeys(r for v in family.variants for r in v.routes())),
        "qualities": {q: _quality(family, q) for q in QUALITIES},
        "variants": [_variant(family, v) for v in family.variants],
        "fields": fields(family),
        "size_multiple": family.multiple,
        "ecosystems": sorted(family.ecosystems),
        "mature": family.mature,
        "licence": family.licence,
        "notes": _notes(family),
        "conflicts": list(family.conflicts),
        "sources": list(family.sources),
    }


def _notes(family: Family) -> list[str]:
    names = tuple(variant.name for variant in family.variants if variant.retired is None)
    return [*family.notes, *cautions.notes(family.cautions, names)]


def _operations(family: Family) -> tuple[Operation, ...]:
    found = {op for v in family.variants for op in v.operations()}
    return tuple(op for op in _OPERATIONS if op in found)


def _taken(family: Family) -> set[str]:
    taken = {name for form in family.forms() for name in limits(form)}
    if taken & {"width", "image_size"}:
        taken.add("aspect_ratio")
    if "image" in taken:
        taken.add("images")
    return taken


def _probe(
    family: Family,
    operation: Operation,
    *,
    variant: str | None = None,
    quality: Quality = "standard",
    ratio: str | None = None,
) -> Plan:
    """Plan the plainest request of its kind."""
    return plan(
        ImageRequest(
            prompt="a fox",
            engine=family.name,
            variant=variant,
            quality=quality,
            aspect_ratio=ratio,
            images=[] if operation == "create" else [_SOURCE],
            strength=0.5 if operation == "variant" else None,
        ),
        sources=() if operation == "create" else (_SOURCE_SIZE,),
    )


def _chosen(family: Family, quality: Quality) -> Variant:
    found = family.variant(family.quality[quality])
    assert found is not None, "a family's quality names its own variants"
    return found


def _quality_plan(family: Family, quality: Quality) -> Plan:
    return _probe(family, _chosen(family, quality).operations()[0], quality=quality)


def _quality(family: Family, quality: Quality) -> dict[str, Any]:
    variant = _chosen(family, quality)
    decided = _quality_plan(family, quality)
    out: dict[str, Any] = {
        "variant": variant.name,
        "route": decided.route,
        "settings": _settings(variant, decided, quality),
        "size": list(decided.size) if decided.size else None,
        "buzz": decided.price.buzz,
    }
    if decided.operation == "create" and "edit" in variant.operations():
        out["edit_buzz"] = _probe(family, "edit", quality=quality).price.buzz
    return out


def _settings(variant: Variant, decided: Plan, quality: Quality) -> dict[str, Any]:
    """What is sent without being asked for, and the steps and guidance that will hold."""
    form = decided.form
    named = {n for n in ("steps", "guidance") if getattr(form, n, None) is not None}
    way = next(w for w in variant.ways if type(form) is w.form)
    known = limits(way.form)
    named |= set(way.settings(quality)) - {"width", "height"}
    return {label(k): getattr(form, n) for n, k in known.items() if n in named}


def _variant(family: Family, variant: Variant) -> dict[str, Any]:
    decided = _probe(family, variant.operations()[0], variant=variant.name)
    out: dict[str, Any] = {
        "name": variant.name,
        "aliases": list(variant.aliases),
        "operations": list(variant.operations()),
        "routes": list(variant.routes()),
        "best_for": variant.best_for,
        "avoid_for": variant.avoid_for,
        "seconds": variant.seconds,
        "buzz": decided.price.buzz,
        "sizes": _sizes(family, variant),
        "notes": list(variant.notes),
    }
    if variant.retired is not None:
        out["retired"] = {
            "on": variant.retired.on.isoformat() if variant.retired.on else None,
            "source": variant.retired.source,
            "instead": variant.retired.instead,
        }
    return out


def _sizes(family: Family, variant: Variant) -> dict[str, list[int] | None]:
    """The ratios the variant can be asked for, and the pixels each one means."""
    named = set(family.ratios())
    for way in variant.ways:
        known = limits(way.form)
        if "aspect_ratio" in known:
            named |= {str(c) for c in known["aspect_ratio"].choices}
        if "image_size" in known:
            named |= set(FAL_SIZES)
    found: dict[str, list[int] | None] = {}
    for ratio in sorted(named, key=_square_first):
        try:
            size = _probe(family, variant.operations()[0], variant=variant.name, ratio=ratio).size
        except RequestInvalid:
            continue
        found[ratio] = list(size) if size else None
    return found


def _square_first(ratio: str) -> tuple[float, bool, str]:
    value = math.log(ratio_value(ratio))
    return abs(value), value < 0, ratio


# -- words, for people -----------------------------------------------------------------------------
def table() -> str:
    """Render the engines as a Markdown table."""
    head = ("engine", "variants", "can", "Buzz: draft, standard, high", "best for", "avoid for")
    rows = [
        (
            f"`{engine['name']}`",
            ", ".join(engine["variants"]),
            ", ".join(engine["operations"]),
            ", ".join(_buzz(engine["buzz"][q], unknown="?") for q in QUALITIES),
            "; ".join(engine["best_for"]),
            "; ".join(engine["avoid_for"]),
        )
        for engine in list_engines()
    ]
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(c.replace("|", "/") for c in line) + " |\n" for line in lines)


def card(name: str) -> str:
    """Render one engine as a page of text. Raises RequestInvalid for an unknown name."""
    return "\n".join(_card(describe_engine(name))) + "\n"


def _card(engine: dict[str, Any]) -> Iterator[str]:
    yield f"{engine['name']}: {engine['title']} by {engine['maker']}"
    if engine["aliases"]:
        yield from _wrapped("also called " + ", ".join(engine["aliases"]))
    yield from _section("Best for", engine["best_for"])
    yield from _section("Avoid for", engine["avoid_for"])
    yield from _section("How to write prompts", [engine["prompt"]])
    yield from _section(
        f"Quality, and the price of one picture (documented, {PRICES_READ})",
        [quality_line(quality, facts) for quality, facts in engine["qualities"].items()],
    )
    yield from _section("Variants", map(variant_line, engine["variants"]))
    yield from _section("Sizes", size_lines(engine))
    yield from _section("Fields", (field_line(*item) for item in engine["fields"].items()))
    if engine["ecosystems"]:
        yield from _section("Takes models and LoRAs made for", [", ".join(engine["ecosystems"])])
    yield from _section("Good to know", [*engine["notes"], moderation(engine["mature"])])
    yield from _section("Licence", [engine["licence"]] if engine["licence"] else [])
    yield from _section("Where sources disagree", engine["conflicts"])
    yield from _section("Sources", engine["sources"])


def _section(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [line for item in items for line in _wrapped(item, first="  - ", rest="    ")]
    if lines:
        yield from ("", title, *lines)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, 96, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def _buzz(buzz: int | None, unknown: str = NOT_DOCUMENTED) -> str:
    return unknown if buzz is None else str(buzz)


def quality_line(quality: str, facts: dict[str, Any]) -> str:
    size = "x".join(map(str, facts["size"])) if facts["size"] else "the engine's own size"
    settings = [f"{name} {_worded(value)}" for name, value in facts["settings"].items()]
    price = "price " + NOT_DOCUMENTED if facts["buzz"] is None else f"{facts['buzz']} Buzz"
    if facts.get("edit_buzz") is not None:
        price += f" (an edit of one picture {facts['edit_buzz']})"
    return f"{quality}: {', '.join([facts['variant'], size, *settings])}: {price}"


def variant_line(variant: dict[str, Any]) -> str:
    price = "price " + NOT_DOCUMENTED if variant["buzz"] is None else f"{variant['buzz']} Buzz"
    parts = [f"{variant['name']} ({', '.join(variant['operations'])}; {price})"]
    if variant["seconds"]:
        parts[0] = parts[0][:-1] + f"; {variant['seconds']} s)"
    parts[0] += f": {variant['best_for']}."
    if variant["avoid_for"]:
        parts.append(f"Not for {variant['avoid_for']}.")
    if "retired" in variant:
        gone = variant["retired"]
        when = f"on {gone['on']}" if gone["on"] else "already"
        parts.append(f"Withdrawn {when} ({gone['source']}); use {gone['instead']}.")
    return " ".join([*parts, *variant["notes"]])


def size_lines(engine: dict[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for variant in engine["variants"]:
        said = ", ".join(
            ratio + (f" {size[0]}x{size[1]}" if size else "")
            for ratio, size in variant["sizes"].items()
        )
        groups.setdefault(said or "takes no aspect ratio", []).append(variant["name"])
    for said, names in groups.items():
        yield said if len(groups) == 1 else f"{', '.join(names)}: {said}"
    if engine["size_multiple"] > 1 and "width" in engine["fields"]:
        yield f"width and height are multiples of {engine['size_multiple']}"


def field_line(name: str, entries: list[dict[str, Any]]) -> str:
    return f"{name}: " + "; ".join(
        entry["accepts"]
        + (", required" if entry.get("required") else "")
        + _in(entry["where"])
        + "".join(
            f", {_worded(default['value'])} when left out"
            + ("" if default["where"] == entry["where"] else _in(default["where"]))
            for default in entry.get("defaults", ())
        )
        for entry in entries
    )


def _in(where: list[str]) -> str:
    return "" if where == [EVERYWHERE] else f" ({', '.join(where)})"


def _worded(value: Any) -> str:
    """A value as JSON would write it, without quotes and without a needless fraction."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def moderation(mature: str) -> str:
    if mature == "civitai":
        return "Only Civitai's own moderation applies, where no note says otherwise."
    return "The maker's content filter applies besides Civitai's moderation."
