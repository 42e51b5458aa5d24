"""The source pictures inside a form or a request: found by the `Source` marks of its fields.

Nothing here knows a field's name: what a reader needs of a source is declared where the field is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from civitai_skill.schema.types import Source

Path = tuple[str | int, ...]
#: Is shown the place of a source, its mark and its text; what it gives stands there instead.
See = Callable[[Path, Source, str], str]


@cache
def holders(model: type[BaseModel]) -> Mapping[str, Source]:
    """The fields that hold sources, each with its first mark: pictures first, then by name.

    A request's fields and options are told in the same order, so that one list of opened sources
    serves both.
    """
    found = {
        name: marks[0]
        for name, field in model.model_fields.items()
        if (marks := _marks(field.annotation, field.metadata))
    }
    order = sorted(found, key=lambda name: (found[name].kind != "picture", name))
    return MappingProxyType({name: found[name] for name in order})


@cache
def picture_of(model: type[BaseModel]) -> str | None:
    """The field that holds the pictures that are edited or varied."""
    held = [name for name, mark in holders(model).items() if mark.kind == "picture"]
    return held[0] if held else None


def visit(model: type[BaseModel], name: str, value: Any, at: Path, see: See) -> Any:
    """A field's value, read or still JSON, with what `see` makes of every source in it."""
    field = model.model_fields[name]
    return _visited(field.annotation, field.metadata, value, at, see)


def sources_of(model: BaseModel) -> list[tuple[Path, Source, str]]:
    """Every source in a form or a request: where it stands, its mark, its text."""
    found: list[tuple[Path, Source, str]] = []

    def see(at: Path, mark: Source, text: str) -> str:
        found.append((at, mark, text))
        return text

    for name in holders(type(model)):
        visit(type(model), name, getattr(model, name), (name,), see)
    return found


def fill(form: type[BaseModel], sent: Mapping[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """The JSON of a form with other texts for its sources, in the order of `sources_of`."""
    left, filled = iter(places), dict(sent)
    for name in holders(form):
        key = form.model_fields[name].alias or name
        if key in sent:
            filled[key] = visit(form, name, sent[key], (), lambda *_: next(left))
    return filled


def _marks(annotation: Any, metadata: Iterable[Any] = ()) -> list[Source]:
    own = [mark for mark in (annotation, *metadata) if isinstance(mark, Source)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [*own, *holders(annotation).values()]
    return [*own, *(mark for arg in get_args(annotation) for mark in _marks(arg))]


def _visited(annotation: Any, metadata: Iterable[Any], value: Any, at: Path, see: See) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return _visited(inner, [*metadata, *marks], value, at, see)
    if origin in (Union, UnionType):
        for arg in get_args(annotation):
            value = _visited(arg, metadata, value, at, see)
        return value
    if origin is list and isinstance(value, list):
        (item,) = get_args(annotation)
        return [_visited(item, (), one, (*at, i), see) for i, one in enumerate(value)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _inside(annotation, value, at, see)
    mark = next((mark for mark in metadata if isinstance(mark, Source)), None)
    is_source = isinstance(value, str) and not value[:8].lower().startswith("urn:air:")
    return see(at, mark, value) if annotation is str and mark and is_source else value


def _inside(model: type[BaseModel], value: Any, at: Path, see: See) -> Any:
    is_read, fields, update = isinstance(value, BaseModel), model.model_fields, {}
    if not is_read and not isinstance(value, Mapping):
        return value
    for name in holders(model):
        key = name if is_read else fields[name].alias or name
        held = getattr(value, key) if is_read else value.get(key)
        if held is not None:
            update[key] = visit(model, name, held, (*at, key), see)
    return value.model_copy(update=update) if is_read else {**value, **update}
