"""The published OpenAPI document, read: what each image form takes, as plain facts.

A form's facts are {wire name: {type, null, required, default, enum, limits, ...}}; enums and
objects that are referred to stand once, beside the forms. What the document marks as added without
published limits (`x-likely`) is kept apart: names for warnings, and no judge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]
Fields = dict[str, Facts]

#: The schema from which every image form descends.
ROOT = "ImageGenInput"

#: Every AIR field carries the same long expression; its facts say `air` in its place.
AIR = "air"
_FACTS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "default": "default",
    "enum": "enum",
    "format": "format",
    "readOnly": "read_only",
}
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object"})
#: What a name may be that people and models are shown, and what a value's text.
_NAME, _LONGEST = re.compile(r"[\w$][\w$.+/ -]{0,79}", re.ASCII), 200
#: How the document describes a text that names a picture.
_PICTURE = re.compile(r"data\s?-?url|base\s?-?64", re.IGNORECASE)
#: More forms, or deeper ones, than any document has.
_MOST_FORMS, _DEEPEST = 2000, 12


class NotADocument(ValueError):
    """What was given is not the published document; says what is wrong with it."""


def key_of(tags: Mapping[str, str]) -> str:
    """A form's name for comparing: what selects it, whatever the order."""
    said = [f"{name}={value}" for name, value in sorted(tags.items())]
    return " ".join(said)


@dataclass(frozen=True)
class Form:
    """A form as a document has it: what selects it, in its order, and its fields."""

    tags: Mapping[str, str]
    fields: Fields


@dataclass
class Document:
    """Every image form of a document; `enums` and `objects` are those that fields refer to."""

    forms: list[Form] = field(default_factory=list)
    enums: dict[str, list[Any]] = field(default_factory=dict)
    objects: dict[str, Fields] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)

    def whole(self, form: Form) -> Fields:
        """A form's fields, enums and objects spelt out (an object's stand in its `fields`)."""
        return {name: self._whole(facts, 0) for name, facts in form.fields.items()}

    def _whole(self, facts: Facts, depth: int) -> Facts:
        out = dict(facts)
        if isinstance(out.get("enum"), str):
            out["enum"] = self.enums.get(out["enum"], [])
        if "object" in out:
            inner = {} if depth > _DEEPEST else self.objects.get(out["object"], {})
            out["fields"] = {n: self._whole(f, depth + 1) for n, f in inner.items()}
            del out["object"]
        for name in ("items", "values"):
            if name in out:
                out[name] = self._whole(out[name], depth + 1)
        return out


def read(document: Any) -> Document:
    """Read a published document. Raises NotADocument."""
    try:
        schemas = document["components"]["schemas"]
        made = _Reader(schemas).read()
    except NotADocument:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NotADocument(f"it can't be read ({type(error).__name__}: {error})"[:200]) from None
    if not made.forms:
        raise NotADocument("it has no image form")
    return made


class _Reader:
    """The schemas of a document, with bases merged in and references followed."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self.schemas = schemas
        self.made = Document()

    def read(self) -> Document:
        if ROOT not in self.schemas:
            raise NotADocument(f"it has no schema {ROOT}")
        for tags, name in self._leaves(ROOT, {}):
            if len(self.made.forms) >= _MOST_FORMS:
                raise NotADocument(f"it has more than {_MOST_FORMS} image forms")
            if all(_NAME.fullmatch(word) for word in (*tags, *tags.values())):
                self.made.forms.append(Form(tags, self._fields(name)))
        return self.made

    def _leaves(self, name: str, tags: dict[str, str]) -> Iterator[tuple[dict[str, str], str]]:
        """Every form: the discriminators that select it, and its schema's name."""
        chooser = next(
            (p["discriminator"] for p in self._parts(name) if "discriminator" in p), None
        )
        if not chooser or not chooser.get("mapping"):
            yield tags, name
            return
        if len(tags) > _DEEPEST:
            raise NotADocument("its forms stand in a circle")
        for value, ref in chooser["mapping"].items():
            yield from self._leaves(_tail(ref), {**tags, str(chooser["propertyName"]): str(value)})

    def _parts(self, name: str) -> list[Any]:
        schema = self.schemas[name]
        return list(schema.get("allOf", [schema]))

    def _fields(self, name: str) -> Fields:
        properties, required = self._merged(name, 0)
        return {
            field: {**self._facts(schema), **({"required": True} if field in required else {})}
            for field, schema in sorted(properties.items())
            if _NAME.fullmatch(field)
        }

    def _merged(self, name: str, depth: int) -> tuple[dict[str, Any], set[str]]:
        """Properties and required names, the bases' first; a narrower schema replaces a wider one,
        except that the wider one's default still says what leaving the field out means."""
        properties: dict[str, Any] = {}
        required: set[str] = set()
        if depth > _DEEPEST:
            raise NotADocument("its schemas stand in a circle")
        for part in self._parts(name):
            if "$ref" in part:
                more, needed = self._merged(_tail(part["$ref"]), depth + 1)
            else:
                more, needed = part.get("properties", {}), set(part.get("required", []))
            for field_name, schema in more.items():
                before = properties.get(field_name, {}).get("default")
                if before in schema.get("enum", []) and "default" not in schema:
                    schema = {**schema, "default": before}
                properties[field_name] = schema
            required |= needed
        return properties, required

    def _facts(self, schema: Mapping[str, Any]) -> Facts:
        if "$ref" in schema:
            name = _tail(schema["$ref"])
            target = self.schemas[name]
            if "enum" in target:
                self.made.enums[name] = _stated("enum", target["enum"]) or []
                # The document's null for "left out" can't be written on a reference.
                return {"type": "string", "null": True, "enum": name}
            if name not in self.made.objects:
                self.made.objects[name] = {}
                self.made.objects[name] = self._fields(name)
            return {"type": "object", "object": name}
        kinds = schema.get("type", "any")
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        out: Facts = {"type": next((k for k in kinds if k in _TYPES), "any")}
        listed = schema.get("enum")
        if "null" in kinds and (not isinstance(listed, list) or None in listed):
            out["null"] = True
        out |= all_stated(schema)
        if likely := all_stated(schema.get("x-likely", {})):
            out["likely"] = likely
        if "pattern" in schema and out["type"] == "string":
            # .NET names its groups as Python does not.
            self.made.patterns.add(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", schema["pattern"]))
            out["pattern"] = AIR if "ecosystem" in schema["pattern"] else schema["pattern"]
        elif out["type"] == "string" and _PICTURE.search(str(schema.get("description", ""))):
            out["picture"] = True
        if "items" in schema:
            out["items"] = self._facts(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            out["values"] = self._facts(schema["additionalProperties"])
        return out


def all_stated(schema: Mapping[str, Any]) -> Facts:
    """The facts that a schema states, as they can be used."""
    found = {
        ours: _stated(ours, schema[theirs]) for theirs, ours in _FACTS.items() if theirs in schema
    }
    return {
        name: value
        for name, value in found.items()
        if value is not None and (name, value) != ("min_length", 0)
    }


def _stated(name: str, value: Any) -> Any:
    """A fact as it can be used; None for what is none of its kind."""
    if name == "enum":
        values = [v for v in value if _is_plain(v)] if isinstance(value, list) else []
        return values[:_MOST_FORMS] or None
    if name in ("format", "read_only"):
        return value if isinstance(value, str if name == "format" else bool) else None
    if name == "default":
        return value if _is_plain(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        return None
    return value if name in ("minimum", "maximum") else max(0, int(value))


def _is_plain(value: Any) -> bool:
    """Is it a scalar that can be shown?"""
    if isinstance(value, str):
        return len(value) <= _LONGEST and value.isprintable()
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _tail(ref: str) -> str:
    return ref.rsplit("/", 1)[-1]
