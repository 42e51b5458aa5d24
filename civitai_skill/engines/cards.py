"""What the engines say about themselves, in words for people: a table and a page each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from civitai_skill.engines.index import EVERYWHERE, PRICES_READ, list_engines

NOT_DOCUMENTED = "not documented"
_WIDTH = 96


def table() -> str:
    """Render the engines as a Markdown table, with the catalogue's fresh figures."""
    head = ["engine", "variants", "can", "Buzz: draft, standard, high", "best for", "avoid for"]
    engines = list_engines()
    rows = [
        [
            f"`{engine['name']}`",
            ", ".join(engine["variants"]),
            ", ".join(engine["operations"]),
            ", ".join(_buzz(buzz, unknown="?") for buzz in engine["buzz"].values()),
            "; ".join(engine["best_for"]) or f"new, no guidance: from {engine['unfamiliar']}",
            "; ".join(engine["avoid_for"]),
        ]
        for engine in engines
    ]
    looked = next((e["catalogue"] for e in engines if "catalogue" in e), None)
    if looked is not None:
        head.append(f"median seconds, success, Buzz ({looked['source']}, {looked['on']})")
        for row, engine in zip(rows, engines, strict=True):
            figures = engine.get("catalogue", {}).get("figures", [])
            row.append("; ".join(filter(None, map(_standing, figures))))
    lines = [head, ["---" for _ in head], *rows]
    return "".join("| " + " | ".join(c.replace("|", "/") for c in line) + " |\n" for line in lines)


def _standing(figure: dict[str, Any]) -> str:
    """What the catalogue says of one thing that a variant does; empty where it has no figures."""
    said = [f"{figure['seconds']:g}"] if "seconds" in figure else []
    said += [f"{figure['success']:.0%}"] if "success" in figure else []
    said += [f"{figure['buzz']:g} Buzz"] if "buzz" in figure else []
    said += [figure["status"]] if figure.get("status") in ("degraded", "unavailable") else []
    said += ["deprecated"] if figure.get("deprecated") else []
    return f"{figure['variant']} {figure['operation']} {', '.join(said)}" if said else ""


def card(name: str) -> str:
    """Render one engine as a page of text. Raises RequestInvalid for an unknown name."""
    from civitai_skill.engines.describe import describe_engine  # the table loads no family

    return "\n".join(_card(describe_engine(name))) + "\n"


def _card(engine: dict[str, Any]) -> Iterator[str]:
    yield f"{engine['name']}: {engine['title']} by {engine['maker']}"
    if engine["aliases"]:
        names = "also called " + ", ".join(engine["aliases"])
        yield from textwrap.wrap(names, _WIDTH, break_on_hyphens=False)
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
    wrapper = textwrap.TextWrapper(
        _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
    )
    lines = [line for item in items for line in wrapper.wrap(item)]
    if lines:
        yield from ("", title, *lines)


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
    parts[0] = parts[0][:-1] + f"; {time})" if (time := seconds(variant)) else parts[0]
    parts[0] += f": {variant['best_for']}."
    if variant["avoid_for"]:
        parts.append(f"Not for {variant['avoid_for']}.")
    if "retired" in variant:
        gone = variant["retired"]
        when = f"on {gone['on']}" if gone["on"] else "already"
        parts.append(f"Withdrawn {when} ({gone['source']}); use {gone['instead']}.")
    return " ".join([*parts, *variant["notes"]])


def seconds(variant: dict[str, Any]) -> str:
    """Say how long it takes: as measured, by operation, and as the recipe page promises."""
    seen = variant.get("measured", {})
    said = [
        f"{operation} {facts['median']:g} s, rarely over {facts['rarely_over']:g} "
        f"({facts['success']:.1%} succeed)"
        for operation, facts in seen.items()
    ]
    if variant["seconds"] and len(seen) < len(variant["operations"]):
        said.append(f"{variant['seconds']} s by its page, not measured")
    return "; ".join(said)


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
    if mature == "unknown":
        return "Whether a maker's content filter applies besides Civitai's moderation is not known."
    if mature == "civitai":
        return "Only Civitai's own moderation applies, where no note says otherwise."
    return "The maker's content filter applies besides Civitai's moderation."
