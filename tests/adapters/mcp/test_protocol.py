"""The MCP server through the protocol's own client, in this process and in both of its eras."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp.shared.exceptions import MCPError
from PIL import Image

from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.tools.registry import BY_NAME, SERVED
from tests.support.mcp_server import ERAS, GENERATE, GET, Open, error_of
from tests.support.sandbox import PRICE, TEMPLATE, charged


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """How a client speaks: with a handshake, or without."""
    return ERAS[request.param]


# -- what is listed --------------------------------------------------------------------------------
async def test_the_registrys_tools_are_listed_in_the_capabilitys_spelling(
    open_client: Open, era: str
) -> None:
    async with open_client(mode=era) as client:
        assert (era, client.protocol_version) in (("legacy", "2025-11-25"), ("auto", "2026-07-28"))
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == [name.replace("_", "-") for name in SERVED]
        for tool in tools:
            ours = BY_NAME[tool.name.replace("-", "_")]
            hints = tool.annotations.model_dump()
            assert hints == {
                "title": ours.title,
                "read_only_hint": ours.hints.read_only,
                "destructive_hint": ours.hints.destructive,
                "idempotent_hint": ours.hints.idempotent,
                "open_world_hint": ours.hints.open_world,
            }
            assert tool.title == ours.title
            assert tool.output_schema["type"] == "object"
            told = json.dumps([tool.description, tool.input_schema, tool.output_schema])
            assert "civitai_" not in told
            jsonschema.Draft202012Validator.check_schema(tool.input_schema)
            jsonschema.Draft202012Validator.check_schema(tool.output_schema)


async def test_schemas_are_portable(open_client: Open) -> None:
    def walk(value: Any, names: bool = False) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            if not names:
                assert not isinstance(value.get("type"), list), value
                assert {"ge", "le", "title"} & set(value) == set(), value
            for name, item in value.items():
                walk(item, name in ("properties", "$defs") and not names)

    async with open_client() as client:
        for tool in (await client.list_tools()).tools:
            for schema in (tool.input_schema, tool.output_schema):
                assert schema["type"] == "object"
                assert "anyOf" not in schema
                walk(schema)


async def test_the_instructions_and_the_prompt_guide_in_this_spelling(
    open_client: Open, era: str
) -> None:
    async with open_client(mode=era) as client:
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "image-generation-guide"
        assert [(a.name, a.required) for a in prompt.arguments] == [("intent", True)]
        found = await client.get_prompt(prompt.name, {"intent": "a poster for a fair"})
        text = found.messages[0].content.text
        assert text.endswith("What is wanted: a poster for a fair")
        assert "civitai-choose-engine" in text
        assert "civitai_" not in text
        assert client.instructions is not None
        assert "civitai-choose-engine" in client.instructions
        for name, arguments in (("other", {"intent": "x"}), (prompt.name, {}), (prompt.name, None)):
            with pytest.raises(MCPError, match="There is one prompt here"):
                await client.get_prompt(name, arguments)


async def test_the_skills_pages_are_resources(open_client: Open) -> None:
    async with open_client() as client:
        pages = {page.uri for page in (await client.list_resources()).resources}
        assert {"skill://civitai-skill/SKILL.md", "skill://civitai-generate-image/SKILL.md"} < pages
        for uri in sorted(pages)[:3]:
            (page,) = (await client.read_resource(uri)).contents
            assert page.mime_type == "text/markdown"
            assert page.text.strip()


# -- making pictures -------------------------------------------------------------------------------
async def test_a_picture_is_saved_shown_and_whole_as_a_resource(
    open_client: Open, era: str, tmp_path: Path
) -> None:
    async with open_client(mode=era) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a red fox", "seed": 7})
        text, small = result.content
        told = result.structured_content
        assert json.loads(text.text) == told
        path = Path(told["images"][0]["path"])
        assert path.parent == tmp_path / "out"
        assert (told["status"], told["buzz"], told["images"][0]["seed"]) == ("succeeded", PRICE, 7)
        assert small.mime_type == "image/jpeg"
        assert len(small.data) < 200_000
        with Image.open(io.BytesIO(base64.b64decode(small.data))) as picture:
            assert max(picture.size) <= 512
        address = told["images"][0]["resource"]
        assert address == f"civitai://images/{told['id']}/0"
        (whole,) = (await client.read_resource(address)).contents
        assert whole.mime_type == "image/jpeg"
        assert base64.b64decode(whole.blob) == path.read_bytes()


async def test_paths_are_whole_wherever_the_server_was_started(
    open_client: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_client(out="here") as client:
        told = (await client.call_tool(GENERATE, {"prompt": "a red fox"})).structured_content
    assert Path(told["images"][0]["path"]).parent == tmp_path / "here"


async def test_a_picture_that_is_no_longer_here_is_fetched_again(open_client: Open) -> None:
    async with open_client() as client:
        told = (await client.call_tool(GENERATE, {"prompt": "a red fox"})).structured_content
        path = Path(told["images"][0]["path"])
        path.write_bytes(b"something else by now")
        (whole,) = (await client.read_resource(f"civitai://images/{told['id']}/0")).contents
        with Image.open(io.BytesIO(base64.b64decode(whole.blob))) as picture:
            assert picture.size == (1024, 1024)
        assert path.read_bytes() == b"something else by now"
        path.unlink()
        await client.read_resource(f"civitai://images/{told['id']}/0")
        assert path.read_bytes() == base64.b64decode(whole.blob)


@pytest.mark.parametrize(
    "uri",
    ["civitai://images/nobody/0", "civitai://images/../0", "civitai://images/a/b",
     "civitai://images/x", "civitai://images/a/99999999999", "civitai://other/a"],
)  # fmt: skip
async def test_a_picture_that_is_not_there_is_an_error_in_words(
    open_client: Open, uri: str
) -> None:
    async with open_client() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        assert "Traceback" not in str(caught.value)


async def test_the_address_of_a_picture_is_a_source(open_client: Open) -> None:
    async with open_client() as client:
        made = (await client.call_tool(GENERATE, {"prompt": "a fox"})).structured_content
        uri = f"civitai://images/{made['id']}/0"
        for images in (uri, [uri], [made["images"][0]["path"]]):
            given = {"prompt": "make it night", "images": images, "quantity": "1"}
            night = (await client.call_tool(GENERATE, given)).structured_content
            assert night["status"] == "succeeded"
        lost = await client.call_tool(GENERATE, {**given, "images": ["civitai://images/1-2/0"]})
        assert error_of(lost)["code"] == "request_invalid"
        assert "as it was returned here" in error_of(lost)["error"]


async def test_progress_is_told_while_waiting_and_rises(open_client: Open, era: str) -> None:
    seen: list[tuple[float, float, str]] = []

    async def hear(value: float, total: float, message: str) -> None:
        seen.append((value, total, message))

    async with open_client(mode=era) as client:
        result = await client.call_tool(
            GENERATE, {"prompt": "a fox [sandbox:slow=0.3]"}, progress_callback=hear
        )
    values = [value for value, _, _ in seen]
    assert values == sorted(set(values))
    assert all(0 < value < total == 100 for value, total, _ in seen)
    told = " | ".join(message for _, _, message in seen)
    assert f"submitted as {result.structured_content['id']}" in told
    assert "3 Buzz" in told
    assert "ahead" in told


async def test_a_wait_that_is_over_gives_the_handle_to_go_on_with(
    open_client: Open, era: str
) -> None:
    async with open_client(mode=era) as client:
        first = await client.call_tool(
            GENERATE, {"prompt": "a fox [sandbox:slow=1]", "wait_seconds": 0.05}
        )
        following = first.structured_content["next"]
        assert not first.is_error
        assert following["tool"] == GET
        done = await client.call_tool(following["tool"], following["arguments"])
        assert done.structured_content["status"] == "succeeded"
        assert [block.type for block in done.content] == ["text", "image"]


async def test_pictures_are_linked_to_where_that_is_asked_for(open_client: Open, era: str) -> None:
    async with open_client(mode=era, links=True) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox"})
        assert [block.type for block in result.content] == ["text", "image", "resource_link"]
        link = result.content[-1]
        assert link.uri == result.structured_content["images"][0]["resource"]
        assert (await client.read_resource(link.uri)).contents[0].mime_type == "image/jpeg"


async def test_the_servers_own_pictures_are_sources(open_client: Open, tmp_path: Path) -> None:
    async with open_client() as client:
        first = (await client.call_tool(GENERATE, {"prompt": "a fox"})).structured_content
        (image,) = first["images"]
        ids = {first["id"]}
        for source in (image["resource"], f"file://{image['path']}", image["path"]):
            for images in ([source], source):
                night = {"prompt": f"make it night {len(ids)}", "images": images}
                edited = await client.call_tool(GENERATE, night)
                assert not edited.is_error, edited
                ids.add(edited.structured_content["id"])
        assert len(ids) == 7
        price = {**night, "images": [image["resource"]], "estimate_only": True}
        assert (await client.call_tool(GENERATE, price)).structured_content["within_limit"]


@pytest.mark.parametrize(
    "source",
    ["civitai://images/nobody/0", "civitai://images/../0", "file:///etc/passwd",
     "file://elsewhere/etc/passwd", "civitai://other"],
)  # fmt: skip
async def test_a_source_that_is_not_the_servers_own_is_refused_by_name(
    open_client: Open, sandbox: Sandbox, source: str
) -> None:
    async with open_client() as client:
        told = error_of(await client.call_tool(GENERATE, {"prompt": "a", "images": [source]}))
        assert told["code"] == "request_invalid"
        assert told["error"].startswith("images")
    assert charged(sandbox) == 0


async def test_every_answer_fits_the_schema_that_was_told(
    open_client: Open, sandbox: Sandbox
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        (GENERATE, {"prompt": "a", "quantity": 2}),
        (GENERATE, {"prompt": "a", "estimate_only": True, "engine": "seedream"}),
        (GENERATE, {"prompt": "b [sandbox:slow=9]", "wait_seconds": 0}),
        (GENERATE, {"body": TEMPLATE}),
        (GENERATE, {"body": TEMPLATE, "estimate_only": True}),
        ("civitai-query-images", {"take": 2}),
        ("civitai-query-images", {"tags": ["none"]}),
        ("civitai-choose-engine", {"needs": ["photo", "edit"]}),
        ("civitai-choose-engine", {}),
    ]
    async with open_client() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

        async def hold(name: str, arguments: dict[str, Any]) -> Any:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result
            schema = tools[name].output_schema
            strict = {**schema, "additionalProperties": False}
            jsonschema.Draft202012Validator(strict).validate(result.structured_content)
            return result.structured_content

        for name, arguments in calls:
            last = await hold(name, arguments)
            if "status" in last and last["status"] != "succeeded":
                await hold("civitai-cancel-image", {"id": last["id"]})
                await hold("civitai-cancel-image", {"id": last["id"]})


# -- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"prompt": "a", "engin": "sdxl"}, "request_invalid", "Nearest that works: 'engine'"),
        ({"prompt": "a", "engine": "seedream", "max_buzz": 5}, "over_budget", "60 Buzz"),
        ({"prompt": "a [sandbox:blocked]"}, "workflow_failed", "blocked"),
        (
            {"prompt": "a", "images": ["/etc/passwd"]},
            "request_invalid",
            "files of this machine are not allowed here",
        ),
        (
            {"prompt": "a", "images": ["https://127.0.0.1/x.png"]},
            "request_invalid",
            "private network",
        ),
    ],
)
async def test_an_error_explains_itself_to_the_model(
    open_client: Open, era: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    async with open_client(mode=era) as client:
        told = error_of(await client.call_tool(GENERATE, arguments))
        assert told["code"] == code
        assert words in told["error"]
        assert "civitai_" not in json.dumps(told)


async def test_an_unknown_tool_is_told_which_there_are(open_client: Open) -> None:
    async with open_client() as client:
        told = error_of(await client.call_tool("civitai-make-video", {}))
        assert GENERATE in told["error"]


async def test_a_failing_service_is_an_answer(open_client: Open, sandbox: Sandbox) -> None:
    sandbox.script(Fault("submit", "status", status=401, times=9))
    async with open_client() as client:
        assert error_of(await client.call_tool(GENERATE, {"prompt": "a"}))["code"] == "unauthorized"


async def test_wrong_arguments_of_every_kind_end_in_words(open_client: Open) -> None:
    wrong: list[Any] = [
        {"prompt": 7}, {"prompt": None}, {"prompt": "a", "width": "x"}, {"body": [1]},
        {"prompt": "a", "loras": {"urn": "x"}}, {"prompt": "a", "options": 3},
        {"prompt": "x" * 200_000}, {"prompt": "a", "wait_seconds": -1}, {"": ""},
    ]  # fmt: skip
    async with open_client() as client:
        for arguments in wrong:
            told = error_of(await client.call_tool(GENERATE, arguments))
            assert told["code"] == "request_invalid", arguments
            assert len(told["error"]) < 3000
