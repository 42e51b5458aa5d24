"""Bodies of the service's own form, bought by a tool: once, kept open, and never lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, WorkflowBody, get_image
from civitai_skill.api.service import Retry
from civitai_skill.errors import RequestInvalid, WorkflowFailed
from civitai_skill.purchase.body_rules import FIELDS
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.mcp_server import GENERATE, GET, Open, error_of
from tests.support.sandbox import KLEIN, PRICE, TEMPLATE, charged

WORDS: dict[str, Any] = {
    "$type": "promptEnhancement",
    "input": {"ecosystem": "flux2", "prompt": "a fox"},
}


def slow_words(seconds: float) -> dict[str, Any]:
    """The step that gives words, taking its time."""
    return {**WORDS, "input": {**WORDS["input"], "prompt": f"a fox [sandbox:slow={seconds}]"}}


def slow(seconds: float) -> dict[str, Any]:
    """The template, taking its time."""
    body: dict[str, Any] = json.loads(json.dumps(TEMPLATE))
    body["steps"][0]["input"]["prompt"] = f"a fox [sandbox:slow={seconds}]"
    return body


def client(sandbox: Sandbox, tmp_path: Path) -> Civitai:
    return Civitai(sandbox=sandbox, home=tmp_path / "home", retry=Retry(tries=1))


# -- what is paid is never lost --------------------------------------------------------------------
@pytest.mark.parametrize("status", [503, 404])
@pytest.mark.parametrize("wait", [0, 5])
async def test_a_look_that_fails_after_the_purchase_loses_nothing(
    open_client: Open, sandbox: Sandbox, status: int, wait: int
) -> None:
    sandbox.script(Fault("get", "status", status=status, times=None))
    arguments = {"body": slow(0.3), "wait_seconds": wait}
    async with open_client() as caller:
        told = (await caller.call_tool(GENERATE, arguments)).structured_content
        assert "Do not submit it again" in told["message"]
        assert told["next"]["arguments"]["id"] == told["id"]
        sandbox.clear()
        again = await caller.call_tool(GENERATE, {**arguments, "wait_seconds": 5})
        assert again.structured_content["status"] == "succeeded"
    assert charged(sandbox) == PRICE


async def test_a_folder_that_can_t_be_used_is_refused_before_paying(
    open_client: Open, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "taken").write_text("a file")
    async with open_client() as caller:
        told = error_of(await caller.call_tool(GENERATE, {"body": TEMPLATE, "folder": "taken"}))
        assert told["error"].startswith("folder: ")
        assert told["buzz_spent"] == "no"
    assert charged(sandbox) == 0


async def test_a_caller_who_gives_up_goes_on_with_the_same_body(
    open_client: Open, sandbox: Sandbox
) -> None:
    arguments = {"body": slow(0.5), "wait_seconds": 0.1}
    async with open_client() as caller:
        first = (await caller.call_tool(GENERATE, arguments)).structured_content
        second = await caller.call_tool(GENERATE, {**arguments, "wait_seconds": 5})
        assert second.structured_content["id"] == first["id"]
        assert second.structured_content["status"] == "succeeded"
    assert charged(sandbox) == PRICE


async def test_three_calls_at_once_buy_a_body_once(open_client: Open, sandbox: Sandbox) -> None:
    async with open_client() as caller:
        calls = (caller.call_tool(GENERATE, {"body": slow(0.3)}) for _ in range(3))
        results = await asyncio.gather(*calls)
    assert charged(sandbox) == PRICE
    assert not any(result.is_error for result in results), results


async def test_a_key_that_comes_twice_at_once_counts_once(
    open_client: Open, sandbox: Sandbox
) -> None:
    body = {**TEMPLATE, "externalId": "mine"}
    sandbox.script(Fault("submit", "stall", seconds=0.2))
    async with open_client(budget=PRICE) as caller:
        calls = (caller.call_tool(GENERATE, {"body": body}) for _ in range(2))
        await asyncio.gather(*calls)
        assert caller.server_session.ledger.spent == PRICE
        told = error_of(await caller.call_tool(GENERATE, {"prompt": "another"}))
        assert told["code"] == "over_budget"
    assert charged(sandbox) == PRICE


@pytest.mark.parametrize("first", ["late", "refused"])
async def test_a_key_that_comes_twice_and_is_refused_once_counts_once(
    open_client: Open, sandbox: Sandbox, first: str
) -> None:
    body = {**TEMPLATE, "externalId": "mine"}
    late = Fault("submit", "stall", seconds=0.3, times=1)
    refused = Fault("submit", "status", status=400, times=1)
    sandbox.script(*((late, refused) if first == "late" else (refused, late)))
    async with open_client(budget=PRICE) as caller:
        calls = (caller.call_tool(GENERATE, {"body": body}) for _ in range(2))
        results = await asyncio.gather(*calls)
        assert not all(result.is_error for result in results)
        assert caller.server_session.ledger.spent == PRICE
        assert (await caller.call_tool(GENERATE, {"prompt": "another"})).is_error
    assert charged(sandbox) == PRICE


def test_resume_brings_a_body_s_pictures_home(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox, tmp_path) as buyer:
        with pytest.raises(TimeoutError):
            buyer.generate(WorkflowBody(slow(0.3)), out=tmp_path / "out", timeout=0)
        assert buyer.ledger is not None
        (run,) = buyer.ledger.unfinished()
        assert len(buyer.resume(run).paths) == 1
        assert buyer.ledger.unfinished() == []
    assert charged(sandbox) == PRICE


def test_resume_closes_what_gives_words(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox, tmp_path) as buyer:
        with pytest.raises(TimeoutError):
            buyer.generate(
                WorkflowBody({"steps": [slow_words(0.3)]}), out=tmp_path / "out", timeout=0
            )
        assert buyer.ledger is not None
        (run,) = buyer.ledger.unfinished()
        assert buyer.resume(run).outputs
        assert buyer.ledger.unfinished() == []


async def test_nobody_is_asked_about_a_body_that_is_bought_already(
    open_client: Open, sandbox: Sandbox
) -> None:
    arguments = {"body": slow(60), "wait_seconds": 0.05}
    async with open_client(answer="accept", ask_above=0) as caller:
        first = (await caller.call_tool(GENERATE, arguments)).structured_content
        second = (await caller.call_tool(GENERATE, arguments)).structured_content
        other = (await caller.call_tool(GENERATE, {**arguments, "folder": "b"})).structured_content
        assert second["id"] == first["id"] != other["id"]
        assert len(caller.asked) == 2
    assert charged(sandbox) == 2 * PRICE


def test_a_program_may_want_the_same_body_several_times(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox, tmp_path) as buyer:
        assert buyer.submit(WorkflowBody(TEMPLATE)).id != buyer.submit(WorkflowBody(TEMPLATE)).id
        with pytest.raises(RequestInvalid, match="engine"):
            buyer.submit(WorkflowBody(TEMPLATE), engine="sdxl")  # type: ignore[call-arg]
    assert charged(sandbox) == 2 * PRICE


# -- steps that give words -------------------------------------------------------------------------
async def test_words_that_take_long_are_fetched_by_their_handle(
    open_client: Open, sandbox: Sandbox
) -> None:
    arguments = {"body": {"steps": [slow_words(0.4)]}, "wait_seconds": 0.05}
    async with open_client() as caller:
        first = (await caller.call_tool(GENERATE, arguments)).structured_content
        assert first["next"]["tool"] == GET
        found = await caller.call_tool(GET, {"id": first["id"], "wait_seconds": 5})
        assert found.structured_content["status"] == "succeeded"
        assert found.structured_content["outputs"]
        assert caller.server_session.ledger.unfinished() == []


def test_words_are_read_by_everyone(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox, tmp_path) as buyer:
        made = buyer.generate(WorkflowBody({"steps": [WORDS]}), out=tmp_path / "out")
        seen = get_image(made.id or "", out=None, client=buyer)
        assert (len(made.outputs), seen.outputs, made.pictures) == (1, made.outputs, ())
        assert made.as_dict()["outputs"]


@pytest.mark.parametrize("fate", ["failed", "expired", "canceled"])
async def test_words_that_did_not_come_are_an_error_with_its_reason(
    open_client: Open, sandbox: Sandbox, fate: str
) -> None:
    step = {**WORDS, "input": {**WORDS["input"], "prompt": f"x [sandbox:{fate}]"}}
    async with open_client() as caller:
        told = error_of(await caller.call_tool(GENERATE, {"body": {"steps": [step]}}))
        assert (told["code"], told["buzz_spent"]) == (WorkflowFailed.code, "no")
        assert f"ended as {fate}" in told["error"]


async def test_a_picture_s_words_are_told_beside_it(open_client: Open) -> None:
    body = {**TEMPLATE, "steps": [*TEMPLATE["steps"], WORDS]}
    async with open_client() as caller:
        told = (await caller.call_tool(GENERATE, {"body": body})).structured_content
        assert (len(told["images"]), len(told["outputs"])) == (1, 1)


async def test_words_are_told_although_the_picture_failed(open_client: Open) -> None:
    picture = {**KLEIN, "prompt": "a fox [sandbox:failed]"}
    body = {"steps": [{"$type": "imageGen", "input": picture}, WORDS]}
    async with open_client() as caller:
        told = error_of(await caller.call_tool(GENERATE, {"body": body}))
        assert (len(told["images"]), len(told["outputs"])) == (1, 1)


# -- how it is said --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "more",
    [
        {"prompt": None, "engine": "", "images": [], "quantity": 1},
        {"seed": "null", "options": {}, "loras": {}},
    ],
    ids=["left out", "a placeholder"],
)
@pytest.mark.parametrize("as_text", [True, False])
async def test_hosts_that_fill_in_every_argument_are_understood(
    open_client: Open, more: dict[str, Any], as_text: bool
) -> None:
    body = json.dumps(TEMPLATE) if as_text else TEMPLATE
    async with open_client() as caller:
        result = await caller.call_tool(GENERATE, {"body": body, "estimate_only": True, **more})
        assert result.structured_content["buzz"] == PRICE


async def test_what_is_said_beside_a_body_is_refused(open_client: Open, sandbox: Sandbox) -> None:
    async with open_client() as caller:
        told = error_of(await caller.call_tool(GENERATE, {"body": TEMPLATE, "prompt": "a fox"}))
        assert told["error"].startswith("prompt: the body says it all itself (given 'a fox').")
    assert charged(sandbox) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ephemeral": True}, "ephemeral: the service would not keep what is paid for"),
        ({"Ephemeral": True}, "Ephemeral: a template has no such field"),
        ({"upgradeMode": "automatic"}, "upgradeMode: what is held back is released only"),
        ({"currency": "blue"}, "Nearest that works: 'currencies'"),
    ],
    ids=["ephemeral", "spelled otherwise", "automatic", "unknown"],
)
async def test_a_body_that_could_lose_a_picture_or_pay_more_is_refused(
    open_client: Open, sandbox: Sandbox, more: dict[str, Any], said: str
) -> None:
    async with open_client() as caller:
        told = error_of(await caller.call_tool(GENERATE, {"body": {**TEMPLATE, **more}}))
        assert said in told["error"]
        assert (told["code"], told["buzz_spent"]) == ("request_invalid", "no")
    assert charged(sandbox) == 0


def test_every_field_of_a_template_is_judged(document: Path) -> None:
    found = json.loads(document.read_text())["components"]["schemas"]["WorkflowTemplate"]
    assert {*FIELDS, "ephemeral"} == set(found["properties"])


def test_what_the_service_would_forget_is_sold_to_no_program(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    callback = {"url": "https://example.com/x", "type": ["workflow:*"]}
    with client(sandbox, tmp_path) as buyer, pytest.raises(RequestInvalid, match="ephemeral"):
        buyer.submit(WorkflowBody({**TEMPLATE, "ephemeral": True, "callbacks": [callback]}))
    assert charged(sandbox) == 0


def test_names_that_are_no_texts_are_read_as_json_does(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox, tmp_path) as buyer:
        assert (
            buyer.submit(WorkflowBody({**TEMPLATE, "metadata": {1: "a", "b": 2}})).metadata["1"]
            == "a"
        )
