"""The tools as plain functions, for frameworks that read a function's signature and docstring.

Nine frameworks read them, each in its own way, so only what all of them understand stands in a
signature: texts, numbers, flags and lists of them. What is optional is None when left out, an
object inside a list is said as text, and the choices of a text are told in words: google-genai
can't call a function that has a Literal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from civitai_skill.tools.arguments import PICTURES, Arguments, unpack_json

if TYPE_CHECKING:
    from civitai_skill.tools.steps import Tool
    from civitai_skill.tools.toolbox import Toolbox

_NULL = {"type": "null"}
_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool}
_RETURNS = "JSON text. `next` is the exact next call; `error` says what to change."


def make_callable(box: Toolbox, tool: Tool, *, asynchronous: bool) -> Callable[..., Any]:
    """A tool of the box as one function; asynchronous, a coroutine function."""
    parameters, told = [], []
    for parameter, words in _read_fields(box.fixed.narrow(tool.arguments)):
        parameters.append(parameter)
        told.append(f"    {parameter.name}: {words}")
    signature = inspect.Signature(parameters, return_annotation=str)

    def to_arguments(args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
        found = {**signature.bind_partial(*args).arguments, **given}
        return {name: _to_objects(value) for name, value in found.items()}

    async def arun(*args: Any, **given: Any) -> str:
        return (await box.acall(tool.name, to_arguments(args, given))).text

    def run(*args: Any, **given: Any) -> str:
        return box.call(tool.name, to_arguments(args, given)).text

    function: Any = arun if asynchronous else run
    function.__name__ = function.__qualname__ = tool.name
    function.__doc__ = "\n".join(
        [tool.description, "", "Args:", *told, "", "Returns:", f"    {_RETURNS}", ""]
    )
    function.__signature__ = signature
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": str}
    return function  # type: ignore[no-any-return]


def _read_fields(model: type[Arguments]) -> Iterator[tuple[inspect.Parameter, str]]:
    """Each argument, and its words on one line."""
    schema = model.model_json_schema()
    needed = schema.get("required", ())
    for name, part in schema["properties"].items():
        if name in PICTURES:  # an answer here is text
            continue
        kind, how = _read_type(part, schema.get("$defs", {}))
        words = " ".join(filter(None, (part.get("description"), how, _bounds(part))))
        optional = name not in needed
        parameter = inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if optional else inspect.Parameter.empty,
            annotation=kind | None if optional else kind,
        )
        yield parameter, " ".join(words.split())


def _read_type(part: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Any, str]:
    """The Python type of a part of a schema, and what must be said in words of it."""
    if "$ref" in part:
        part = defs[part["$ref"].rpartition("/")[2]]
    if "anyOf" in part:
        (part,) = ({**part, **one} for one in part["anyOf"] if one != _NULL)
    if "enum" in part:
        told = part.get("description", "")
        new = not all(choice in told for choice in part["enum"])
        return str, f"One of {', '.join(part['enum'])}." if new else ""
    if part["type"] == "array":
        item, how = _read_type(part["items"], defs)
        return GenericAlias(list, (item,)), how
    if part["type"] == "object":
        names = list(part.get("properties", ()))
        if len(names) == 2:
            first, both = names[0].upper(), "=".join(names).upper()
            alone = names[1] not in part.get("required", ())
            return str, f"Each as {first} or {both}." if alone else f"Each as {both}."
        return str, f"Each as a JSON object with {', '.join(names)}."
    return _TYPES[part["type"]], ""


def _bounds(part: Mapping[str, Any]) -> str:
    """The limits of a number that its own words do not tell."""
    (kind,) = (one for one in part.get("anyOf", [part]) if one != _NULL)
    least, most = kind.get("minimum", 0), kind.get("maximum")
    told = most is None or f"{most}" in part.get("description", "")
    return "" if told else f"{least} to {most}."


def _to_objects(value: Any) -> Any:
    """Objects for their JSON texts in a list; frameworks' own lists may be tuples."""
    return [unpack_json(item) for item in value] if isinstance(value, list | tuple) else value
