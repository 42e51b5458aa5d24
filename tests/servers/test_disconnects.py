"""Callers of the servers who leave, repeat themselves or send too much: nobody pays twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, ImageRequest, RequestInvalid
from civitai_skill.adapters.rest import app as routes
from civitai_skill.adapters.rest.app import IMAGE, create_app
from civitai_skill.api.service import Retry
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import Stopping
from civitai_skill.images.sources import SourcePolicy
from civitai_skill.purchase.body_rules import check_body
from civitai_skill.purchase.events import Submitting
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.steps import price
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.session import ServerSession
from tests.support.mcp_server import GENERATE, Open, error_of
from tests.support.rest_server import FOX, Rest, problem
from tests.support.sandbox import KLEIN, PRICE, TEMPLATE, charged


async def settled(desk: ServerSession) -> None:
    while desk._work:
        await asyncio.sleep(0.01)


# -- MCP -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("more", [{"prompt": "a fox"}, {"body": TEMPLATE}], ids=["shaped", "body"])
async def test_who_leaves_while_it_is_submitted_goes_on_with_it_later(
    open_client: Open, sandbox: Sandbox, more: dict[str, Any]
) -> None:
    sandbox.script(Fault("submit", "stall", seconds=1.5, committed=True))
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(client.call_tool(GENERATE, {**more, "wait_seconds": 0}))
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await settled(client.server_session)
        (left,) = client.server_session.ledger.unfinished()
        again = await client.call_tool(GENERATE, more)
        assert again.structured_content["id"] == left.workflow
    assert charged(sandbox) == PRICE


async def test_who_leaves_before_it_is_sent_buys_nothing(
    open_client: Open, sandbox: Sandbox
) -> None:
    sandbox.script(Fault("whatif", "stall", seconds=1.5))
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(client.call_tool(GENERATE, {"body": TEMPLATE}))
        await asyncio.sleep(0.15)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await settled(client.server_session)
        assert client.server_session.ledger.unfinished() == []
        assert client.server_session.ledger.spent == 0
    assert charged(sandbox) == 0


async def test_waiting_or_not_it_is_the_same_purchase(open_client: Open, sandbox: Sandbox) -> None:
    arguments = {"prompt": "a fox [sandbox:slow=60]", "wait_seconds": 0.05}
    async with open_client() as client:
        first = (await client.call_tool(GENERATE, arguments)).structured_content
        second = await client.call_tool(GENERATE, {**arguments, "wait_seconds": 0})
        assert second.structured_content["id"] == first["id"]
    assert charged(sandbox) == PRICE


async def test_a_price_above_the_limit_is_not_bought_because_nobody_was_asked(
    open_client: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = price.price_of

    def dearer(*given: Any) -> Any:
        return replace(known(*given), buzz=120)

    monkeypatch.setattr(price, "price_of", dearer)
    arguments = {"prompt": "a fox", "engine": "seedream", "max_buzz": 100}
    async with open_client(answer="decline") as client:
        told = error_of(await client.call_tool(GENERATE, arguments))
        assert told["code"] == "over_budget"
    assert charged(sandbox) == 0


# -- the point of no return ------------------------------------------------------------------------
def test_whoever_hears_that_it_is_about_to_be_sent_may_refuse(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    def refuse(event: Any) -> None:
        if isinstance(event, Submitting):
            raise Stopping

    with Civitai(sandbox=sandbox, home=tmp_path) as buyer:
        with pytest.raises(Stopping):
            buyer.generate("a fox", out=tmp_path / "out", tell=refuse)
        assert buyer.ledger is not None
        assert buyer.ledger.unfinished() == []
        assert buyer.ledger.history()[0]["state"] == "dropped"
    assert charged(sandbox) == 0


# -- REST ------------------------------------------------------------------------------------------
async def test_repeats_of_calls_that_were_lost_at_once_each_go_on_with_one(
    rest: Rest, sandbox: Sandbox
) -> None:
    web: Any = rest(pause=0.5)
    sandbox.script(Fault("submit", "reset", committed=True, times=None))
    lost = await asyncio.gather(*(web.post(IMAGE, json=FOX) for _ in range(4)))
    assert {answer.status_code for answer in lost} == {502}
    # A call that comes so late that another is lost already goes on with that one's purchase.
    left = len(web.server_session.ledger.unfinished())
    paid = charged(sandbox)
    assert paid == left * PRICE > PRICE
    sandbox.clear()
    repeats = [(await web.post(IMAGE, json=FOX)).json()["id"] for _ in range(left)]
    assert len(set(repeats)) == left
    assert charged(sandbox) == paid
    assert web.server_session.ledger.unfinished() == []


async def hung_up(
    desk: ServerSession, body: Any, after: float | Callable[[], bool], query: str = "wait=0"
) -> None:
    """A caller whose connection ends after so many seconds, or once something is true."""
    app: Any = create_app(desk, AccessPolicy())
    content = json.dumps(body).encode()
    messages = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        if isinstance(after, float):
            await asyncio.sleep(after)
        else:
            while not after():
                await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"),
               (b"content-length", str(len(content)).encode())]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": IMAGE, "raw_path": IMAGE.encode(),
             "query_string": query.encode(), "headers": headers, "scheme": "http",
             "http_version": "1.1", "server": ("localhost", 80),
             "client": ("localhost", 1)}  # fmt: skip
    await app(scope, receive, send)


@pytest.mark.parametrize(("on", "paid"), [("submit", PRICE), ("whatif", 0)])
async def test_who_hangs_up_pays_once_or_not_at_all(
    sandbox: Sandbox, tmp_path: Path, on: Any, paid: int
) -> None:
    desk = ServerSession(AsyncCivitai(sandbox=sandbox, home=tmp_path, retry=Retry(tries=1)))
    sandbox.script(Fault(on, "stall", seconds=1.5))
    await hung_up(desk, TEMPLATE, lambda: not sandbox._context.memory.faults())
    await settled(desk)
    assert charged(sandbox) == paid
    assert len(desk.ledger.unfinished()) == bool(paid)
    await hung_up(desk, TEMPLATE, 60.0)
    assert charged(sandbox) == PRICE
    await desk.close()


@pytest.mark.parametrize("template", [False, True])
async def test_who_hangs_up_while_waiting_goes_on_with_it_later(
    sandbox: Sandbox, tmp_path: Path, template: bool
) -> None:
    prompt = "a heron [sandbox:slow=2]"
    step = {"$type": "imageGen", "input": {**KLEIN, "prompt": prompt}}
    body = {"steps": [step]} if template else {"prompt": prompt}
    desk = ServerSession(AsyncCivitai(sandbox=sandbox, home=tmp_path, retry=Retry(tries=1)))
    await hung_up(desk, body, 1.0, "wait=60")
    assert (charged(sandbox), len(desk.ledger.unfinished())) == (PRICE, 1)
    await hung_up(desk, body, 60.0, "wait=30")
    assert (charged(sandbox), desk.ledger.unfinished()) == (PRICE, [])
    await hung_up(desk, body, 60.0)
    assert charged(sandbox) == PRICE, "nothing shows that the answer was read"
    await hung_up(desk, body, 60.0, "again=true")
    assert charged(sandbox) == 2 * PRICE
    await desk.close()


async def test_a_look_that_hangs_holds_no_id_back(
    rest: Rest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LATE", 0.0)
    sandbox.script(Fault("get", "stall", seconds=20, times=None))
    web, began = rest(), time.monotonic()
    slow = {"prompt": "a fox [sandbox:slow=60]"}
    answer = await web.post(IMAGE, json=slow, params={"wait": 1})
    assert (answer.status_code, bool(answer.json()["id"])) == (202, True)
    told = problem(await web.get(f"{IMAGE}/{answer.json()['id']}?wait=1"), 502, "transport")
    assert told["spent"] == "yes"
    unknown = problem(await web.get(f"{IMAGE}/1-20260101000000000?wait=1"), 502, "transport")
    assert unknown["spent"] == "no"
    assert told["id"] == answer.json()["id"]
    assert time.monotonic() - began < 15


# -- too much --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [{"loras": [0] * 200_000}, {f"f{i}": 1 for i in range(50_000)}, {"self": 1}],
    ids=["parts", "names", "self"],
)
def test_a_refusal_of_very_much_is_short_and_quick(fields: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(RequestInvalid) as refused:
        ImageRequest(prompt="x", **fields)
    assert len(str(refused.value)) < 2000
    assert time.monotonic() - began < 2


def test_a_template_of_very_many_steps_is_refused_at_once() -> None:
    with pytest.raises(RequestInvalid, match="at most 100 of each"):
        check_body({"steps": [0] * 1_000_000}, SourcePolicy())


# -- addresses -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "address",
    [
        "http:\\\\127.0.0.1\\x", "https:\\/10.0.0.1/x", "http:/127.0.0.1/x", "//127.0.0.1/x",
        "file:///etc/passwd", "ftp://127.0.0.1/x", "ws://localhost/", "\x01http://127.0.0.1/",
        "\ufeffhttp://127.0.0.1/", "http://127.0.0.1/x", "http:169.254.169.254/x",
        "https:169.254.169.254", "ht\ntp://127.0.0.1", "https://127.0.0.1\t/x", "file:etc/passwd",
        "view-source:http://127.0.0.1", "blob:http://127.0.0.1/x", "https://a.example\r\n/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["source", "callback", "argument"])
def test_no_spelling_of_a_private_address_is_let_in(place: str, address: str) -> None:
    body: dict[str, Any] = json.loads(json.dumps(TEMPLATE))
    if place == "source":
        body["steps"][0]["input"]["images"] = [address]
    elif place == "callback":
        body["callbacks"] = [{"url": address, "type": ["workflow:*"]}]
    else:
        body["arguments"] = {"prompt": address}
    with pytest.raises(RequestInvalid):
        check_body(body, SourcePolicy(local=False, private=False))


def test_words_may_hold_any_address() -> None:
    body = {
        "steps": [{"$type": "imageGen", "input": {**KLEIN, "prompt": "http://10.0.0.1 in neon"},
                   "metadata": {"from": "file:///x"}}],
        "metadata": {"seen": "//10.0.0.1/"},
        "tags": ["http://localhost"],
    }  # fmt: skip
    assert check_body(body, SourcePolicy(local=False, private=False)) == body
