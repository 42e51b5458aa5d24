"""A field of a document as one of a form of ours: its name, its type, its limits.

A field that bears a wire name of the shared vocabulary, and is of its kind, bears its word; sources
are known by their names, or by what the document calls them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_snake

from civitai_skill.engines.forms import AirRole, Bits, Likely, Wire
from civitai_skill.engines.index import words
from civitai_skill.engines.published.document import AIR, Facts, Fields
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import AirText, Flag, Number, Source, Text, Whole

_PICTURE = re.compile(r"(image|picture|photo|mask|reference)s?(_?urls?)?$", re.IGNORECASE)
_NUMBERS = ("integer", "number")


# -- one field -------------------------------------------------------------------------------------
def attribute_of(wire: str, facts: Facts, taken: Iterable[str]) -> str:
    """What a field is called here: the vocabulary's word where the name and the kind are its own,
    else a name that is no word of a request."""
    word = words().get(wire)
    if word is None:
        word = _source_word(wire, facts)
    others = {"image", "images"} if word in ("image", "images") else {word}
    if word is not None and others.isdisjoint(taken) and _fits(word, facts):
        return word
    name = to_snake(wire)
    clash = name in ImageRequest.model_fields or name in taken or hasattr(Wire, name)
    return f"{name}_" if clash or name in _WORDS else name


def _source_word(wire: str, facts: Facts) -> str | None:
    """The vocabulary's word for a field that holds pictures."""
    if not _is_source(wire, facts):
        return None
    kind = _source_kind(wire)
    if kind == "picture":
        return "images" if facts["type"] == "array" else "image"
    return {"mask": "mask", "style": "style_images"}.get(kind)


def _is_source(wire: str, facts: Facts) -> bool:
    inner = facts.get("items", facts)
    if "fields" in inner:
        return "imageUrl" in inner["fields"]
    if inner["type"] != "string" or "enum" in inner or "pattern" in inner:
        return False
    return bool(inner.get("picture")) or bool(_PICTURE.search(wire))


Kind = Literal["picture", "mask", "style", "guide"]


def _source_kind(wire: str) -> Kind:
    bare = wire.lower()
    if bare.startswith("mask"):
        return "mask"
    if bare.startswith(("style", "imagestyle")):
        return "style"
    return "guide" if bare.startswith("control") else "picture"


def _items(facts: Facts, *needed: str) -> bool:
    return set(needed) <= set(facts.get("items", {}).get("fields", {}))


def _air(facts: Facts) -> bool:
    return facts["type"] == "string" and facts.get("pattern") == AIR


#: The kinds of a request's fields, and the document's types that are of each.
_TYPES: Mapping[str, tuple[str, ...]] = {
    "text": ("string",),
    "choice": ("string",),
    "whole": ("integer",),
    "number": _NUMBERS,
    "flag": ("boolean",),
}
#: The words of a form, by kind: the request's that it takes as they are, and three more.
_WORDS = {field.name: field.kind for field in FIELDS if not field.planned}
_WORDS |= {"strength": "number", "image": "text", "image_metadata": "text"}
#: What a field's facts must be to bear a word that its type alone does not tell.
_SHAPES: Mapping[str, Callable[[Facts], bool]] = {
    "model": _air,
    "vae": _air,
    "embeddings": lambda facts: facts["type"] == "array" and _air(facts.get("items", {"type": ""})),
    "loras": lambda facts: "values" in facts or _items(facts, "air", "strength"),
    "control_nets": lambda facts: _items(facts, "preprocessor", "weight", "startStep", "endStep"),
    "images": lambda facts: facts.get("items", {}).get("type") == "string",
    "style_images": lambda facts: (
        facts.get("items", {}).get("type") == "string" or _items(facts, "imageUrl")
    ),
}


def _fits(word: str, facts: Facts) -> bool:
    """May a field with these facts bear a word of the vocabulary? A ratio never does: only a form's
    sizing names it."""
    if word in _SHAPES:
        return _SHAPES[word](facts)
    return facts["type"] in _TYPES.get(_WORDS.get(word, ""), ())


_ROLES: Mapping[str, Any] = {
    "model": AirRole("model"),
    "vae": AirRole("vae"),
    "embeddings": AirRole("embedding"),
    "loras": AirRole("lora"),
}


def field_of(wire: str, facts: Facts, name: str, of: Kind | None = None) -> tuple[Any, Any]:
    """A field as pydantic takes it. Its default is the document's, where it states one."""
    annotation = annotation_of(wire, facts, name, of)
    # A text with one value alone would count as what selects the form, and always be sent.
    is_choice = len(facts.get("enum", [])) == 1 and not facts.get("required")
    if facts.get("null") or is_choice:
        annotation = annotation | None
    if facts.get("required"):
        return annotation, Field(alias=wire)
    # One picture is made where nothing is said, whatever the document leaves open.
    return annotation, Field(facts.get("default", 1 if name == "quantity" else None), alias=wire)


def annotation_of(wire: str, facts: Facts, name: str, of: Kind | None = None) -> Any:
    """The type of a field's values, null aside; `of` is what its pictures are for, where the name
    of what it stands in says that."""
    marks: list[Any] = _bounds(facts)
    if of is None and _source_kind(wire) == "picture" and name not in ("image", "images"):
        of = "guide"  # of several pictures one is edited; the others are said by their own names
    if name in _ROLES:
        marks.append(_ROLES[name])
    if "format" in facts and facts["type"] == "integer":
        marks.append(Bits(32 if facts["format"] == "int32" else 64))
    kind: Any
    if facts.get("enum"):
        kind = Literal[tuple(facts["enum"])]
    elif facts["type"] == "array":
        items = facts.get("items")
        kind = list[annotation_of(wire, items, name, of) if items else Any]  # type: ignore[misc]
    elif "fields" in facts:
        kind = _object_of(wire, facts["fields"])
    elif facts["type"] == "object":
        values = facts.get("values")
        kind = dict[str, annotation_of("", values, "") if values else Any]  # type: ignore[misc]
    elif facts["type"] == "string":
        kind = AirText if facts.get("pattern") == AIR else Text
        if _is_source(wire, facts):
            marks.append(Source(_source_kind(wire) if of is None else of))
    else:
        kind = {"integer": Whole, "number": Number, "boolean": Flag}.get(facts["type"], Any)
    return Annotated[kind, *marks] if marks else kind


def _bounds(facts: Facts) -> list[Any]:
    """Its limits; those that nobody published are likely ones."""
    names = ("minimum", "min_length", "min_items"), ("maximum", "max_length", "max_items")
    low, high = (next((facts[n] for n in some if n in facts), None) for some in names)
    likely = facts.get("likely", {})
    lows, highs = (next((likely[n] for n in some if n in likely), None) for some in names)
    marks: list[Any] = [] if lows is None and highs is None else [Likely(lows, highs)]
    numbers = facts["type"] in _NUMBERS
    if low is not None:
        marks.append(Ge(low) if numbers else MinLen(low))
    if high is not None:
        marks.append(Le(high) if numbers else MaxLen(high))
    return marks


def _object_of(wire: str, fields: Fields) -> Any:
    """The class of an object inside a form."""
    made: dict[str, Any] = {}
    outer = _source_kind(wire)
    for inner, facts in fields.items():
        if facts.get("read_only"):
            continue
        name = to_snake(inner)
        name = f"{name}_" if hasattr(BaseModel, name) else name
        # A picture inside is for what the whole is for.
        kind = "mask" if _source_kind(inner) == "mask" else "guide" if outer == "picture" else outer
        made[name] = field_of(inner, facts, name, kind)
    config = ConfigDict(extra="forbid", frozen=True)
    title = re.sub(r"\W", "", wire[:1].upper() + wire[1:]) or "Part"
    return create_model(title, __config__=config, **made)
