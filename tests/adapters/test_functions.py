"""Function schemas: every rule of each dialect, by a walker; and the way back from a raw call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from civitai_skill import Civitai, Toolbox
from civitai_skill.adapters.functions import (
    adispatch,
    anthropic_tools,
    dispatch,
    gemini_tools,
    openai_tools,
)
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.registry import BY_NAME, DEFAULT, TOOLS

ALL = [tool.name for tool in TOOLS]
LORA = "urn:air:sdxl:lora:civitai:1@2"


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    client = Civitai(sandbox=Sandbox(seconds_per_job=0.02), home=tmp_path / "home")
    return Toolbox(client, include=ALL, out=tmp_path / "out")


# -- the walker ------------------------------------------------------------------------------------
# OpenAI's strict subset (structured outputs guide): nothing else may stand in a schema.
OPENAI_WORDS = {
    "type", "description", "properties", "required", "additionalProperties", "items", "anyOf",
    "enum", "const", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "$defs", "$ref",
}  # fmt: skip
OPENAI_FORMATS = {
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
}  # fmt: skip
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")


def walk(schema: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Every schema inside a schema, with the number of objects around it."""
    yield schema, depth
    inner = depth + (schema.get("type") == "object")
    for part in schema.get("properties", {}).values():
        yield from walk(part, inner)
    for part in schema.get("anyOf", []):
        yield from walk(part, inner)
    if "items" in schema:
        yield from walk(schema["items"], inner)


def breaches_of_strict(parameters: dict[str, Any]) -> list[str]:
    """What OpenAI would refuse in strict mode."""
    found = []
    if parameters.get("type") != "object" or "anyOf" in parameters:
        found.append("the root is no plain object")
    properties = enums = letters = 0
    for part, depth in walk(parameters):
        found += [f"the word {word}" for word in part.keys() - OPENAI_WORDS]
        if not {"type", "anyOf", "$ref"} & part.keys():
            found.append("a part without a type")
        if isinstance(part.get("type"), list):
            found.append("a list of types")
        if "format" in part and part["format"] not in OPENAI_FORMATS:
            found.append(f"the format {part['format']}")
        if part.get("type") == "object":
            if part.get("additionalProperties") is not False:
                found.append("an open object")
            if sorted(part.get("required", [])) != sorted(part["properties"]):
                found.append("a property that is not required")
            properties += len(part["properties"])
            letters += sum(map(len, part["properties"]))
        if "enum" in part:
            enums += len(part["enum"])
            letters += sum(len(str(value)) for value in part["enum"])
        if depth > 10:
            found.append("too deep")
    if properties > 5000 or enums > 1000 or letters > 120_000:
        found.append("too large")
    return found


def breaches_of_anthropic(tools: list[dict[str, Any]]) -> list[str]:
    """What Anthropic would refuse."""
    found = []
    optional = unions = 0
    for tool in tools:
        schema = tool["input_schema"]
        if schema.get("type") != "object" or {"oneOf", "anyOf", "allOf"} & schema.keys():
            found.append(f"{tool['name']}: the root is no plain object")
        if not tool.get("strict"):
            continue
        for part, _ in walk(schema):
            if part.get("type") == "object":
                optional += len(part["properties"]) - len(part["required"])
                if part.get("additionalProperties") is not False:
                    found.append(f"{tool['name']}: an open object")
            unions += "anyOf" in part or isinstance(part.get("type"), list)
            for word in ("minimum", "maximum", "minLength", "maxLength", "maxItems"):
                if word in part:
                    found.append(f"{tool['name']}: {word}")
    strict = sum(bool(tool.get("strict")) for tool in tools)
    if strict > 20 or optional > 24 or unions > 16:
        found.append(f"{strict} strict, {optional} optional, {unions} unions")
    return found


def functions(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [tool.get("function", tool) for tool in tools]


# -- the dialects ----------------------------------------------------------------------------------
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_openai_strict_holds_every_rule(api: Any) -> None:
    for function in functions(openai_tools(api=api, include=ALL)):
        assert breaches_of_strict(function["parameters"]) == []
        assert function["strict"] is True
        # What a model writes first, it thinks of first.
        fields = BY_NAME[function["name"]].arguments.model_fields
        assert list(function["parameters"]["properties"])[:1] == list(fields)[:1]


def test_the_walker_sees_what_is_wrong() -> None:
    wrong = {"type": "object", "properties": {"a": {"type": ["string", "null"], "default": 1}}}
    assert len(breaches_of_strict(wrong)) == 4
    many = {f"p{n}": {"type": "string"} for n in range(25)}
    schema = {
        "type": "object",
        "properties": many,
        "required": [],
        "additionalProperties": False,
    }
    tool = {"name": "t", "strict": True, "input_schema": schema}
    assert breaches_of_anthropic([tool]) == ["1 strict, 25 optional, 0 unions"]


def test_an_optional_property_may_be_null_in_strict_mode_and_only_there() -> None:
    (strict,) = functions(openai_tools(include=["civitai_generate_image"]))
    width = strict["parameters"]["properties"]["width"]
    assert width["anyOf"] == [{"type": "integer", "minimum": 1}, {"type": "null"}]
    (loose,) = functions(openai_tools(include=["civitai_generate_image"], strict=False))
    assert loose["parameters"]["properties"]["width"]["type"] == "integer"
    assert loose["parameters"]["required"] == ["prompt"]
    assert loose["strict"] is False


@pytest.mark.parametrize("strict", [False, True])
def test_anthropic_schemas_hold_every_rule(strict: bool) -> None:
    tools = anthropic_tools(strict=strict)
    assert breaches_of_anthropic(tools) == []
    assert [t["name"] for t in tools if "strict" in t] == (
        ["civitai_generate_image"] if strict else []
    )


def test_gemini_declarations_are_plain_json_schema() -> None:
    for tool in gemini_tools(include=ALL):
        Draft202012Validator.check_schema(tool["parameters_json_schema"])
        assert set(tool) == {"name", "description", "parameters_json_schema"}


def test_names_are_safe_everywhere() -> None:
    for tool in (*functions(openai_tools(include=ALL)), *anthropic_tools(), *gemini_tools()):
        assert NAME.fullmatch(tool["name"])


def test_the_tools_stay_small(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [len(json.dumps(openai_tools(api="chat", include=names))) for names in (DEFAULT, ALL)]
    with capsys.disabled():
        print(f"[the default five are {sizes[0]} characters, all {sizes[1]}] ", end="")
    assert [t["function"]["name"] for t in openai_tools()] == list(DEFAULT)
    assert len(DEFAULT) == 5
    assert sizes[0] <= 14_000
    assert sizes[1] <= 24_000


def test_the_packages_of_the_makers_take_the_schemas() -> None:
    from anthropic.types import ToolParam
    from openai.types.chat import ChatCompletionFunctionToolParam
    from openai.types.responses import FunctionToolParam

    for strict in (False, True):
        for tool in openai_tools(api="chat", strict=strict, include=ALL):
            TypeAdapter(ChatCompletionFunctionToolParam).validate_python(tool, extra="forbid")
        for tool in openai_tools(api="responses", strict=strict, include=ALL):
            TypeAdapter(FunctionToolParam).validate_python(tool, extra="forbid")
        for tool in anthropic_tools(strict=strict, include=ALL):
            TypeAdapter(ToolParam).validate_python(tool, extra="forbid")


def test_the_schemas_follow_what_the_developer_fixed(tmp_path: Path) -> None:
    box = Toolbox(Civitai(sandbox=Sandbox(), home=tmp_path), engines=["grok", "qwen"])
    engine = openai_tools(box)[0]["function"]["parameters"]["properties"]["engine"]
    assert engine["anyOf"][0]["enum"] == ["grok", "qwen"]
    assert engine["description"].startswith("qwen for readable")
    assert "grok for phone ratios (the default)" in engine["description"]


def test_a_thumbnail_is_not_offered_where_answers_are_text() -> None:
    for tool in functions(openai_tools(include=ALL)):
        assert "include_image" not in tool["parameters"]["properties"]


# -- the way back ----------------------------------------------------------------------------------
def filled(parameters: dict[str, Any], **given: Any) -> str:
    """A strict call as a model writes it: every property there, null where nothing is meant."""
    Draft202012Validator(parameters).validate(
        whole := {name: given.get(name) for name in parameters["properties"]}
    )
    return json.dumps(whole)


def test_a_strict_call_with_nulls_runs(box: Toolbox) -> None:
    (tool,) = functions(openai_tools(include=["civitai_generate_image"]))
    told = json.loads(dispatch(tool["name"], filled(tool["parameters"], prompt="a fox"), box=box))
    assert told["status"] == "succeeded"
    assert told["engine"] == "flux2 klein-4b"


def test_loras_survive_strict_mode(box: Toolbox) -> None:
    (tool,) = functions(openai_tools(include=["civitai_generate_image"]))
    loras = [{"air": LORA, "strength": 0.7}, {"air": LORA.replace("1@2", "3@4"), "strength": None}]
    raw = filled(tool["parameters"], prompt="a fox", engine="sdxl", loras=loras)
    told = json.loads(dispatch(tool["name"], raw, box=box))
    assert told["status"] == "succeeded"
    sent = box.call("civitai_query_images", {}).artifact.items[0].input
    assert sent["loras"] == {LORA: 0.7, LORA.replace("1@2", "3@4"): 1}


def test_options_survive_strict_mode(box: Toolbox) -> None:
    (tool,) = functions(openai_tools(include=["civitai_generate_image"]))
    options = [{"name": "clipSkip", "value": "1"}, {"name": "sampler", "value": "euler_a"}]
    raw = filled(tool["parameters"], prompt="a fox", engine="sd1", options=options)
    assert json.loads(dispatch(tool["name"], raw, box=box))["status"] == "succeeded"
    sent = box.call("civitai_query_images", {}).artifact.items[0].input
    assert (sent["clipSkip"], sent["sampleMethod"]) == (1, "euler_a")


@pytest.mark.parametrize("nothing", [None, "", " ", "null", "None", "undefined", "N/A"])
def test_placeholders_count_as_left_out(box: Toolbox, nothing: Any) -> None:
    arguments = {"prompt": "a fox", "engine": nothing, "seed": nothing, "images": nothing,
                 "folder": nothing, "max_buzz": nothing, "tags": nothing}  # fmt: skip
    assert json.loads(dispatch("civitai_generate_image", arguments, box=box))["buzz"] == 3


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("{not json", "arguments: not JSON"),
        ("[1]", "arguments: not accepted"),
        ("7", "arguments: not accepted"),
        ("[" * 100_000, "arguments: not JSON"),
        ('{"prompt": ' + "9" * 5000 + "}", "arguments: not JSON"),
        ("", "prompt: is required"),
        (None, "prompt: is required"),
        (b'{"prompt": 7}', "prompt: not accepted (given 7). Accepted: text."),
    ],
    ids=lambda v: str(v)[:20],
)
def test_broken_arguments_are_answered(box: Toolbox, raw: Any, said: str) -> None:
    told = json.loads(dispatch("civitai_generate_image", raw, box=box))
    assert told["error"].startswith(said)


def test_dispatch_without_a_box_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)
    told = json.loads(dispatch("civitai_generate_image", '{"prompt": "a fox"}'))
    assert Path(told["images"][0]["path"]).is_file()
    arguments = {"id": told["id"], "wait_seconds": 0}
    again = json.loads(asyncio.run(adispatch("civitai_get_image", arguments)))
    assert again["images"] == told["images"]
