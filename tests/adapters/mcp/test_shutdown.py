"""The end of an MCP server: whoever is inside gets an answer soon, and it is a true one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.mcp import calls
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.mcp_server import GENERATE, GET, Open, error_of
from tests.support.sandbox import PRICE, TEMPLATE, charged

SLOW = {"prompt": "a fox [sandbox:slow=60]"}
#: Seconds for an answer at the end, with much room for a busy machine; the work itself takes 60.
SOON = 15


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that comes about in another task."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def ended(client: Any, call: asyncio.Future[Any]) -> Any:
    """Begin the server's end: what the call answers."""
    client.server_session.stop()
    return await asyncio.wait_for(call, SOON)


def calling(client: Any, arguments: dict[str, Any], **more: Any) -> asyncio.Future[Any]:
    return asyncio.ensure_future(client.call_tool(GENERATE, arguments, **more))


@pytest.mark.parametrize("lost", [False, True], ids=["known", "answer lost"])
async def test_who_goes_on_with_an_earlier_purchase_gets_its_handle(
    open_client: Open, sandbox: Sandbox, lost: bool
) -> None:
    heard: list[str] = []

    async def hear(value: float, total: float | None, message: str | None) -> None:
        heard.append(str(message))

    if lost:
        sandbox.script(Fault("submit", "reset", committed=True, times=2))
    async with open_client(mode="legacy") as client:
        await client.call_tool(GENERATE, {**SLOW, "wait_seconds": 0.05})
        call = calling(client, SLOW, progress_callback=hear)
        await until(lambda: any("ahead" in message or "processing" in message for message in heard))
        told = (await ended(client, call)).structured_content
        assert told["next"] == {"tool": GET, "arguments": {"id": told["id"], "wait_seconds": 45}}
        assert "nothing new was bought" in told["message"]
    assert charged(sandbox) == PRICE


async def test_who_waits_for_words_gets_the_handle(open_client: Open, sandbox: Sandbox) -> None:
    prompt = SLOW["prompt"]
    step = {"$type": "promptEnhancement", "input": {"ecosystem": "flux2", "prompt": prompt}}
    async with open_client(mode="legacy") as client:
        call = calling(client, {"body": {"steps": [step]}, "folder": "words"})
        await until(lambda: sandbox.accounts() and sandbox.accounts()[0]["submits"])
        told = (await ended(client, call)).structured_content
        following = {"id": told["id"], "wait_seconds": 45, "folder": "words"}
        assert told["next"]["arguments"] == following


# -- no end of it ----------------------------------------------------------------------------------
@pytest.mark.parametrize("on", ["get", "blob"])
async def test_a_call_comes_back_with_the_id_before_its_client_gives_up(
    open_client: Open, sandbox: Sandbox, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_AT_LEAST", 0.5)
    monkeypatch.setattr(calls, "_BEYOND", 0.5)
    sandbox.script(Fault(on, "stall", seconds=60, times=None))
    given = {"prompt": "a fox [sandbox:slow=0.3]", "wait_seconds": 0.5, "folder": "foxes"}
    async with open_client(mode="legacy") as client:
        first = await asyncio.wait_for(calling(client, given), SOON)
        following = first.structured_content["next"]
        assert (following["tool"], following["arguments"]["folder"]) == (GET, "foxes")
        look = client.call_tool(GET, {**following["arguments"], "wait_seconds": 0})
        told = error_of(await asyncio.wait_for(look, SOON))
        assert (told["code"], told["buzz_spent"], told["next"]["arguments"]["id"]) == (
            "transport", "yes", following["arguments"]["id"],
        )  # fmt: skip
        assert told["next"]["arguments"]["folder"] == "foxes"
        sandbox.clear()
        done = (await client.call_tool(GET, following["arguments"])).structured_content
        assert Path(done["images"][0]["path"]).parent.name == "foxes"
    assert charged(sandbox) == PRICE


async def test_an_open_question_is_taken_back(open_client: Open, sandbox: Sandbox) -> None:
    async with open_client(mode="legacy", answer="ponder", ask_above=0) as client:
        call = calling(client, {"prompt": "a fox"})
        await until(lambda: client.asked)
        told = error_of(await ended(client, call))
        assert (told["code"], told["buzz_spent"]) == ("stopping", "no")
    assert charged(sandbox) == 0


@pytest.mark.parametrize(
    "arguments",
    [{"prompt": "a fox", "engine": "grok"}, {"body": TEMPLATE, "estimate_only": True}],
    ids=["to buy", "to know"],
)
async def test_who_waits_for_a_price_is_told_that_nothing_was_bought(
    open_client: Open, sandbox: Sandbox, arguments: dict[str, Any]
) -> None:
    sandbox.script(Fault("whatif", "stall", seconds=60))
    async with open_client(mode="legacy") as client:
        call = calling(client, arguments)
        await asyncio.sleep(0.3)
        told = error_of(await ended(client, call))
        assert (told["code"], told["buzz_spent"]) == ("stopping", "no")
    assert charged(sandbox) == 0


async def test_a_look_comes_back_although_the_service_hangs(
    open_client: Open, sandbox: Sandbox
) -> None:
    sandbox.script(Fault("query", "stall", seconds=60, times=None))
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(client.call_tool("civitai-query-images", {}))
        await asyncio.sleep(0.1)
        assert error_of(await ended(client, call))["code"] == "stopping"


async def test_of_a_purchase_that_hangs_it_is_said_that_nobody_knows(
    open_client: Open, sandbox: Sandbox
) -> None:
    sandbox.script(Fault("submit", "stall", seconds=60))
    async with open_client(mode="legacy") as client:
        client.server_session.grace = 1.0
        before = len(asyncio.all_tasks())
        call = calling(client, {"prompt": "a fox"})
        await until(client.server_session.ledger.history)
        await asyncio.sleep(0.2)
        told = error_of(await ended(client, call))
        assert (told["code"], told["buzz_spent"]) == ("transport", "unknown")
        await client.server_session.close()
        await until(lambda: len(asyncio.all_tasks()) <= before)  # nobody goes on in secret
        (run,) = client.server_session.ledger.unfinished()
        assert run.workflow is None, "it stands in the ledger to be taken up"


async def test_nothing_is_bought_any_more(open_client: Open, sandbox: Sandbox) -> None:
    async with open_client(mode="legacy") as client:
        client.server_session.stop()
        for arguments in ({"prompt": "a fox"}, {"body": TEMPLATE}):
            told = error_of(await client.call_tool(GENERATE, arguments))
            assert (told["code"], told["buzz_spent"]) == ("stopping", "no")
    assert charged(sandbox) == 0
