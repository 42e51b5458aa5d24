"""A form of ours with what a newer document has beyond it: fields, and values of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, create_model

from civitai_skill.engines.family import Family
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.published.document import key_of
from civitai_skill.engines.published.fields import attribute_of, field_of


def grown(family: Family, more: Mapping[str, Mapping[str, Any]]) -> Family:
    """The family with every form that has more in the document replaced; itself where none has."""
    forms = {form: grown_form(form, more.get(key_of(form.tags()), {})) for form in family.forms}
    if all(form is bigger for form, bigger in forms.items()):
        return family
    variants = [
        replace(v, ways=tuple(replace(way, form=forms[way.form]) for way in v.ways))
        for v in family.variants
    ]
    return replace(family, variants=tuple(variants))


def grown_form(form: type[Wire], more: Mapping[str, Any]) -> type[Wire]:
    """The form with new fields {wire name: facts} and values {path: [values]}."""
    wires = {field.alias or name: name for name, field in form.model_fields.items()}
    made: dict[str, Any] = {}
    newer: dict[str, tuple[Any, ...]] = {}
    for path, facts in more.items():
        wire, *inside = path.split(".")
        name = wires.get(wire)
        if isinstance(facts, Mapping) and name is None and not inside:
            name = attribute_of(wire, dict(facts), form.model_fields)
            made[name] = field_of(wire, dict(facts), name)
            newer[name] = ()
        elif isinstance(facts, list) and name is not None:
            field = form.model_fields[name]
            known = set(_values(field.annotation, inside))
            values = [value for value in facts if value not in known]
            if not values or not known:
                continue
            made[name] = (_wider(field.annotation, inside, tuple(values)), copy(field))
            newer[name] = (*newer.get(name, ()), *values)
    if not made:
        return form
    bigger: Any = create_model(form.__name__, __base__=form, **made)
    bigger.newer = newer
    found: type[Wire] = bigger
    return found


def _values(annotation: Any, inside: list[str]) -> Iterator[Any]:
    """The values that a place takes now."""
    if get_origin(annotation) is Literal and not inside:
        yield from get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and inside:
        for name, field in annotation.model_fields.items():
            if inside[0] == (field.alias or name):
                yield from _values(field.annotation, inside[1:])
    else:
        for arg in get_args(annotation):
            yield from _values(arg, inside)


def _wider(annotation: Any, inside: list[str], values: tuple[Any, ...]) -> Any:
    """The annotation with more values at a place."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal and not inside:
        return Literal[(*args, *values)]
    if origin is Annotated:
        return Annotated[_wider(args[0], inside, values), *args[1:]]
    if origin in (Union, UnionType):
        return Union[tuple(_wider(arg, inside, values) for arg in args)]  # noqa: UP007
    if origin in (list, dict):
        return origin[tuple(_wider(arg, inside, values) for arg in args)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and inside:
        for name, field in annotation.model_fields.items():
            if inside[0] == (field.alias or name):
                made: Any = {name: (_wider(field.annotation, inside[1:], values), copy(field))}
                return create_model(annotation.__name__, __base__=annotation, **made)
    return annotation
