"""What a fetched document and catalogue mean for us: new engines, more in known forms, figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Way
from civitai_skill.engines.published.compare import Comparison, compare, our_forms
from civitai_skill.engines.published.derive import engines_of, family_of
from civitai_skill.engines.published.document import Document, Facts, Fields, Form, key_of
from civitai_skill.engines.published.kept import Figure, NewEngine
from civitai_skill.engines.published.ours import forms
from civitai_skill.engines.published.services import Service


def new_of(
    document: Document, source: str
) -> tuple[tuple[NewEngine, ...], dict[str, dict[str, Any]], Comparison]:
    """The engines that our files lack, what known forms have beyond them, and all that differs."""
    ours, new, more = our_forms(forms()), [], {}
    for form in document.forms:
        key, whole = key_of(form.tags), document.whole(form)
        if key not in ours:
            new.append(Form(form.tags, whole))
        elif found := dict(_more(ours[key], whole)):
            more[key] = found
    taken = [name for entry in catalog.CATALOG for name in (entry.name, *entry.aliases)]
    return tuple(engines_of(new, taken, source)), more, compare(ours, document)


def _more(ours: Fields, theirs: Fields) -> Iterator[tuple[str, Any]]:
    """New fields with their facts, and new values by the path to their field."""
    for name, facts in theirs.items():
        if name in ours:
            yield from _values(name, ours[name], facts)
        elif not facts.get("read_only"):
            yield name, facts


def _values(path: str, ours: Facts, theirs: Facts) -> Iterator[tuple[str, list[Any]]]:
    values = [v for v in theirs.get("enum", []) if v not in ours.get("enum", [])]
    if values and ours.get("enum"):
        yield path, values
    for inner in ("items", "values"):
        if inner in ours and inner in theirs:
            yield from _values(path, ours[inner], theirs[inner])
    for name in ours.get("fields", {}).keys() & theirs.get("fields", {}).keys():
        yield from _values(f"{path}.{name}", ours["fields"][name], theirs["fields"][name])


_SAID = ("status", "deprecated", "success", "buzz", "seconds", "slow")


def figures_of(services: Iterable[Service], engines: Iterable[NewEngine]) -> Iterator[Figure]:
    """What the catalogue says of each thing that each variant does: of the services that are about
    it, the one that says most closely which."""
    offered = tuple(services)
    new = (family_of(engine.name, engine.forms, "") for engine in engines)
    for family in (*catalog.families(), *new):
        for variant in family.variants:
            for operation in variant.operations():
                way = next(w for w in variant.ways if operation in w.form.operations())
                found = [s for s in offered if s.serves(_selectors(way))]
                if found:
                    service = max(found, key=lambda s: len(s.parameters))
                    said = {name: getattr(service, name) for name in _SAID}
                    yield Figure(family.name, variant.name, operation, service.id, **said)


def _selectors(way: Way) -> Mapping[str, str]:
    """What selects a variant at the service, by wire name."""
    form = way.form
    said = {form.alias(name): str(v) for name, v in (*way.default.items(), *way.fixed.items())}
    return {**said, **form.tags()}
