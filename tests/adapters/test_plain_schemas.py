"""Every interface's schemas are plain JSON Schema: walked word by word, and for each reader's own
subset of it (OpenAI's and Anthropic's are walked in test_functions.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from langchain_core.utils.function_calling import convert_to_openai_tool

from civitai_skill import AsyncCivitai, ImageRequest, Toolbox
from civitai_skill.adapters import functions
from civitai_skill.adapters.langchain import langchain_tools
from civitai_skill.adapters.mcp.schema import build_tools, extend_models
from civitai_skill.adapters.rest.app import router
from civitai_skill.adapters.rest.openapi import build_document
from civitai_skill.engines import catalog
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.arguments import LONGEST_WAIT
from civitai_skill.tools.outputs import OUTPUTS
from civitai_skill.tools.registry import BY_NAME, TOOLS

ALL = [tool.name for tool in TOOLS]

# The words of JSON Schema 2020-12 that say something; what is beside them only one reader knows.
PLAIN = {
    "$defs", "$ref", "type", "description", "title", "default", "examples", "enum", "const",
    "properties", "required", "additionalProperties", "items", "anyOf", "allOf", "oneOf", "not",
    "pattern", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties",
    "maxProperties",
}  # fmt: skip
# What Gemini's and ADK's own Schema has of it.
GEMINI = PLAIN - {
    "const", "allOf", "oneOf", "not", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "uniqueItems", "examples",
}  # fmt: skip


def walk(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with where it stands."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for word in ("properties", "$defs"):
        for name, part in schema.get(word, {}).items():
            yield from walk(part, f"{path}/{name}")
    for word in ("items", "additionalProperties", "not"):
        yield from walk(schema.get(word), f"{path}/{word}")
    for word in ("anyOf", "allOf", "oneOf"):
        for n, part in enumerate(schema.get(word, [])):
            yield from walk(part, f"{path}/{word}{n}")


def strange(schema: dict[str, Any], known: set[str] = PLAIN) -> list[str]:
    """The words of a schema that are not plain, and numbers that lost a limit on the way."""
    Draft202012Validator.check_schema(schema)
    found = [f"{path}: {word}" for path, part in walk(schema) for word in part.keys() - known]
    for path, part in walk(schema):
        if "null" in str(part.get("default", "")) and "anyOf" not in part:
            found.append(f"{path}: a null that its type does not allow")
    return found


def choices(schema: dict[str, Any]) -> set[tuple[str, str]]:
    """Every choice in a schema, with its field; but for how pictures are shown."""
    return {
        (name, choice)
        for name, part in schema["properties"].items()
        if name != "include_image"
        for _, inner in walk(part)
        for choice in inner.get("enum", ())
    }


def langchain(include: list[str], **settings: Any) -> dict[str, dict[str, Any]]:
    made = langchain_tools(AsyncCivitai(sandbox=Sandbox(), ledger=False), include, **settings)
    bound = [convert_to_openai_tool(tool)["function"] for tool in made]
    return {tool["name"]: tool["parameters"] for tool in bound}


def mcp(include: list[str]) -> dict[str, dict[str, Any]]:
    box = Toolbox(AsyncCivitai(sandbox=Sandbox(), ledger=False), include=include)
    box.models = extend_models(box.models)
    return {tool.name.replace("-", "_"): tool.input_schema for tool in build_tools(box)}


def openai(include: list[str]) -> dict[str, dict[str, Any]]:
    loose = functions.openai_tools(include=include, api="responses", strict=False)
    return {tool["name"]: tool["parameters"] for tool in loose}


def gemini(include: list[str]) -> dict[str, dict[str, Any]]:
    told = functions.gemini_tools(include=include)
    return {tool["name"]: tool["parameters_json_schema"] for tool in told}


def anthropic(include: list[str]) -> dict[str, dict[str, Any]]:
    told = functions.anthropic_tools(include=include)
    return {tool["name"]: tool["input_schema"] for tool in told}


INTERFACES = [langchain, mcp, openai, gemini, anthropic]


@pytest.mark.parametrize("written", INTERFACES, ids=lambda f: f.__name__)
def test_a_tools_schema_is_plain_and_keeps_limits_and_choices(
    written: Callable[..., dict[str, dict[str, Any]]],
) -> None:
    schemas = written(ALL)
    assert list(schemas) == ALL
    for name, schema in schemas.items():
        assert strange(schema, PLAIN if written is mcp else GEMINI) == [], name
        assert choices(schema) == choices(BY_NAME[name].arguments.model_json_schema()), name

    def value(tool: str, field: str) -> dict[str, Any]:
        part = schemas[tool]["properties"][field]
        (kind,) = (one for one in part.get("anyOf", [part]) if one != {"type": "null"})
        return {**part, **kind}

    take = value("civitai_query_images", "take")
    assert (take["minimum"], take["maximum"]) == (1, 50)
    assert value("civitai_generate_image", "max_buzz")["minimum"] == 0
    assert value("civitai_choose_engine", "references")["maximum"] == 16
    assert value("civitai_get_image", "wait_seconds")["maximum"] == LONGEST_WAIT
    assert value("civitai_generate_image", "engine")["enum"] == list(catalog.NAMES)
    assert "photo" in value("civitai_choose_engine", "needs")["items"]["enum"]


def test_the_request_and_the_answers_are_plain_too() -> None:
    assert strange(ImageRequest.model_json_schema()) == []
    for model in OUTPUTS.values():
        assert strange(model.model_json_schema()) == []


def test_the_openapi_documents_schemas_are_plain() -> None:
    """What redocly, which reads OpenAPI 3.1, calls an error: a word that JSON Schema lacks."""
    app = FastAPI()
    app.include_router(router)
    written = json.dumps(build_document(app))
    document = json.loads(written.replace("#/components/schemas/", "#/$defs/"))
    components = document["components"]["schemas"]
    assert strange({"$defs": components}) == []
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert strange({"$defs": components, **parameter["schema"]}) == []


def test_what_the_developer_fixed_narrows_the_bound_choices(tmp_path: Path) -> None:
    schema = langchain(ALL[:1], engines=["grok", "qwen"], pictures=False, out=tmp_path)[ALL[0]]
    assert schema["properties"]["engine"]["enum"] == ["grok", "qwen"]
    assert "include_image" not in schema["properties"]


def test_what_one_tool_explains_the_others_leave_to_it() -> None:
    told = functions.openai_tools(include=ALL)
    parts = {t["function"]["name"]: t["function"]["parameters"]["properties"] for t in told}
    assert "description" in parts["civitai_generate_image"]["seed"]
    assert "description" not in parts["civitai_estimate_image"]["seed"]
    assert "civitai_generate_image" in parts["civitai_estimate_image"]["prompt"]["description"]
    (alone,) = functions.openai_tools(include=["civitai_estimate_image"])
    assert "description" in alone["function"]["parameters"]["properties"]["seed"]


def test_a_word_of_pydantics_own_would_be_seen() -> None:
    wrong = {"type": "object", "properties": {"n": {"anyOf": [{"type": "integer", "ge": 1}]}}}
    assert strange(wrong) == ["/n/anyOf0: ge"]
