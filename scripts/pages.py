"""The skills' reference pages, in Markdown, from the engines' own data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from civitai_skill.adapters.cli.engines import to_flags
from civitai_skill.engines import cards, catalog, describe, index
from civitai_skill.engines.choose import Choice, choose_engine
from civitai_skill.engines.family import NEEDS
from civitai_skill.errors import RequestInvalid
from civitai_skill.steps.catalog import STEPS
from civitai_skill.steps.image_to_svg import TO_SVG

RENDERED = "<!-- Rendered by scripts/render.py from the engines' data. Do not edit. -->\n"
COMMAND = "python3 scripts/civitai.py"
#: How a field's line names the forms that edit, and those that make variants.
_EDITING = "images"


def guide(name: str) -> str:
    """How to write prompts for one engine, and what to ask of it."""
    engine = describe.describe_engine(name)
    more = f"Sizes, limits and everything else: `{COMMAND} engines {name}`."
    return _page(
        f"{name}: {engine['title']}",
        [engine["prompt"]],
        ("Its variants", map(cards.variant_line, _current(engine))),
        (
            f"What each quality means, and costs for one picture ({index.PRICES_READ})",
            (cards.quality_line(*item) for item in engine["qualities"].items()),
        ),
        ("Good for, bad for", _uses(engine)),
        ("Good to know", [*engine["notes"], cards.moderation(engine["mature"])]),
        (None, [more]),
    )


def named() -> str:
    """The line of the skill that names each engine's page."""
    return (
        f"- `references/NAME.md`, one each for {_and(catalog.NAMES)}: its prompts and variants.\n"
    )


def overview() -> str:
    """All engines in one list, and what their makers have withdrawn."""
    gone = [
        f"`{name}` {variant['name']}: use {variant['retired']['instead']}"
        for name in catalog.NAMES
        for variant in describe.describe_engine(name)["variants"]
        if "retired" in variant
    ]
    lead = [
        "In brackets: the Buzz of one picture at draft/standard/high and the default size, as "
        f"documented in {index.PRICES_READ} (`?`: not documented). `{COMMAND} engines NAME` "
        "prints everything about one.",
    ]
    rows = [
        f"`{engine['name']}` ({_three(engine['buzz'].values())}): {'; '.join(engine['best_for'])}"
        for engine in index.list_engines()
    ]
    return _page("The engines", lead, ("Best for", rows), ("Withdrawn by their makers", gone))


def editing() -> str:
    """The engines that take source pictures: what each can do with how many, and for how much."""
    rows = []
    for name in EDITORS:
        engine = describe.describe_engine(name)
        variants = [v for v in _current(engine) if _takes_sources(v)]
        can = ", ".join(
            w for w in ("edit", "variant") if any(w in v["operations"] for v in variants)
        )
        prices = [facts.get("edit_buzz") for facts in engine["qualities"].values()]
        rows.append(f"`{name}` ({can}): {_three(prices)}")
    lead = [
        "An edit follows an instruction; a variant redraws the source by `--strength`. Numbers "
        "are the Buzz of one picture from one source, below at draft/standard/high, as documented "
        f"in {index.PRICES_READ} (`?`: not documented).",
    ]
    best = map(_need_line, _SOURCES)
    return _page("Editing engines", lead, ("The best for it, then the next", best), ("All", rows))


def edit_guide(name: str) -> str:
    """What one engine does with source pictures: how many, for how much, how to word the order."""
    engine = describe.describe_engine(name)
    lines = [_edit_line(variant) for variant in _current(engine) if _takes_sources(variant)]
    prices = _three(facts.get("edit_buzz") for facts in engine["qualities"].values())
    cost = f"An edit of one picture costs {prices} Buzz, as documented, at draft/standard/high."
    return _page(
        f"Edits with {name}: {engine['title']}",
        [engine["prompt"]],
        ("Its variants", lines),
        ("Sources", [cards.field_line(_EDITING, engine["fields"][_EDITING])]),
        (None, [] if prices == "?" else [cost]),
    )


def editors() -> str:
    """The line of the editing skill that names each engine's page."""
    return (
        f"- `references/NAME.md`, one each for {_and(EDITORS)}: how many sources, and how to word "
        "the order. Read it for an engine that the rows above do not settle.\n"
    )


def compared(band: str) -> str:
    """The variants whose price of one picture is in a band of BANDS, side by side."""
    engines = ((name, describe.describe_engine(name)) for name in catalog.NAMES)
    sections = [
        (
            f"{name}: {engine['title']}",
            [_compared_line(v) for v in _current(engine) if _band(v) == band],
        )
        for name, engine in engines
    ]
    lead = [
        f"In brackets: Buzz, as documented in {index.PRICES_READ} for one picture at quality "
        "standard; what it can; the seconds that half of the pictures took at most, that 95 of 100 "
        "did, and how many succeeded, measured on 2026-08-31 in the service's public catalogue "
        "(`promised`: by its page, not measured); its size at 1:1.",
    ]
    return _page(
        f"Variants compared: {band.replace('-', ' ').replace('buzz', 'Buzz')}", lead, *sections
    )


def licences() -> str:
    """What the weights of each engine allow, and whose filters a prompt passes."""
    engines = {name: describe.describe_engine(name) for name in catalog.NAMES}
    said = [f"{name}: {engine['licence'] or 'not documented'}" for name, engine in engines.items()]
    filters: dict[str, list[str]] = {}
    for name, engine in engines.items():
        filters.setdefault(cards.moderation(engine["mature"]), []).append(name)
    lines = [f"{_and(names)}: {rule}" for rule, names in filters.items()]
    return _page("Licences and filters", [], ("Licences", said), ("Filters", lines))


def finishing() -> str:
    """The steps that prepare or finish a picture: what each does, costs, and takes."""
    sections = []
    for kind, form in STEPS.items():
        own = TO_SVG.items() if kind == "imageToSvg" else ()
        settings = [f"{name}: {_step_fields(made)}" for name, made in own]
        lines = [f"It {form.does}. Price: {form.charges}.", *form.notes, *settings]
        sections.append((kind, lines))
    lead = ["What the service does before or after a picture is drawn, by the names of its steps."]
    return _page("The finishing steps", lead, *sections)


def _step_fields(form: Any) -> str:
    """The settings of a form with their limits and defaults."""
    found = []
    for name, field in form.model_json_schema(by_alias=True)["properties"].items():
        kind = {**field, **next((p for p in field.get("anyOf", ()) if p["type"] != "null"), {})}
        if name in ("engine", "ecosystem", form.source()):
            continue
        if "enum" in kind:
            said = " or ".join(kind["enum"])
        elif "minimum" in kind:
            said = f"{kind['minimum']:g} to {kind['maximum']:g}"
        else:
            said = "text"
        default = kind.get("default")
        found.append(f"`{name}` {said}" + (f" ({default})" if default is not None else ""))
    return ", ".join(found)


def needs() -> str:
    """The needs that `choose` knows."""
    return ", ".join(f"`{need}`" for need in NEEDS) + "\n"


def first_answers() -> str:
    """What `choose` answers first to each need, and why."""
    rows = []
    for need in NEEDS:
        first = _choices(need)[0]
        rows.append(f"`{need}`: {_priced(first)}: {first.reason}")
    return _page("Needs", [], ("The best, the Buzz of one picture, and why", rows))


# -- parts -----------------------------------------------------------------------------------------
#: The pages of the comparison, by the most Buzz that a picture costs there; None for no end.
BANDS = {"up-to-10-buzz": 10, "11-to-50-buzz": 50, "above-50-buzz": None}
UNPRICED, UNPRICED_EDITING = "unpriced", "unpriced-editing"
PAGES = (*BANDS, UNPRICED, UNPRICED_EDITING)
#: The engines that take source pictures.
EDITORS = tuple(
    name
    for name in catalog.NAMES
    if {"edit", "variant"} & set(describe.describe_engine(name)["operations"])
)
#: Pixels of a side that print_4k promises.
_LARGE = 4096
_SOURCES = ("edit", "keep_character", "several_references", "restyle", "print_4k")


def _need_line(need: str) -> str:
    references = {"several_references": 3}.get(need, 1)
    choices = _choices(need, references)
    if need == "print_4k":
        # Others get there by another step, which a row of flags can't say.
        choices = [c for c in choices if c.size is not None and max(c.size) >= _LARGE]
    return f"`{need}`: {', '.join(map(_priced, choices))}"


def _choices(need: str, references: int = 0) -> list[Choice]:
    try:
        return choose_engine([need], references=references)
    except RequestInvalid:
        return choose_engine([need])


def _priced(choice: Choice) -> str:
    price = "?" if choice.price.buzz is None else str(choice.price.buzz)
    return f"`{to_flags(choice.arguments)}` ({price})"


def _band(variant: dict[str, Any]) -> str:
    buzz = variant["buzz"]
    if buzz is None:
        return UNPRICED_EDITING if _takes_sources(variant) else UNPRICED
    return next(band for band, most in BANDS.items() if most is None or buzz <= most)


def _compared_line(variant: dict[str, Any]) -> str:
    price = [] if variant["buzz"] is None else [f"{variant['buzz']} Buzz"]
    known = [*price, "/".join(variant["operations"]), *_times(variant), _largest(variant)]
    line = f"`{variant['name']}` ({', '.join(filter(None, known))}): {variant['best_for']}"
    return line + (f"; not for {variant['avoid_for']}" if variant["avoid_for"] else "")


def _times(variant: dict[str, Any]) -> Iterator[str]:
    seen = variant.get("measured", {})
    for operation, facts in seen.items():
        yield (f"{operation} {facts['median']:g}/{facts['rarely_over']:g} s {facts['success']:.1%}")
    if variant["seconds"] and len(seen) < len(variant["operations"]):
        yield f"{variant['seconds']} s promised"


def _and(names: Iterable[str]) -> str:
    *some, last = names
    return f"{', '.join(some)} and {last}" if some else last


def _three(prices: Iterable[int | None]) -> str:
    """The prices of three qualities; one mark where none is documented."""
    said = ["?" if price is None else str(price) for price in prices]
    return "/".join(said) if set(said) != {"?"} else "?"


def _current(engine: dict[str, Any]) -> list[dict[str, Any]]:
    return [variant for variant in engine["variants"] if "retired" not in variant]


def _takes_sources(variant: dict[str, Any]) -> bool:
    return bool({"edit", "variant"} & set(variant["operations"]))


def _edit_line(variant: dict[str, Any]) -> str:
    can = [word for word in variant["operations"] if word != "create"]
    return f"`{variant['name']}` ({', '.join(can)}): {variant['best_for']}"


def _largest(variant: dict[str, Any]) -> str:
    size = variant["sizes"].get("1:1")
    return "x".join(map(str, size)) if size else ""


def _uses(engine: dict[str, Any]) -> Iterator[str]:
    yield "Good for " + "; ".join(engine["best_for"])
    yield "Bad for " + "; ".join(engine["avoid_for"])


def _page(title: str, lead: Iterable[str], *sections: tuple[str | None, Iterable[str]]) -> str:
    blocks = [RENDERED.rstrip("\n"), f"# {title}", *lead]
    for heading, items in sections:
        lines = list(items)
        if not lines:
            continue
        if heading is None:
            blocks += lines
        else:
            blocks += [f"## {heading}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(blocks) + "\n"
