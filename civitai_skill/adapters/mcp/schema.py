"""The capability's spelling of the tools: civitai-generate-image, and what they say in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from mcp.types import Tool as McpTool
from mcp.types import ToolAnnotations
from pydantic import Field, create_model

from civitai_skill.adapters.mcp.resources import PICTURES
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import BODY, Arguments, IncludeImage
from civitai_skill.tools.outputs import OUTPUTS
from civitai_skill.tools.registry import BY_NAME
from civitai_skill.tools.toolbox import Toolbox

SPELLING: Mapping[str, str] = {name: name.replace("_", "-") for name in BY_NAME}
#: The registry's names by those of this interface.
REGISTRY_NAMES: Mapping[str, str] = {spelt: name for name, spelt in SPELLING.items()}
#: What of an answer is our own words; the rest is data and stays as it is.
_OUR_TEXTS = ("error", "message", "then")
_TAKES_BODY = "civitai_generate_image"
_SEES = "include_image"
_AGAIN = (
    "Buy another, although the same was bought in the last minutes; else its answer comes again."
)


def to_mcp_names(text: str) -> str:
    """A text of ours with the tools named as they are here."""
    for name, spelt in SPELLING.items():
        text = text.replace(name, spelt)
    return text.replace("civitai_*", "civitai-*")


def spell_result(result: Result) -> dict[str, Any]:
    """An answer in this spelling, with the address of each whole picture."""
    data = dict(result.data)
    for name in _OUR_TEXTS:
        if isinstance(data.get(name), str):
            data[name] = to_mcp_names(data[name])
    if "next" in data:
        data["next"] = {**data["next"], "tool": to_mcp_names(data["next"]["tool"])}
    if "id" in data and "images" in data:
        data["images"] = [
            {**image, "resource": f"{PICTURES}{data['id']}/{n}"} if "path" in image else image
            for n, image in enumerate(data["images"])
        ]
    return data


def extend_models(
    models: Mapping[str, type[Arguments]], thumbnails: bool = True
) -> dict[str, type[Arguments]]:
    """The argument models as they are here: pictures are shown (with `thumbnails` unasked), the
    same may be bought again, and generate takes a body."""
    seen: Literal["thumbnail", "no"] = "thumbnail" if thumbnails else "no"
    found = dict(models)
    for name, model in models.items():
        more: dict[str, Any] = {}
        if _SEES in model.model_fields:
            description = f"thumbnail: also show it small. no: only its path. Default {seen}."
            more[_SEES] = (IncludeImage, Field(default=seen, description=description))
        if BY_NAME[name].spends:
            more["again"] = (bool, Field(default=False, description=_AGAIN))
        if name == _TAKES_BODY:
            more["body"] = (dict[str, Any] | None, Field(default=None, description=BODY))
        if more:
            found[name] = create_model(model.__name__, __base__=model, **more)
    return found


def build_tools(box: Toolbox) -> list[McpTool]:
    """The tools with their schemas and all four hints."""
    found = []
    for tool in box.tools:
        input_schema = _build_schema(box.models[tool.name])
        if tool.name == _TAKES_BODY:
            input_schema["required"] = []  # a body takes the prompt's place
        hints = {f"{name}_hint": value for name, value in vars(tool.hints).items()}
        found.append(
            McpTool(
                name=SPELLING[tool.name],
                title=tool.title,
                description=to_mcp_names(tool.description),
                input_schema=input_schema,
                output_schema=_build_schema(OUTPUTS[tool.name]),
                annotations=ToolAnnotations(title=tool.title, **hints),
            )
        )
    return found


def _build_schema(model: Any) -> dict[str, Any]:
    text = to_mcp_names(json.dumps(model.model_json_schema()))
    schema: dict[str, Any] = _drop_titles(json.loads(text))
    return schema


def _drop_titles(value: Any, inside: bool = False) -> Any:
    """Without the titles that pydantic makes up; `inside` says that the keys are fields' names."""
    if isinstance(value, list):
        return [_drop_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _drop_titles(item, name in ("properties", "$defs") and not inside)
        for name, item in value.items()
        if inside or name != "title"
    }
