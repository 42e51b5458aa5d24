"""What our own forms say, as the facts of a document (see `document.py`): to compare with one, and
to make the sandbox's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import limits
from civitai_skill.engines.published.document import AIR, Facts, Fields, all_stated
from civitai_skill.engines.sizing import FollowsSource
from civitai_skill.engines.sources import holders
from civitai_skill.schema.types import AirText

_AIR_MARK = get_args(AirText)[-1]


@cache
def forms() -> tuple[type[Wire], ...]:
    """Every wire form of every family's file."""
    found = [form for family in catalog.families() for form in family.forms]
    return tuple(found)


@cache
def fields_of(model: type[BaseModel]) -> Fields:
    """What a form, or an object inside one, takes: every enum and object spelt out."""
    schema = model.model_json_schema(by_alias=True)
    inner = {found.__name__: found for found in _models(model)}
    required, marked = set(schema.get("required", [])), holders(model)
    found: Fields = {}
    for name, field in model.model_fields.items():
        wire = field.alias or name
        node = schema["properties"][wire]
        facts = _facts(node, inner)
        if wire in required:
            facts["required"] = True
        text = facts.get("items", facts)
        if name in marked and text["type"] == "string":
            text["picture"] = True
        if _AIR_MARK in field.metadata:
            text["pattern"] = AIR
        found[wire] = facts
    if issubclass(model, Wire):
        _add_limits(model, found)
    return found


def _add_limits(form: type[Wire], found: Fields) -> None:
    """What a JSON schema does not say: bounds of our own integers, likely ones, AIRs, sizes that
    follow the source."""
    for name, value in form.tags().items():
        found[name] = {"type": "string", "enum": [value]}
        if name not in form.implied:
            found[name]["required"] = True
    for limit in limits(form).values():
        facts, unit = found[limit.wire], "items" if limit.kind == "list" else "length"
        bounds = {"minimum": limit.minimum, "maximum": limit.maximum}
        bounds |= {f"min_{unit}": limit.least, f"max_{unit}": limit.most}
        stated = {name: value for name, value in bounds.items() if value is not None}
        if limit.likely:
            facts["likely"] = stated
        else:
            facts |= stated
        if limit.role not in (None, "lora"):
            (facts["items"] if limit.kind == "list" else facts)["pattern"] = AIR
        if limit.bits is not None:
            facts["format"] = f"int{limit.bits}"
        if isinstance(form.sizing, FollowsSource) and limit.name in form.sizing.fields:
            facts["read_only"] = True


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The classes of the objects in a model's fields."""
    left = [field.annotation for field in model.model_fields.values()]
    while left:
        part: Any = left.pop()
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part
        left += get_args(part)


def _facts(node: dict[str, Any], inner: dict[str, type[BaseModel]]) -> Facts:
    if "anyOf" in node:
        (some,) = (part for part in node["anyOf"] if part.get("type") != "null")
        return {**_facts(some, inner), **all_stated(node), "null": True}
    if "$ref" in node:
        return {"type": "object", "fields": fields_of(inner[node["$ref"].rsplit("/", 1)[-1]])}
    out: Facts = {"type": node.get("type", "string"), **all_stated(node)}
    if "const" in node:
        out["enum"] = [node["const"]]
    if "items" in node:
        out["items"] = _facts(node["items"], inner)
    if isinstance(node.get("additionalProperties"), dict):
        out["values"] = _facts(node["additionalProperties"], inner)
    return out
