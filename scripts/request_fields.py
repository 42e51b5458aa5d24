"""Render civitai_skill/schema/fields.py: the request's fields for readers that load no pydantic."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from civitai_skill.engines.sources import holders
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.parts import LoraOrText
from civitai_skill.schema.request import ImageRequest, Quality
from civitai_skill.schema.types import STRENGTHS, FieldWords, Strength

_HEAD = '''"""The fields of a request, light: for the command line, tables and typed keywords.

Rendered by scripts/render.py from ImageRequest and FinishRequest, where a field is added.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict


class RequestField(NamedTuple):
    """A field: its kind (text, choice, whole, number, flag, loras, texts, options), its words."""

    name: str
    kind: str
    flag: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    #: Does it decide how a form is made? No form takes it as it is.
    planned: bool = False
    #: Does it stand in the picture's metadata?
    embedded: bool = False


FIELDS = (
'''


def render() -> str:
    """The module's text."""
    rows, keywords = _parts(ImageRequest)
    finish_rows, finish_keywords = _parts(FinishRequest)
    return "\n".join(
        [_HEAD + "\n".join(rows), ")", "", "#: Of a request to finish pictures that are there.",
         "FINISH_FIELDS = (", *finish_rows, ")", "", "",
         "class RequestFields(TypedDict, total=False):",
         '    """The fields of an ImageRequest, as keywords beside a prompt."""', "", *keywords, "",
         "", "class FinishFields(TypedDict, total=False):",
         '    """The fields of a FinishRequest, as keywords beside pictures."""', "",
         *finish_keywords, ""]
    )  # fmt: skip


def _parts(model: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The rows of a request's table, and its keywords."""
    rows, keywords = [], []
    for name, field in model.model_fields.items():
        kind, python, choices = _kind(field.annotation)
        words = next(mark for mark in field.metadata if isinstance(mark, FieldWords))
        plural = kind in ("loras", "texts", "options")
        flag = words.flag or "--" + (name.removesuffix("s") if plural else name).replace("_", "-")
        said = (name, kind, flag, words.metavar, words.help or _first_sentence(words.description))
        more = [f"choices={choices!r}"] * bool(choices) + ["planned=True"] * words.planned
        embedded = not words.planned if words.embedded is None else words.embedded
        if model is ImageRequest and name not in holders(model):
            more += ["embedded=True"] * embedded
        rows.append(f"    RequestField({', '.join([*map(_quoted, said), *more])}),")
        if not field.is_required():
            nullable = " | None" if field.default is None else ""
            keywords.append(f"    {name}: {python}{nullable}")
    return rows, keywords


def _kind(annotation: Any) -> tuple[str, str, tuple[str, ...]]:
    """A field's kind, its type as a keyword, and its choices."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list:
        # Pictures are named in many ways, alone or in a list: see schema/pictures.py.
        return ("loras", "Sequence[Any]", ()) if inner[0] is LoraOrText else ("texts", "Any", ())
    if origin is dict:
        return "options", "Mapping[str, Any]", ()
    if origin is Literal:
        # Formats are known in more spellings than those of the type.
        return "choice", f"Literal{list(inner)}" if annotation is Quality else "str", inner
    if annotation == Strength:
        return "number", f"Literal{list(STRENGTHS)} | float", tuple(STRENGTHS)
    if origin is not None:  # Annotated, or with None
        return _kind(inner[0])
    kinds = {
        str: ("text", "str"),
        int: ("whole", "int"),
        float: ("number", "float"),
        bool: ("flag", "bool"),
    }
    return *kinds[annotation], ()


def _first_sentence(description: str) -> str:
    """As it stands in a help text: without a capital that only begins it, without its end."""
    text = description.partition(". ")[0].removesuffix(".")
    return text if text[1].isupper() else text[0].lower() + text[1:]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
