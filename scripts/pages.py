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
    *some, last = catalog.NAMES
    return (
        f"- `references/NAME.md`, one each for {', '.join(some)} and {last}: read it before you "
        "write a prompt for that engine.\n"
    )


def overview() -> str:
    """All engines in one table, and what their makers have withdrawn."""
    gone = [
        f"`{name}` {variant['name']}: use {variant['retired']['instead']}"
        for name in catalog.NAMES
        for variant in describe.describe_engine(name)["variants"]
        if "retired" in variant
    ]
    lead = [
        f"Prices are Buzz for one picture at the default size, as documented in "
        f"{index.PRICES_READ}; `?` means that none is documented. `{COMMAND} engines NAME` "
        "prints everything about one.",
        cards.table().rstrip("\n"),
    ]
    return _page("The engines", lead, ("Withdrawn by their makers", gone))


def editing() -> str:
    """The engines that take source pictures: how many, for how much, and how to word the order."""
    sections = []
    for name in catalog.NAMES:
        engine = describe.describe_engine(name)
        if not {"edit", "variant"} & set(engine["operations"]):
            continue
        lines = [_edit_line(variant) for variant in _current(engine) if _takes_sources(variant)]
        field = cards.field_line(_EDITING, engine["fields"][_EDITING])
        prices = [
            f"{quality}: an edit of one picture costs {facts['edit_buzz']} Buzz"
            for quality, facts in engine["qualities"].items()
            if facts.get("edit_buzz") is not None
        ]
        sections.append((f"{name}: {engine['title']}", [*lines, field, *prices, engine["prompt"]]))
    lead = [
        "An edit follows an instruction; a variant redraws the source by `--strength`. Prices are "
        f"Buzz, as documented in {index.PRICES_READ}.",
        _table(("for", "best", "then", "then"), map(_need_row, _SOURCES)),
    ]
    return _page("Editing engines", lead, *sections)


def compared() -> str:
    """Every variant in one table, for a comparison."""
    rows = []
    for name in catalog.NAMES:
        engine = describe.describe_engine(name)
        for variant in _current(engine):
            price = "?" if variant["buzz"] is None else str(variant["buzz"])
            can, sizes = ", ".join(variant["operations"]), _largest(variant)
            best = variant["best_for"] + (
                f"; not for {variant['avoid_for']}" if variant["avoid_for"] else ""
            )
            rows.append(
                (f"`{name}` {variant['name']}", can, price, cards.seconds(variant), sizes, best)
            )
    licences = [
        f"{name}: {licence}" if licence else f"{name}: not documented"
        for name in catalog.NAMES
        for licence in [describe.describe_engine(name)["licence"]]
    ]
    filters = [
        f"{name}: {cards.moderation(describe.describe_engine(name)['mature'])}"
        for name in catalog.NAMES
    ]
    lead = [
        f"Buzz is the documented price of one picture at quality standard ({index.PRICES_READ}; "
        "`?`: none is documented). Seconds are the median and what 95 of 100 stay under, measured "
        "on 2026-08-31 in the service's public catalogue; those that say so were not measured. "
        "Judgements come from the makers' pages and guides.",
        _table(("engine and variant", "can", "Buzz", "seconds", "square", "best for"), rows),
    ]
    return _page("All variants compared", lead, ("Licences", licences), ("Filters", filters))


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
    """The needs that `choose` knows, with its first answers."""
    head = ("need", "best (Buzz)", "why")
    rows = []
    for need in NEEDS:
        choices = _choices(need)
        first = choices[0]
        rows.append((f"`{need}`", _priced(first), first.reason))
    return _table(head, rows) + "\n"


# -- parts -----------------------------------------------------------------------------------------
#: Pixels of a side that print_4k promises.
_LARGE = 4096
_SOURCES = ("edit", "keep_character", "several_references", "restyle", "print_4k")


def _need_row(need: str) -> tuple[str, ...]:
    references = {"several_references": 3}.get(need, 1)
    choices = _choices(need, references)
    if need == "print_4k":
        # Others get there by another step, which a row of flags can't say.
        choices = [c for c in choices if c.size is not None and max(c.size) >= _LARGE]
    names = [_priced(c) for c in choices]
    return (f"`{need}`", *names, *("" for _ in range(3 - len(names))))


def _choices(need: str, references: int = 0) -> list[Choice]:
    try:
        return choose_engine([need], references=references)
    except RequestInvalid:
        return choose_engine([need])


def _priced(choice: Choice) -> str:
    price = "?" if choice.price.buzz is None else str(choice.price.buzz)
    return f"`{to_flags(choice.arguments)}` ({price})"


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


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "/") for c in line) + " |" for line in lines)
