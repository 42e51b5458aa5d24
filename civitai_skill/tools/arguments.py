"""What a model may say to each tool: the argument models.

Descriptions are decision rules (when to set it, the default, the unit), because a model sees
nothing else. Nulls and the placeholders that models fill in for "nothing" count as left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Need
from civitai_skill.schema.fields import FIELDS, RequestField
from civitai_skill.schema.ids import is_workflow_id
from civitai_skill.schema.parts import LoraOrText, StrictModel
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import (
    Bounds,
    Buzz,
    FieldWords,
    Number,
    Side,
    Text,
    Whole,
    lower,
    read_json,
)
from civitai_skill.tools import words

#: Seconds that a tool waits when nothing is said: most pictures are ready by then, and many hosts
#: cut a tool off after 60 seconds (the MCP SDKs' own default); the answer needs some of them.
WAIT = 45
LONGEST_WAIT = 1800

#: Characters of a name; whatever is longer is no name.
LONGEST_NAME = 100

#: The arguments that bring a picture into an answer.
PICTURES = frozenset({"include_image"})

_NOTHING = frozenset({"", "null", "none", "undefined", "n/a", "nil"})


def is_given(value: Any) -> bool:
    """Is it more than a word that models fill in for nothing?"""
    return value is not None and not (isinstance(value, str) and value.strip().lower() in _NOTHING)


def unpack_json(value: Any) -> Any:
    """A list or an object that came as JSON text."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return read_json(value)
    except ValueError:
        return value


_NUMBER = re.compile(r"\s*[+-]?([0-9]{1,20}|[0-9]{0,20}\.[0-9]{1,20})\s*")


def to_number(value: Any) -> Any:
    """A number that came as text."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def _holds_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(map(_holds_number, get_args(annotation)))


def to_list(value: Any, *, key: str = "", other: str = "", alone: Collection[str] = ()) -> Any:
    """A list, however a model wrote it: as JSON text, as its one item, or, where its items are
    objects, as {`key`: `other`, ...}; an object with the names `alone` is one item."""
    value = unpack_json(value)
    if isinstance(value, Mapping) and (key or not value):
        one = key and set(alone) <= set(value)
        value = [value] if one else [{key: k, other: part} for k, part in value.items()]
    items = [value] if isinstance(value, str) else value
    return [v for v in items if is_given(v)] if isinstance(items, list | tuple) else items


def _to_pairs(value: Any) -> Any:
    """Options as an object, or as NAME=VALUE, mean the same as a list of names and values."""
    items = to_list(value, key="name", other="value", alone=("name", "value"))
    if not isinstance(items, list):
        return items
    found = []
    for item in items:
        name, sign, text = item.partition("=") if isinstance(item, str) else ("", "", "")
        if sign and name.strip():
            item = {"name": name.strip(), "value": text.strip()}
        if not isinstance(item, Mapping) or is_given(item.get("value", item)):
            found.append(item)
    return found


def _to_loras(value: Any) -> Any:
    """LoRAs as {air: strength}, or a single one, mean the same as a list."""
    items = to_list(value, key="air", other="strength", alone=("air",))
    if not isinstance(items, list):
        return items
    return [
        {
            n: to_number(part) if n == "strength" else part
            for n, part in v.items()
            if n == "air" or is_given(part)
        }
        if isinstance(v, Mapping)
        else v
        for v in items
        if not isinstance(v, Mapping) or is_given(v.get("air", v))
    ]


def _check_id(value: str) -> str:
    if not is_workflow_id(value):
        raise ValueError("not a workflow id; pass the id exactly as it was returned")
    return value


def _check_name(value: str) -> str:
    if len(value) > LONGEST_NAME:
        raise ValueError(f"at most {LONGEST_NAME} characters")
    return value


class Option(StrictModel):
    """One of the engine's own fields."""

    name: Annotated[Text, AfterValidator(_check_name)]
    value: Annotated[
        str | bool | int | float | list[Any] | dict[str, Any], WithJsonSchema({"type": "string"})
    ] = Field(description="As text; a number, true or a list as JSON.")


Seconds = Annotated[Number, Field(ge=0, le=LONGEST_WAIT)]
Texts = Annotated[list[Text], BeforeValidator(to_list)]
WorkflowId = Annotated[Text, AfterValidator(_check_id)]


class Arguments(BaseModel):
    """The base of every tool's arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_models_write(cls, values: Any) -> Any:
        """Without what means nothing, a placeholder or a default that some hosts fill in; and with
        numbers for their texts."""
        if not isinstance(values, Mapping):
            return values
        found = {}
        for name, value in values.items():
            field = cls.model_fields.get(name)
            if field is not None and not field.is_required():
                as_default = type(value) is type(field.default) and value == field.default
                if as_default or not is_given(value):
                    continue
            if isinstance(value, str) and field is not None and _NUMBER.fullmatch(value):
                value = to_number(value) if _holds_number(field.annotation) else value
            found[name] = value
        return found


def _words(name: str) -> str | None:
    """What a model is told of a field of the request; None where it goes among the options."""
    marks = ImageRequest.model_fields[name].metadata
    return next(mark.tool for mark in marks if isinstance(mark, FieldWords))


#: Fields of a request that a tool takes among its options.
IN_OPTIONS = tuple(field.name for field in FIELDS if _words(field.name) is None)

_LISTS: dict[str, Any] = {
    "texts": Annotated[list[Text], BeforeValidator(to_list), Field(max_length=16)],
    "loras": Annotated[list[LoraOrText], BeforeValidator(_to_loras), Field(max_length=16)],
}


def _argument(field: RequestField) -> tuple[Any, Any]:
    """A field as a model may say it; what is wrong all the same, the request refuses by name."""
    own = ImageRequest.model_fields[field.name]
    kind: Any = _LISTS.get(field.kind, Text)
    if field.kind == "choice":
        choices = tuple(choice.lower() for choice in field.choices)
        kind = Annotated[Literal[choices], BeforeValidator(lower)]
    elif field.kind in ("whole", "number"):
        marks = [mark for mark in own.metadata if not isinstance(mark, FieldWords)]
        kind = Annotated[own.annotation, Field(), *marks]
    told = _words(field.name) or words.FIELDS[field.name](catalog.NAMES)
    default = own.get_default()
    return kind | None if default is None else kind, Field(default, description=told)


def _add_request_fields(model: type[Arguments]) -> type[Arguments]:
    """The model with the fields of a request, in their order; those that it declares stay."""
    own = {name: (field.annotation, field) for name, field in model.model_fields.items()}
    fields: dict[str, Any] = {
        f.name: own.get(f.name) or _argument(f) for f in FIELDS if f.name not in IN_OPTIONS
    }
    return create_model(model.__name__, __base__=Arguments, __doc__=model.__doc__, **fields)


@_add_request_fields
class EstimateImage(Arguments):
    """A picture, in words and settings."""

    engine: Annotated[Text, words.one_of(catalog.NAMES)] = Field(
        default="flux2", description=words.engine(catalog.NAMES, "flux2")
    )
    options: Annotated[list[Option], BeforeValidator(_to_pairs), Field(max_length=50)] = Field(
        default=[], description=_words("options")
    )


class SubmitImage(EstimateImage):
    """And what surrounds the purchase."""

    tags: Annotated[Texts, Field(max_length=9)] = Field(
        default=[], description="To find it again with civitai_query_images."
    )
    max_buzz: Buzz | None = Field(
        default=None,
        description="Refuse above this price in Buzz. Can only lower the limit that is set.",
    )


IncludeImage = Annotated[Literal["no", "thumbnail"], BeforeValidator(lower)]
FOLDER = "Subfolder of the output folder, such as foxes/red."
SEE = "thumbnail: also return the picture small, when you must see it. Default no."


class GenerateImage(SubmitImage):
    """And what to do about waiting and saving."""

    wait_seconds: Seconds = Field(
        default=WAIT,
        description=f"Default {WAIT}. 0 submits and returns the id; then civitai_get_image.",
    )
    estimate_only: bool = Field(
        default=False, description="true: only tell the price. Spends nothing."
    )
    folder: Text | None = Field(default=None, description=FOLDER)
    include_image: IncludeImage = Field(default="no", description=SEE)


BESIDE_BODY = (
    "nothing but max_buzz, wait_seconds, estimate_only, folder, include_image and again beside it"
)
#: What a model is told of a body, where it may be given in a prompt's place.
BODY = (
    "Instead of prompt and its settings, for experts: a whole workflow template of the service's "
    f"own form, imageGen and finishing steps only; {BESIDE_BODY}."
)


class GenerateBody(Arguments):
    """A workflow of the service's own form, and what may be said with it."""

    body: Annotated[dict[str, Any], BeforeValidator(unpack_json)]
    max_buzz: Buzz | None = None
    wait_seconds: Seconds = WAIT
    estimate_only: bool = False
    folder: Text | None = None
    include_image: IncludeImage = "no"
    again: bool = False


class GetImage(Arguments):
    id: WorkflowId = Field(description="The workflow id, exactly as returned.")
    wait_seconds: Seconds = Field(
        default=WAIT, description=f"Wait so long for it to end. Default {WAIT}; 0 only looks."
    )
    folder: Text | None = Field(default=None, description=FOLDER)
    include_image: IncludeImage = Field(default="no", description=SEE)


class QueryImages(Arguments):
    tags: Annotated[Texts, Field(max_length=10)] = Field(
        default=[], description="Only workflows with all of these tags."
    )
    since: Text | None = Field(
        default=None, description="Not older than: today, 7d, 12h, 30m, or an ISO date."
    )
    until: Text | None = Field(default=None, description="Not newer than; the same forms.")
    running: bool = Field(default=False, description="true: only those that have not ended.")
    take: Annotated[Whole, Bounds(1, 50)] = Field(
        default=10, description="Rows, 1 to 50. Default 10."
    )
    cursor: Text | None = Field(default=None, description="Of the last answer, for the next page.")


class CancelImage(Arguments):
    id: WorkflowId = Field(description="The workflow id, exactly as returned.")


class ChooseEngine(Arguments):
    needs: Annotated[
        list[Annotated[Text, words.one_of(Need.__args__)]],
        BeforeValidator(to_list),
        Field(max_length=8),
    ] = Field(
        default=[],
        description="What the picture is for; the fewest that say it. edit changes a picture by "
        "words, restyle redraws it, print_4k wants 4096 pixels, draft is to try ideas, lora and "
        "checkpoint when the user has one.",
    )
    width: Side | None = Field(default=None, description="Pixels that must be possible.")
    height: Side | None = Field(default=None, description="Pixels.")
    aspect_ratio: Text | None = Field(default=None, description="Such as 21:9; not with pixels.")
    max_buzz: Buzz | None = Field(default=None, description="The most Buzz for one picture.")
    references: Annotated[Whole, Bounds(0, 16)] = Field(
        default=0, description="Source pictures. Default 0."
    )
    air: Text | None = Field(
        default=None, description="LoRA or checkpoint that must load: AIR or page address."
    )
