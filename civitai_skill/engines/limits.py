"""A form's limits, read from the form itself, for messages, tables and schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from civitai_skill.engines.forms import AirRole, Bits, Likely, Wire
from civitai_skill.engines.sources import holders
from civitai_skill.schema.request import ImageRequest

_WORDED = {
    "flag": "true or false", "list": "a list", "map": "an object", "whole": "a whole number",
    "number": "a number",
}  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """What one field of one form accepts.

    `label` is the name that a request uses: its own field, or the engine's own under `options`.
    `minimum` and `maximum` are values, `least` and `most` lengths (characters of a text, items of a
    list), `source` what the pictures in it are for; `likely` limits are nobody's word: beyond them
    the service decides.
    """

    name: str
    wire: str
    label: str
    kind: str
    required: bool
    minimum: float | None = None
    maximum: float | None = None
    least: int | None = None
    most: int | None = None
    choices: tuple[Any, ...] = ()
    default: Any = None
    bits: int | None = None
    role: str | None = None
    source: str | None = None
    likely: bool = False

    def holds(self, value: Any) -> bool:
        """Is a value within the limits?"""
        bounds = (self.minimum, self.maximum)
        if isinstance(value, str | list | dict):
            value, bounds = len(value), (self.least, self.most)
        low, high = bounds
        return (low is None or value >= low) and (high is None or value <= high)

    def text(self) -> str:
        """In a few words, such as "1 to 150 (default 20)"; the default is the service's own."""
        if self.default in (None, {}, [], ""):
            return self.accepted()
        return f"{self.accepted()} (default {_shown(self.default)})"

    def accepted(self) -> str:
        """In a few words, such as "1 to 150"."""
        if self.choices:
            said = "one of " + ", ".join(str(c) for c in self.choices)
        elif self.minimum is not None and self.maximum is not None:
            said = f"{self.minimum:g} to {self.maximum:g}"
        elif self.kind in ("list", "map") and self.most is not None:
            said = f"{self.least} to {self.most}" if self.least else f"at most {self.most}"
        elif self.kind == "text" and self.most is not None:
            least = "at most" if (self.least or 1) == 1 else f"{self.least} to"
            said = f"{least} {self.most} characters"
        else:
            said = _WORDED.get(self.kind, "text")
        if self.source is not None and self.kind == "text":
            said = "a picture: a file, an https URL or a data URL"
        if self.role not in (None, "lora"):
            said = "a list of AIRs" if self.kind == "list" else "an AIR"
        return said


@cache
def request_fields(form: type[Wire]) -> frozenset[str]:
    """The request's own fields that a form takes as they are."""
    known = limits(form)
    own = {name for name in ImageRequest.model_fields if name in known}
    return frozenset(own if "model" in own and known["model"].role == "model" else own - {"model"})


@cache
def limits(form: type[Wire]) -> Mapping[str, Limit]:
    """{attribute name: Limit} for every field but the ones that select the form."""
    tags = form.tags()
    found = {}
    for name, field in form.model_fields.items():
        if (field.alias or name) not in tags:
            mark = holders(form).get(name)
            found[name] = _limit(name, field, None if mark is None else mark.kind)
    return MappingProxyType(found)


#: What a mark says of a field, and the mark's attribute that says it.
_SAID: Mapping[type, tuple[str, str]] = {
    Ge: ("minimum", "ge"),
    Le: ("maximum", "le"),
    MinLen: ("least", "min_length"),
    MaxLen: ("most", "max_length"),
    Bits: ("bits", "size"),
    AirRole: ("role", "role"),
}


def _limit(name: str, field: FieldInfo, source: str | None) -> Limit:
    out: dict[str, Any] = {"source": source}
    kind = "text"
    for part in _parts(field.annotation, field.metadata):
        if type(part) in _SAID:
            said, attribute = _SAID[type(part)]
            out[said] = getattr(part, attribute)
        elif isinstance(part, Likely):
            out |= {"likely": True, "minimum": part.low, "maximum": part.high}
        elif isinstance(part, tuple):
            out["choices"] = part
        elif isinstance(part, str):
            kind = part
    if "likely" in out and kind not in ("whole", "number"):  # of a text or list: lengths
        out["least"], out["most"] = out.pop("minimum"), out.pop("maximum")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    wire = field.alias or name
    label = name if name in ImageRequest.model_fields else f"options.{wire}"
    label = "images" if source == "picture" else label
    return Limit(name, wire, label, kind, field.is_required(), default=default, **out)


_KINDS = {int: "whole", float: "number", bool: "flag", str: "text", list: "list", dict: "map"}


def _parts(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """The marks of an annotation, the kind of its outermost type, and its choices."""
    for mark in metadata:
        yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        yield from _parts(inner, marks)
    elif origin in (Union, UnionType):
        for arg in get_args(annotation):
            if arg is not NoneType:
                yield from _parts(arg, [])
    elif origin is Literal:
        yield get_args(annotation)
        yield "text"
    elif origin in (list, dict):
        yield _KINDS[origin]
    elif annotation in _KINDS:
        yield _KINDS[annotation]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "map"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
