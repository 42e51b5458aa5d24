"""The MCP server through the protocol's own client, in this process and in both of its eras."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ElicitResult
from PIL import Image

from civitai_skill import AsyncCivitai
from civitai_skill.adapters.mcp import server
from civitai_skill.desk import Desk
from civitai_skill.exchange import Retry
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.tools.registry import BY_NAME, DEFAULT

GENERATE = "civitai-generate-image"
GET = "civitai-get-image"
PRICE = 3
KLEIN = {
    "engine": "flux2", "model": "klein", "modelVersion": "4b", "operation": "createImage",
    "prompt": "a red fox", "steps": 8, "cfgScale": 1,
}  # fmt: skip
BODY = {"steps": [{"$type": "imageGen", "input": KLEIN}]}

Open = Callable[..., Any]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.05, balance={"blue": 10_000, "yellow": 0})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(params=["2025-11-25", "2026-07-28"])
def era(request: pytest.FixtureRequest) -> str:
    """How a client speaks: with a handshake, or without."""
    return {"2025-11-25": "legacy", "2026-07-28": "auto"}[request.param]


@pytest.fixture
def open_client(sandbox: Sandbox, tmp_path: Path, out: Path) -> Open:
    """Opens a server on the sandbox, and a client of it: open_client(budget=9, mode="legacy")."""

    @asynccontextmanager
    async def open_one(
        budget: int | None = None, mode: str = "auto", answer: str | None = None, **settings: Any
    ) -> AsyncIterator[Client]:
        client = AsyncCivitai(
            sandbox=sandbox, home=tmp_path / "home", retry=Retry(tries=2, first=0.001, cap=0.002)
        )
        desk = Desk(client, budget)
        asked: list[str] = []

        async def ask(context: Any, params: Any) -> ElicitResult:
            asked.append(params.message)
            return ElicitResult(action=answer, content={} if answer == "accept" else None)

        made = server.made(desk, out=out, **settings)
        able = {} if answer is None else {"elicitation_callback": ask}
        async with Client(made, mode=mode, **able) as connected:
            connected.asked = asked  # type: ignore[attr-defined]
            connected.desk = desk  # type: ignore[attr-defined]
            yield connected
        await desk.close()

    return open_one


def charged(sandbox: Sandbox) -> int:
    return sum(int(account["charged"]) for account in sandbox.accounts())


def error_of(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error, result
    told: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    return told


# -- what is listed --------------------------------------------------------------------------------
async def test_the_registrys_tools_are_listed_in_the_capabilitys_spelling(
    open_client: Open, era: str
) -> None:
    async with open_client(mode=era) as client:
        assert (era, client.protocol_version) in (("legacy", "2025-11-25"), ("auto", "2026-07-28"))
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == [name.replace("_", "-") for name in DEFAULT]
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
    open_client: Open, era: str, out: Path
) -> None:
    async with open_client(mode=era) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a red fox", "seed": 7})
        text, small, link = result.content
        told = result.structured_content
        assert json.loads(text.text) == told
        path = Path(told["images"][0]["path"])
        assert path.parent == out
        assert (told["status"], told["buzz"], told["images"][0]["seed"]) == ("succeeded", PRICE, 7)
        assert small.mime_type == "image/jpeg"
        assert len(small.data) < 200_000
        with Image.open(io.BytesIO(base64.b64decode(small.data))) as picture:
            assert max(picture.size) <= 512
        assert link.uri == f"civitai://images/{told['id']}/0"
        (whole,) = (await client.read_resource(link.uri)).contents
        assert whole.mime_type == "image/jpeg"
        assert base64.b64decode(whole.blob) == path.read_bytes()


async def test_a_picture_that_is_no_longer_here_is_fetched_again(
    open_client: Open, out: Path
) -> None:
    async with open_client() as client:
        told = (await client.call_tool(GENERATE, {"prompt": "a red fox"})).structured_content
        path = Path(told["images"][0]["path"])
        path.write_bytes(b"something else by now")
        (whole,) = (await client.read_resource(f"civitai://images/{told['id']}/0")).contents
        with Image.open(io.BytesIO(base64.b64decode(whole.blob))) as picture:
            assert picture.size == (1024, 1024)


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
        assert [block.type for block in done.content] == ["text", "image", "resource_link"]


async def test_every_answer_fits_the_schema_that_was_told(
    open_client: Open, sandbox: Sandbox
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        (GENERATE, {"prompt": "a", "quantity": 2}),
        (GENERATE, {"prompt": "a", "estimate_only": True, "engine": "seedream"}),
        (GENERATE, {"prompt": "b [sandbox:slow=9]", "wait_seconds": 0}),
        (GENERATE, {"body": BODY}),
        (GENERATE, {"body": BODY, "estimate_only": True}),
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


# -- a body of the service's own form --------------------------------------------------------------
async def test_a_body_is_bought_under_the_same_rules(
    open_client: Open, era: str, sandbox: Sandbox
) -> None:
    async with open_client(mode=era) as client:
        result = await client.call_tool(GENERATE, {"body": BODY, "folder": "raw"})
        told = result.structured_content
        assert (told["status"], told["buzz"]) == ("succeeded", PRICE)
        assert Path(told["images"][0]["path"]).parent.name == "raw"
        dear = error_of(await client.call_tool(GENERATE, {"body": BODY, "max_buzz": PRICE - 1}))
        assert dear["code"] == "over_budget"
        assert charged(sandbox) == PRICE


async def test_a_body_of_words_gives_words(open_client: Open) -> None:
    step = {"$type": "promptEnhancement", "input": {"ecosystem": "flux2", "prompt": "a fox"}}
    async with open_client() as client:
        result = await client.call_tool(GENERATE, {"body": {"steps": [step]}})
        assert not result.is_error, result
        (output,) = result.structured_content["outputs"]
        assert output


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"body": {"steps": [{"$type": "videoGen", "input": {}}]}}, "steps.0.$type"),
        ({"body": {"steps": []}}, "body"),
        ({"body": {}}, "body"),
        ({"body": "text"}, "body"),
        ({"body": BODY, "prompt": "and this"}, "prompt"),
        ({"body": BODY, "engine": "sdxl"}, "engine"),
        ({"body": BODY, "folder": "../out"}, "folder"),
        ({}, "prompt"),
    ],
)
async def test_what_a_body_may_not_be_is_refused_by_name(
    open_client: Open, sandbox: Sandbox, arguments: dict[str, Any], field: str
) -> None:
    async with open_client() as client:
        told = error_of(await client.call_tool(GENERATE, arguments))
        assert told["code"] == "request_invalid"
        assert told["error"].startswith(f"{field}: ")
    assert charged(sandbox) == 0


# -- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"prompt": "a", "engin": "sdxl"}, "request_invalid", "Nearest that works: 'engine'"),
        ({"prompt": "a", "engine": "seedream", "max_buzz": 5}, "over_budget", "60 Buzz"),
        ({"prompt": "a [sandbox:blocked]"}, "workflow_failed", "blocked"),
        ({"prompt": "a", "images": ["/etc/passwd"]}, "request_invalid", "do not read other files"),
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


# -- money -----------------------------------------------------------------------------------------
async def test_200_calls_at_once_all_get_their_own_picture(
    open_client: Open, sandbox: Sandbox
) -> None:
    def arguments(n: int) -> dict[str, Any]:
        small = {"engine": "sd1", "width": 64, "height": 64, "steps": 1}
        return {"prompt": f"fox {n}", "include_image": "no", **small}

    async with open_client(mode="legacy") as client:
        calls = (client.call_tool(GENERATE, arguments(n)) for n in range(200))
        results = await asyncio.gather(*calls)
    told = [result.structured_content for result in results]
    assert {one["status"] for one in told} == {"succeeded"}
    assert len({one["id"] for one in told}) == 200
    assert len({one["images"][0]["path"] for one in told}) == 200
    (account,) = sandbox.accounts()
    assert account["submits"] == 200


async def test_a_budget_holds_for_shaped_calls_and_bodies_together(
    open_client: Open, sandbox: Sandbox
) -> None:
    def arguments(n: int) -> dict[str, Any]:
        if n % 2:
            return {"prompt": f"fox {n}"}
        return {"body": {"steps": [{"$type": "imageGen", "input": {**KLEIN, "prompt": f"f{n}"}}]}}

    async with open_client(budget=7 * PRICE + 1) as client:
        results = await asyncio.gather(
            *(client.call_tool(GENERATE, arguments(n)) for n in range(30))
        )
        assert client.desk.purse.spent == 7 * PRICE
    failed = [error_of(result) for result in results if result.is_error]
    assert len(failed) == 23
    assert {one["code"] for one in failed} == {"over_budget"}
    assert "max_buzz can't raise it" in failed[0]["error"]
    assert charged(sandbox) == 7 * PRICE


@pytest.mark.parametrize("body", [False, True], ids=["shaped", "body"])
async def test_the_user_is_asked_above_the_threshold_and_a_yes_buys(
    open_client: Open, era: str, sandbox: Sandbox, body: bool
) -> None:
    arguments = {"body": BODY} if body else {"prompt": "a fox"}
    async with open_client(mode=era, answer="accept", ask_above=PRICE - 1) as client:
        result = await client.call_tool(GENERATE, arguments)
        assert result.structured_content["status"] == "succeeded"
        assert client.asked == [f"This costs {PRICE} Buzz. Go on?"]
    assert charged(sandbox) == PRICE


@pytest.mark.parametrize("answer", ["decline", "cancel"])
async def test_without_a_yes_nothing_is_bought(
    open_client: Open, era: str, sandbox: Sandbox, answer: str
) -> None:
    async with open_client(mode=era, answer=answer, ask_above=0) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox"})
        assert "nothing was bought" in result.structured_content["message"]
        assert len(client.asked) == 1
    assert charged(sandbox) == 0


async def test_nobody_is_asked_below_the_threshold_or_about_a_refusal(open_client: Open) -> None:
    async with open_client(answer="accept", ask_above=PRICE) as client:
        await client.call_tool(GENERATE, {"prompt": "a fox"})
        await client.call_tool(GENERATE, {"prompt": "b", "engine": "seedream", "max_buzz": 50})
        await client.call_tool(GENERATE, {"prompt": "c", "engine": "nix"})
        await client.call_tool(GENERATE, {"prompt": "d", "engine": "seedream", "estimate_only": 1})
        assert client.asked == []


async def test_a_client_that_cannot_ask_is_not_held_up(open_client: Open, era: str) -> None:
    async with open_client(mode=era, ask_above=0) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox"})
        assert result.structured_content["status"] == "succeeded"


async def test_no_more_is_paid_than_was_agreed_to(
    open_client: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_little(*arguments: Any) -> int:
        return PRICE - 1

    monkeypatch.setattr("civitai_skill.tools.consent.to_agree", too_little)
    async with open_client(answer="accept", ask_above=0) as client:
        told = error_of(await client.call_tool(GENERATE, {"prompt": "a fox"}))
        assert told["code"] == "over_budget"
    assert charged(sandbox) == 0


# -- callers who leave -----------------------------------------------------------------------------
async def test_a_purchase_outlives_a_caller_who_gives_up(
    open_client: Open, sandbox: Sandbox, out: Path
) -> None:
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(
            client.call_tool(GENERATE, {"prompt": "a fox [sandbox:slow=0.5]"})
        )
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        while not list(out.glob("*.jpeg")):
            await asyncio.sleep(0.01)
        assert client.desk.purse.unfinished() == []


async def test_at_the_end_of_the_server_a_waiting_call_comes_back_with_its_handle(
    open_client: Open, sandbox: Sandbox
) -> None:
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(
            client.call_tool(GENERATE, {"prompt": "a fox [sandbox:slow=60]"})
        )
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        client.desk.stopping.set()
        told = (await asyncio.wait_for(call, 5)).structured_content
        assert told["next"] == {"tool": GET, "arguments": {"id": told["id"], "wait_seconds": 60}}
