"""What the MCP server buys: bodies, budgets, the user's yes, and callers who leave."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mcp.types import ElicitResult, InputRequiredResult

from civitai_skill.adapters.mcp.consent import Consent
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.schema.request import ImageRequest
from civitai_skill.tools.offer import Offer
from civitai_skill.tools.toolbox import Toolbox
from tests.support.mcp_server import ERAS, GENERATE, GET, Open, error_of
from tests.support.sandbox import KLEIN, PRICE, TEMPLATE, charged
from tests.support.thorough import cases

#: Made at the same time.
CALLS = cases(300)

PRIVATE = "http://169.254.169.254/latest/meta-data"
KONTEXT: dict[str, Any] = {
    "$type": "imageGen",
    "input": {"engine": "flux1-kontext", "model": "pro", "prompt": f"what is at {PRIVATE}"},
}


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """How a client speaks: with a handshake, or without."""
    return ERAS[request.param]


# -- a body of the service's own form --------------------------------------------------------------
async def test_a_body_is_bought_under_the_same_rules(
    open_client: Open, era: str, sandbox: Sandbox
) -> None:
    async with open_client(mode=era) as client:
        result = await client.call_tool(GENERATE, {"body": TEMPLATE, "folder": "raw"})
        told = result.structured_content
        assert (told["status"], told["buzz"]) == ("succeeded", PRICE)
        assert Path(told["images"][0]["path"]).parent.name == "raw"
        dear = error_of(await client.call_tool(GENERATE, {"body": TEMPLATE, "max_buzz": PRICE - 1}))
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
        ({"body": TEMPLATE, "prompt": "and this"}, "prompt"),
        ({"body": TEMPLATE, "engine": "sdxl"}, "engine"),
        ({"body": TEMPLATE, "folder": "../out"}, "folder"),
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


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"steps": [{**KONTEXT, "input": {**KONTEXT["input"], "images": [PRIVATE]}}]},
         "steps.0.input.images.0"),
        ({"steps": TEMPLATE["steps"], "callbacks": [{"url": PRIVATE, "type": ["workflow:*"]}]},
         "callbacks.0.url"),
    ],
    ids=["a source", "a callback"],
)  # fmt: skip
async def test_a_body_names_no_private_address(
    open_client: Open, sandbox: Sandbox, more: dict[str, Any], field: str
) -> None:
    async with open_client() as client:
        told = error_of(await client.call_tool(GENERATE, {"body": more}))
        assert told["code"] == "request_invalid"
        assert told["error"].startswith(f"{field}: an address of this machine")
    assert charged(sandbox) == 0


# -- money -----------------------------------------------------------------------------------------
@pytest.mark.slow
async def test_many_calls_at_once_all_get_their_own_picture(
    open_client: Open, sandbox: Sandbox
) -> None:
    def arguments(n: int) -> dict[str, Any]:
        small = {"engine": "sd1", "width": 64, "height": 64, "steps": 1}
        return {"prompt": f"fox {n}", "include_image": "no", **small}

    async with open_client(mode="legacy") as client:
        calls = (client.call_tool(GENERATE, arguments(n)) for n in range(CALLS))
        results = await asyncio.gather(*calls)
    told = [result.structured_content for result in results]
    assert {one["status"] for one in told} == {"succeeded"}
    assert len({one["id"] for one in told}) == CALLS
    assert len({one["images"][0]["path"] for one in told}) == CALLS
    (account,) = sandbox.accounts()
    assert account["submits"] == CALLS


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
        assert client.server_session.ledger.spent == 7 * PRICE
    failed = [error_of(result) for result in results if result.is_error]
    assert len(failed) == 23
    assert {one["code"] for one in failed} == {"over_budget"}
    assert "max_buzz can't raise it" in failed[0]["error"]
    assert charged(sandbox) == 7 * PRICE


@pytest.mark.parametrize("body", [False, True], ids=["shaped", "body"])
@pytest.mark.parametrize("answer", ["accept", "agree"], ids=["yes", "yes without content"])
async def test_the_user_is_asked_above_the_threshold_and_a_yes_buys(
    open_client: Open, era: str, sandbox: Sandbox, body: bool, answer: str
) -> None:
    arguments = {"body": TEMPLATE} if body else {"prompt": "a fox"}
    async with open_client(mode=era, answer=answer, ask_above=PRICE - 1) as client:
        result = await client.call_tool(GENERATE, arguments)
        assert result.structured_content["status"] == "succeeded"
        what = "A workflow of 1 step" if body else "1 picture with flux2 klein-4b"
        end = "Go on?" if body else "Prompt: 'a fox'. Go on?"
        assert client.asked == [f"{what} for {PRICE} Buzz (simulated by the sandbox). {end}"]
    assert charged(sandbox) == PRICE


@pytest.mark.parametrize("wait", [0.05, 0], ids=["waits", "submits"])
async def test_nobody_is_asked_about_what_is_bought_already(
    open_client: Open, era: str, sandbox: Sandbox, wait: float
) -> None:
    arguments = {"prompt": "a fox [sandbox:slow=60]", "wait_seconds": wait}
    async with open_client(mode=era, answer="accept", ask_above=0) as client:
        first = (await client.call_tool(GENERATE, arguments)).structured_content
        second = (await client.call_tool(GENERATE, arguments)).structured_content
        other = {**arguments, "folder": "other"}
        third = (await client.call_tool(GENERATE, other)).structured_content
        again = (await client.call_tool(GENERATE, {**arguments, "again": True})).structured_content
        assert second["id"] == first["id"]
        assert len({first["id"], third["id"], again["id"]}) == 3
        assert len(client.asked) == 3


async def test_what_is_no_longer_open_is_not_bought_unasked(
    open_client: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bought_already(*arguments: Any, **given: Any) -> Offer:
        return Offer(ImageRequest(prompt="a fox"), 300, 0)

    monkeypatch.setattr(Toolbox, "aoffer", bought_already)
    async with open_client(answer="accept", ask_above=0) as client:
        told = error_of(await client.call_tool(GENERATE, {"prompt": "a fox"}))
        assert told["code"] == "over_budget"
    assert charged(sandbox) == 0


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


@pytest.mark.parametrize("body", [True, False])
async def test_without_a_price_nobody_is_asked_and_nothing_is_bought(
    open_client: Open, era: str, sandbox: Sandbox, body: bool
) -> None:
    sandbox.script(Fault("whatif", "status", status=503, times=None))
    arguments = {"body": TEMPLATE} if body else {"prompt": "a fox", "engine": "grok"}
    async with open_client(mode=era, answer="decline", ask_above=0) as client:
        told = error_of(await client.call_tool(GENERATE, arguments))
        assert told["code"] == "server"
    assert charged(sandbox) == 0


async def test_where_the_service_tells_no_price_the_documented_one_is_asked_about(
    open_client: Open, era: str, sandbox: Sandbox
) -> None:
    sandbox.script(Fault("whatif", "status", status=503, times=None))
    async with open_client(mode=era, answer="decline", ask_above=0) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox"})
        assert "nothing was bought" in result.structured_content["message"]
        (question,) = client.asked
        assert f"for {PRICE} Buzz (simulated by the sandbox)." in question
    assert charged(sandbox) == 0


async def test_the_question_says_what_is_left_of_the_budgets(
    open_client: Open, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_BUDGET", "100/week")
    async with open_client(mode=era, answer="decline", ask_above=0, budget=50) as client:
        await client.call_tool(GENERATE, {"prompt": "a  fox", "quantity": 2})
        assert client.asked == [
            "2 pictures with flux2 klein-4b for 5 Buzz (simulated by the sandbox); 50 Buzz are "
            "left of the budget. Prompt: 'a  fox'. Go on?"
        ]


async def test_a_server_may_wait_less_and_show_nothing(open_client: Open, era: str) -> None:
    async with open_client(mode=era, wait=1, thumbnails=False) as client:
        (tool, *_) = (await client.list_tools()).tools
        fields = tool.input_schema["properties"]
        assert (fields["wait_seconds"]["default"], fields["include_image"]["default"]) == (1, "no")
        made = await client.call_tool(GENERATE, {"prompt": "a fox", "wait_seconds": 20})
        assert [block.type for block in made.content] == ["text"]
        asked = {"prompt": "an owl", "include_image": "thumbnail", "wait_seconds": 20}
        seen = await client.call_tool(GENERATE, asked)
        assert [block.type for block in seen.content] == ["text", "image"]
        slow = await client.call_tool(GENERATE, {"prompt": "[sandbox:slow=60] a heron"})
        assert slow.structured_content["next"]["arguments"]["wait_seconds"] == 1


async def test_no_more_is_paid_than_was_agreed_to(
    open_client: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_little(*arguments: Any, **given: Any) -> Offer:
        return Offer(ImageRequest(prompt="a fox"), 300, price=PRICE - 1)

    monkeypatch.setattr(Toolbox, "aoffer", too_little)
    async with open_client(answer="accept", ask_above=0) as client:
        told = error_of(await client.call_tool(GENERATE, {"prompt": "a fox"}))
        assert told["code"] == "over_budget"
    assert charged(sandbox) == 0


# -- callers who leave -----------------------------------------------------------------------------
async def test_a_purchase_outlives_a_caller_who_gives_up(
    open_client: Open, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(
            client.call_tool(GENERATE, {"prompt": "a fox [sandbox:slow=0.5]"})
        )
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        while not list((tmp_path / "out").glob("*.jpeg")):
            await asyncio.sleep(0.01)
        while not client.server_session.ledger.unfinished():
            await asyncio.sleep(0.01)
        again = await client.call_tool(GENERATE, {"prompt": "a fox [sandbox:slow=0.5]"})
        assert "path" in again.structured_content["images"][0]
        assert client.server_session.ledger.unfinished() == []
    assert charged(sandbox) == PRICE


@pytest.mark.parametrize(
    "arguments",
    [{"prompt": "a fox"}, {"body": TEMPLATE}, {"prompt": "a fox", "engine": "grok"}],
    ids=["shaped", "body", "no documented price"],
)
async def test_what_is_perhaps_paid_already_is_gone_on_with_unasked(
    open_client: Open, era: str, sandbox: Sandbox, arguments: dict[str, Any]
) -> None:
    sandbox.script(Fault("submit", "reset", committed=True, times=None))
    async with open_client(mode=era, answer="accept", ask_above=0) as client:
        assert error_of(await client.call_tool(GENERATE, arguments))["buzz_spent"] == "unknown"
        paid = charged(sandbox)
        sandbox.clear()
        sandbox.script(Fault("whatif", "status", status=500, times=None))
        asked = list(client.asked)
        again = await client.call_tool(GENERATE, arguments)
        assert again.structured_content["status"] == "succeeded"
        assert client.asked == asked
    assert charged(sandbox) == paid > 0


async def test_at_the_end_of_the_server_a_waiting_call_comes_back_with_its_handle(
    open_client: Open, sandbox: Sandbox
) -> None:
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(
            client.call_tool(GENERATE, {"prompt": "a fox [sandbox:slow=60]"})
        )
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        client.server_session.stop()
        told = (await asyncio.wait_for(call, 5)).structured_content
        assert told["next"] == {"tool": GET, "arguments": {"id": told["id"], "wait_seconds": 45}}


async def test_one_yes_is_for_one_purchase(
    open_client: Open,
) -> None:
    async with open_client() as client:
        box = Toolbox(client.server_session.client)
        consent = Consent(box, 0)
        given = box.read("civitai_generate_image", {"prompt": "a fox"})
        answered: Any = Answered()
        assert await consent.obtain(answered, "civitai_generate_image", given) == 60
        again = await consent.obtain(answered, "civitai_generate_image", given)
        assert isinstance(again, InputRequiredResult), "sent twice, it is asked again"


class Answered:
    """What a call knows whose user has said yes."""

    input_responses: ClassVar = {"agree": ElicitResult(action="accept")}
    request_state = "60:0123456789abcdef"
    protocol_version = "2026-07-28"
