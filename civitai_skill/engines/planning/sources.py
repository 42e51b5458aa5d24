"""Every source picture that a request names, in its own fields and in its engine's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.sizing import Size
from civitai_skill.engines.sources import Path, See, holders, picture_of, visit
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import Source


def named(request: ImageRequest) -> list[tuple[str, str]]:
    """The sources, each with its field; in the order in which a form holds them."""
    found: list[tuple[str, str]] = []

    def see(at: Path, mark: Source, text: str) -> str:
        alone = at[1:] == (0,) and len(getattr(request, str(at[0]))) == 1
        found.append((".".join(map(str, at[:1] if alone else at)), text))
        return text

    if request.options or any(getattr(request, name) for name in holders(type(request))):
        with_sources(request, see)
    return found


def check_masks(sizes: Mapping[str, Size | None]) -> None:
    """Refuse a mask whose pixels are not its picture's; {field of a source: its size, if known}."""
    for field, size in sizes.items():
        inside, _, name = field.rpartition(".")
        if name != "mask":
            continue
        picture = f"{inside}.image" if inside else next(f for f in sizes if f.startswith("images"))
        wanted = sizes.get(picture)
        if size is not None and wanted is not None and size != wanted:
            given, accepted = ("x".join(map(str, pixels)) for pixels in (size, wanted))
            why = "a mask has the size of its picture"
            raise RequestInvalid(Problem(field, given, f"{accepted}, as {picture}", None, why))


def with_sources(request: ImageRequest, see: See) -> dict[str, Any]:
    """The fields that hold sources, as JSON, with what `see` makes of each source."""
    fields: dict[str, Any] = {}
    for name in holders(type(request)):
        if getattr(request, name):
            value = request.model_dump(include={name})[name]
            fields[name] = visit(type(request), name, value, (name,), see)
    if not request.options:
        return fields
    options = dict(request.options)
    marked = {
        fold(form.alias(name)): (name, form)
        for form in reversed(catalog.family(request.engine).forms)
        for name in holders(form)
        if name != picture_of(form)
    }
    for _, key in sorted((marked[fold(k)][0], k) for k in options if fold(k) in marked):
        name, form = marked[fold(key)]
        options[key] = visit(form, name, options[key], ("options", key), see)
    return {**fields, "options": options}
