"""Field types that mean what JSON Schema means: 7.0 is an integer, true is not a number."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
)
from pydantic_core import CoreSchema

from civitai_skill.schema.air import EXAMPLE, is_air
from civitai_skill.schema.references import ACCEPTED, BareName, parse_reference


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def read_json(data: str | bytes | bytearray, **hooks: Any) -> Any:
    """JSON from outside as its value. Raises ValueError, also for what is nested too deep."""
    try:
        return json.loads(data, **hooks)
    except RecursionError:
        raise json.JSONDecodeError("too deep", "", 0) from None


def is_unicode(value: str) -> bool:
    """Can the text be sent? Half a character (a lone surrogate) can't."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unicode(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        why = "holds half a character (a lone surrogate); send valid Unicode"
        raise ValueError(why) from None
    return value


def _air(value: str) -> str:
    if not is_air(value):
        raise ValueError(f"not an AIR; one looks like {EXAMPLE}")
    return value


def _reference(value: str) -> str:
    try:
        return parse_reference(value).text
    except BareName as error:
        raise BareName(f"{error}; say {ACCEPTED}") from None
    except ValueError as error:
        raise ValueError(f"{error}; say {ACCEPTED}") from None


def _checkpoint(value: str) -> str:
    try:
        return _reference(value)
    except BareName:
        if not value.strip():
            raise
        return value.strip()


def lower(value: Any) -> Any:
    """A word in lower case, without blanks around it; anything else as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def _clamp(value: Any) -> Any:
    """What is beyond any float as the largest one, so that the field's own limit answers."""
    most = sys.float_info.max
    if isinstance(value, int | float) and abs(value) > most:
        return most if value > 0 else -most
    return value


def _clamp_integer(value: Any) -> Any:
    """The same, but infinity stays: that it is not finite says more than the limits."""
    return _clamp(value) if isinstance(value, int) else value


def _side(value: Any) -> Any:
    # What fills a field that is meant to be left out; anything else is answered by the limits.
    if isinstance(value, int | float) and -10_000 <= value <= 0:
        raise ValueError("no size; leave it out, or say pixels such as 1024")
    return value


@dataclass(frozen=True)
class Bounds:
    """The limits of a whole number. pydantic's own, put behind what reads the value, would reach
    JSON Schema under names that it does not have (`ge`)."""

    least: int
    most: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema: Any = handler(source)
        inner = schema
        while inner["type"].startswith("function-"):
            inner = inner["schema"]
        inner["ge"] = self.least
        if self.most is not None:
            inner["le"] = self.most
        return schema  # type: ignore[no-any-return]


Whole = Annotated[int, Strict(), BeforeValidator(_integral)]
Buzz = Annotated[Whole, Bounds(0)]
#: A bound stands before what reads the value: else JSON Schema does not get it.
Positive = Annotated[int, Strict(), Ge(1), BeforeValidator(_integral)]
Number = Annotated[float, Strict(), AllowInfNan(False), PlainSerializer(_short)]
Side = Annotated[Positive, BeforeValidator(_side)]
#: A number whose field has limits.
Limited = Annotated[Number, BeforeValidator(_clamp)]
Share = Annotated[Number, Ge(0), Le(1), BeforeValidator(_clamp_integer)]
#: Words for how far a variant may leave its source, on the scale of `strength`. A judgement: the
#: engines' own defaults are 0.7 and 0.75.
STRENGTHS = {"touch": 0.35, "clear": 0.6, "strong": 0.8}


def _read_strength(value: Any) -> Any:
    return STRENGTHS.get(lower(value), value) if isinstance(value, str) else value


Strength = Annotated[Share, BeforeValidator(_read_strength)]
LoraStrength = Annotated[Number, Ge(0), Le(4), BeforeValidator(_clamp_integer)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), AfterValidator(_unicode)]


def _check_ratio(value: str) -> str:
    if value != "auto" and not all(float(part) for part in value.split(":")):
        raise ValueError("a side of the ratio is nothing; write it as 16:9")
    return value


def _read_format(value: Any) -> Any:
    """Formats are matched without regard to case, and jpg is jpeg."""
    if not isinstance(value, str):
        return value
    return {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webP"}.get(value.lower(), value)


_RATIO = r"^\d{1,5}(\.\d{1,5})?:\d{1,5}(\.\d{1,5})?$|^auto$"
Ratio = Annotated[Text, Field(pattern=_RATIO), AfterValidator(_check_ratio)]
Format = Annotated[Literal["jpeg", "png", "webP"], BeforeValidator(_read_format)]


@dataclass(frozen=True)
class Source:
    """Marks a text that names a picture (https URL, data URL, file) with what the picture is for.

    What is marked is opened, checked, hashed, uploaded and remembered like every source.
    """

    kind: Literal["picture", "mask", "style", "guide"]


Picture = Annotated[Text, Source("picture")]
Mask = Annotated[Text, Source("mask")]
Style = Annotated[Text, Source("style")]
Guide = Annotated[Text, Source("guide")]

AirText = Annotated[Text, AfterValidator(_air)]
#: A text that names a model: an AIR, or what leads to one (see references.py).
ModelText = Annotated[Text, AfterValidator(_reference)]
#: One that a bare name may stand in for until it is planned, where the engine that has it by that
#: name is told; no engine draws from it.
CheckpointText = Annotated[Text, AfterValidator(_checkpoint)]


@dataclass(frozen=True)
class FieldWords:
    """How a field of the request is spoken of: a mark in its annotation.

    `metavar` and `flag` (where it is not the field's name) are the command line's, as is `help`
    where the description's first sentence does not serve there. `tool` is what a model is told:
    None leaves the field to the tools' options, "" the words to the tools. What is `planned`
    decides how a form is made; no form takes it as it is. What is `embedded` stands in the
    picture's metadata: what a form takes, where the field does not say otherwise. A source names a
    file and never does.
    """

    description: str
    metavar: str = ""
    flag: str = ""
    help: str = ""
    tool: str | None = None
    planned: bool = False
    embedded: bool | None = None

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "description": self.description}


@dataclass(frozen=True)
class Follows(FieldWords):
    """Of a field that asks for more than the drawing: a step of the service, or work here."""

    planned: bool = True
