"""Function schemas for OpenAI, Anthropic and Gemini, and the way back from a raw tool call.

    tools = openai_tools(api="chat")
    ...
    text = dispatch(call.function.name, call.function.arguments)

Each dialect has rules of its own, and a schema that breaks one is refused as a whole. So the
schemas are written here from the argument models and not taken over as pydantic writes them.
Results are text: where a picture can be shown, it is for the caller to load the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

from civitai_skill.errors import CivitaiError
from civitai_skill.tools.answers import failure_result
from civitai_skill.tools.arguments import PICTURES, Arguments
from civitai_skill.tools.registry import BY_NAME, DEFAULT
from civitai_skill.tools.steps import Tool
from civitai_skill.tools.toolbox import Toolbox, find_tool, make_models

# What may stand beside a type. OpenAI's strict subset knows no lengths and no defaults; Anthropic's
# neither ranges nor numbers of items. The descriptions say what matters of them.
_OPENAI = frozenset({"type", "enum", "minimum", "maximum", "minItems", "maxItems", "pattern"})
_ANTHROPIC_STRICT = frozenset({"type", "enum"})
_PLAIN = _OPENAI | {"default", "minLength", "maxLength"}

_NULL = {"type": "null"}


# -- schemas ---------------------------------------------------------------------------------------
def openai_tools(
    box: Toolbox | None = None,
    *,
    api: Literal["chat", "responses"] = "chat",
    strict: bool = True,
    include: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Write the tools for OpenAI's Chat Completions ("chat") or Responses API.

    Strict means that every property is required and an optional one may be null. `strict` is always
    sent, because the Responses API takes an absent one for true and rewrites the schema. Raises
    RequestInvalid for an unknown tool.
    """
    found = []
    for tool, model in _select_tools(box, include):
        function = {
            "name": tool.name,
            "description": tool.description,
            "parameters": _build_schema(model, _OPENAI if strict else _PLAIN, nullable=strict),
            "strict": strict,
        }
        chat = {"type": "function", "function": function}
        found.append(chat if api == "chat" else {"type": "function", **function})
    return found


def anthropic_tools(
    box: Toolbox | None = None, *, strict: bool = False, include: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Write the tools for Anthropic's Messages API, with truly optional properties.

    With `strict` the tools that spend are strict; the default set then stays within what a request
    may hold (24 optional and 16 union-typed parameters in all strict tools together).
    """
    found = []
    for tool, model in _select_tools(box, include):
        kept = _ANTHROPIC_STRICT if strict and tool.spends else _PLAIN
        written: dict[str, Any] = {
            "name": tool.name,
            "description": tool.description,
            "input_schema": _build_schema(model, kept),
        }
        found.append(written | {"strict": True} if kept is _ANTHROPIC_STRICT else written)
    return found


def gemini_tools(
    box: Toolbox | None = None, *, include: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Write Gemini's function declarations, for `types.Tool(function_declarations=...)`."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters_json_schema": _build_schema(model, _PLAIN),
        }
        for tool, model in _select_tools(box, include)
    ]


def _select_tools(
    box: Toolbox | None, include: Sequence[str] | None
) -> list[tuple[Tool, type[Arguments]]]:
    """The tools that are offered together, each with its arguments."""
    if include is not None:
        tools = [find_tool(name) if box is None else find_tool(name, box.tools) for name in include]
    else:
        tools = [BY_NAME[name] for name in DEFAULT] if box is None else list(box.tools)
    models = make_models(tools, None if box is None else box.fixed)
    return [(tool, models[tool.name]) for tool in tools]


def _build_schema(
    model: type[Arguments], kept: frozenset[str], *, nullable: bool = False
) -> dict[str, Any]:
    whole = model.model_json_schema()
    return _Dialect(whole.get("$defs", {}), kept, nullable).write_object(whole)


class _Dialect:
    """Rewrites a schema of pydantic's: references resolved, titles gone, only what is `kept`."""

    def __init__(self, defs: Mapping[str, Any], kept: frozenset[str], nullable: bool) -> None:
        self._defs = defs
        self._kept = kept
        self._nullable = nullable

    def write_object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """An object; where it is nullable, every property is required."""
        needed = schema.get("required", [])
        properties = {
            name: self._write_property(part, optional=name not in needed)
            for name, part in schema["properties"].items()
            if name not in PICTURES
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties) if self._nullable else list(needed),
            "additionalProperties": False,
        }

    def _write_property(self, part: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
        core = self._write_value(part)
        description = {"description": part["description"]} if "description" in part else {}
        if not description:  # another tool explains it, and what is inside it
            core = _drop_words(core)
        if optional and self._nullable:
            return {**description, "anyOf": [core, _NULL]}
        return {**core, **description}

    def _write_value(self, part: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in part:
            part = self._defs[part["$ref"].rpartition("/")[2]]
        if "anyOf" in part:
            (part,) = ({**part, **one} for one in part["anyOf"] if one != _NULL)
        if part["type"] == "object":
            return self.write_object(part)
        kept = {
            name: value
            for name, value in part.items()
            if name in self._kept and not (name == "default" and value in (None, [], {}))
        }
        if part["type"] == "array":
            kept["items"] = self._write_value(part["items"])
        return kept


def _drop_words(value: Any) -> Any:
    """A schema without its descriptions; a field of that name is no text, and stays."""
    if isinstance(value, list):
        return [_drop_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _drop_words(item)
        for name, item in value.items()
        if not (name == "description" and isinstance(item, str))
    }


# -- calls -----------------------------------------------------------------------------------------
def dispatch(name: str, arguments: Any, *, box: Toolbox | None = None) -> str:
    """Run a raw tool call and give the text to send back, errors included.

    `arguments` is the object or its JSON text; nulls and placeholders count as left out. `box` is
    the developer's own Toolbox; left out, one with every tool is made from the environment.
    """
    try:
        with Toolbox(include=tuple(BY_NAME)) if box is None else nullcontext(box) as own:
            return own.call(name, arguments).text
    except CivitaiError as error:  # no box could be made
        return failure_result(error, 0).text


async def adispatch(name: str, arguments: Any, *, box: Toolbox | None = None) -> str:
    """See dispatch."""
    try:
        with Toolbox(include=tuple(BY_NAME)) if box is None else nullcontext(box) as own:
            return (await own.acall(name, arguments)).text
    except CivitaiError as error:
        return failure_result(error, 0).text
