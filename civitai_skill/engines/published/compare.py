"""What a document says otherwise than our files: forms, fields, values, limits that are judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from civitai_skill.engines.published.document import Document, Facts, Fields, key_of

_LIMITS = ("minimum", "maximum", "min_length", "max_length", "min_items", "max_items", "default")


@dataclass(frozen=True)
class Change:
    """One difference. `field` is empty where the form itself is new or gone; `ours` is what our
    file has, `theirs` what the document has."""

    form: str
    field: str
    what: str
    ours: str = ""
    theirs: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}

    def __str__(self) -> str:
        place = f"{self.form}: {self.field}" if self.field else self.form
        said = f" ({self.ours or 'nothing'} here, {self.theirs or 'nothing'} there)"
        return f"{place}: {self.what}{said if self.ours or self.theirs else ''}"


@dataclass(frozen=True)
class Comparison:
    """A document beside our files: how many of its forms we have, and what differs."""

    known: int
    total: int
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return f"{self.known} of {self.total} forms"


def compare(ours: Mapping[str, Fields], document: Document) -> Comparison:
    """Compare our forms, {key: fields}, with a document's."""
    theirs = {key_of(form.tags): form for form in document.forms}
    changes: list[Change] = []
    for key, form in theirs.items():
        said = " ".join(f"{name}={value}" for name, value in form.tags.items())
        if key not in ours:
            changes.append(Change(said, "", "new form"))
        else:
            mine = {name: facts for name, facts in ours[key].items() if name not in form.tags}
            whole = document.whole(form)
            # Where nobody published the limits, a default is no more than likely either.
            added = any("likely" in facts for facts in whole.values())
            given = {name: facts for name, facts in whole.items() if name not in form.tags}
            found = _of_fields(said, "", mine, given)
            changes += [c for c in found if not (added and c.what == "default" and not c.theirs)]
    changes += [Change(key, "", "form is gone") for key in ours if key not in theirs]
    known = sum(key in ours for key in theirs)
    return Comparison(known, len(theirs), tuple(changes))


def our_forms(forms: Iterable[Any]) -> dict[str, Fields]:
    """Our forms, or some of them, as `compare` takes them."""
    from civitai_skill.engines.published.ours import fields_of

    return {key_of(form.tags()): fields_of(form) for form in forms}


def _of_fields(form: str, above: str, ours: Fields, theirs: Fields) -> Iterator[Change]:
    for name in sorted({*ours, *theirs}):
        place = f"{above}{name}"
        if name not in ours:
            yield Change(form, place, "new field", "", _told(theirs[name]))
        elif name not in theirs:
            yield Change(form, place, "field is gone", _told(ours[name]), "")
        else:
            yield from _of_one(form, place, ours[name], theirs[name])


def _of_one(form: str, place: str, ours: Facts, theirs: Facts) -> Iterator[Change]:
    kinds = [f"{f['type']}{' or null' if f.get('null') else ''}" for f in (ours, theirs)]
    if ours["type"] != theirs["type"]:
        yield Change(form, place, "type", *kinds)
        return
    values = [list(f.get("enum", [])) for f in (ours, theirs)]
    for what, of, than in (("new value", 1, 0), ("value is gone", 0, 1)):
        more = [value for value in values[of] if value not in values[than]]
        if more and (values[of] and values[than]):
            said = ", ".join(map(_shown, more))
            yield Change(form, place, what, *(("", said) if of else (said, "")))
    if bool(values[0]) != bool(values[1]):
        told = [", ".join(map(_shown, some)) or "anything" for some in values]
        yield Change(form, place, "values", *told)
    for name in _LIMITS:
        # What nobody published is no judge; what we took for likely may be published since.
        mine = ours.get(name, ours.get("likely", {}).get(name))
        given = theirs.get(name, theirs.get("likely", {}).get(name))
        judged = name in theirs or name in ours
        if judged and mine != given:
            yield Change(form, place, name.replace("_", " "), _shown(mine), _shown(given))
    for inner in ("items", "values"):
        if inner in ours and inner in theirs:
            yield from _of_one(form, place, ours[inner], theirs[inner])
    if "fields" in ours and "fields" in theirs:
        yield from _of_fields(form, f"{place}.", ours["fields"], theirs["fields"])


def _told(facts: Facts) -> str:
    enum = facts.get("enum")
    return ", ".join(map(_shown, enum)) if enum else str(facts["type"])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
