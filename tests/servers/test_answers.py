"""When a server's purchase is over: once its answer was handed to its caller, and not before."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from civitai_skill.adapters.rest.app import IMAGE, REPLAYED
from civitai_skill.ledger.ledger import UNREAD, Ledger
from civitai_skill.ledger.session_budget import SessionLedger
from civitai_skill.sandbox import Sandbox
from tests.support.mcp_server import GENERATE, GET, Open
from tests.support.rest_server import Rest, connect
from tests.support.sandbox import PRICE, charged
from tests.support.thorough import THOROUGH

FOX = {"prompt": "a red fox"}


def later(ledger: SessionLedger, seconds: float) -> None:
    """Let time pass."""
    now = ledger._clock
    ledger._clock = lambda: now() + seconds


# -- an answer that was perhaps not read -----------------------------------------------------------
async def test_another_connection_gets_the_same_answer_unless_it_says_again(
    rest: Rest, sandbox: Sandbox
) -> None:
    first: Any = rest()
    session = first.server_session

    async def post(web: httpx.AsyncClient, **query: Any) -> tuple[str, bool]:
        answer = await web.post(IMAGE, json=FOX, params={"wait": 20, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"], REPLAYED in answer.headers

    made = await post(first)
    assert not made[1]
    assert await post(connect(session)) == (made[0], True)
    assert charged(sandbox) == PRICE
    other = await post(connect(session), again=True)
    assert other[0] != made[0]
    assert charged(sandbox) == 2 * PRICE
    await post(connect(session), max_buzz=300)
    assert charged(sandbox) == 2 * PRICE
    later(session.ledger, UNREAD + 1)
    await post(connect(session))
    assert charged(sandbox) == 3 * PRICE
    assert session.ledger.unfinished() == []


@pytest.mark.parametrize("sign", ["the next request", "a look", "a cancel"])
async def test_a_client_that_has_read_its_answer_buys_another(
    rest: Rest, sandbox: Sandbox, sign: str
) -> None:
    web: Any = rest()
    other = connect(web.server_session)
    bought = (await web.post(IMAGE, json=FOX)).json()["id"]
    if sign == "a look":
        assert (await other.get(f"{IMAGE}/{bought}")).is_success
    if sign == "a cancel":
        assert (await other.delete(f"{IMAGE}/{bought}")).is_success
    answer = await (web if sign == "the next request" else other).post(IMAGE, json=FOX)
    assert answer.json()["id"] != bought
    assert charged(sandbox) == 2 * PRICE


async def test_a_failure_is_no_answer_to_give_again(rest: Rest, sandbox: Sandbox) -> None:
    web: Any = rest()
    failing = {"prompt": "a fox [sandbox:failed]"}
    ids = set()
    for _ in range(2):
        client = connect(web.server_session)
        made = (await client.post(IMAGE, json=failing, params={"wait": 20})).json()
        assert made["status"] == "failed"
        ids.add(made["id"])
    assert len(ids) == 2, "what failed may be tried again"


async def test_a_client_that_timed_out_gets_the_answer_when_it_asks_again(
    open_client: Open, sandbox: Sandbox
) -> None:
    slow = {"prompt": "a fox [sandbox:slow=1]", "include_image": "no"}
    async with open_client(mode="legacy") as client:
        call = asyncio.ensure_future(client.call_tool(GENERATE, slow))
        while not charged(sandbox):
            await asyncio.sleep(0.01)
        meanwhile = (await client.call_tool(GENERATE, slow)).structured_content
        assert meanwhile["id"]
        assert "nothing new was bought" in meanwhile["message"]
        first = (await call).structured_content
        again = (await client.call_tool(GENERATE, slow)).structured_content
        assert again["id"] == first["id"] == meanwhile["id"]
        assert again["images"] == first["images"]
        assert "again=true" in again["message"]
        assert charged(sandbox) == PRICE
        other = await client.call_tool(GENERATE, {**slow, "again": True})
        assert other.structured_content["id"] != first["id"]
        assert charged(sandbox) == 2 * PRICE


@pytest.mark.parametrize("sign", ["a look", "a source", "a resource"])
async def test_who_names_a_workflow_has_read_its_answer(
    open_client: Open, sandbox: Sandbox, sign: str
) -> None:
    async with open_client() as client:
        first = (await client.call_tool(GENERATE, FOX)).structured_content
        await comes(lambda: client.server_session.ledger.history()[0]["state"] == "closed")
        if sign == "a look":
            await client.call_tool(GET, {"id": first["id"]})
        elif sign == "a source":
            night = {"prompt": "night", "images": [first["images"][0]["path"]]}
            await client.call_tool(GENERATE, night)
        else:
            await client.read_resource(first["images"][0]["resource"])
        paid = charged(sandbox)
        second = (await client.call_tool(GENERATE, FOX)).structured_content
        assert second["id"] != first["id"]
        assert charged(sandbox) == paid + PRICE


async def comes(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_picture_costs_five_writes_and_a_read(
    open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bool] = []
    real = SessionLedger._transaction

    def counted(self: Any, *given: Any, writes: bool = False) -> Any:
        seen.append(writes)
        return real(self, *given, writes=writes)

    seen = writes
    async with open_client() as client:
        await client.call_tool(GENERATE, {"prompt": "the first opens the file"})
        ledger = client.server_session.ledger
        await comes(lambda: ledger.history()[0]["state"] == "closed")
        monkeypatch.setattr(SessionLedger, "_transaction", counted)
        await client.call_tool(GENERATE, FOX)
        await asyncio.sleep(0.5)  # the answer is told for written a moment later
    assert writes.count(True) == 5
    assert writes.count(False) <= 2


# -- servers that are killed -----------------------------------------------------------------------
#: Runs a server that kills itself before or after the n-th call of one of its functions.
_KILLED = """
import asyncio, os, runpy, signal, sys
from functools import wraps
from importlib import import_module

place, when = sys.argv[1:3]
sys.argv[:3] = ["civitai-skill"]
if place:
    module, _, name = place.partition(":")
    kind, _, function = name.partition(".")
    kind = getattr(import_module(module), kind)
    real = getattr(kind, function)

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(real):
        @wraps(real)
        async def deadly(*given, **more):
            if when == "before":
                kill()
            await real(*given, **more)
            kill()
    else:
        @wraps(real)
        def deadly(*given, **more):
            if when == "before":
                kill()
            real(*given, **more)
            kill()

    setattr(kind, function, deadly)
runpy.run_module("civitai_skill", run_name="__main__", alter_sys=True)
"""
_LEDGER = "civitai_skill.ledger.session_budget:SessionLedger."


@contextmanager
def served(
    words: list[str], folder: Path, place: str = "", when: str = ""
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    home = {"CIVITAI_SKILL_HOME": str(folder / "home"), "CIVITAI_SANDBOX": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, place, when, *words, "--port", "0"],
        env={**os.environ, **home}, cwd=folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            found = re.search(r"ready on (\S+)", process.stdout.readline())
            assert found is not None
            yield found[1], process
            process.terminate()
            assert process.wait(30) in (0, -signal.SIGKILL)
        finally:
            process.kill()


def ask(name: str, url: str) -> Any:
    """The same purchase, over REST or MCP: the answer's workflow, None where none came."""
    try:
        if name == "rest":
            answer = httpx.post(f"{url}{IMAGE}?wait=20", json=FOX, timeout=60)
            return answer.json()["id"]
        version, key = "2026-07-28", "io.modelcontextprotocol/"
        meta = {f"{key}protocolVersion": version, f"{key}clientCapabilities": {}}
        params = {"name": GENERATE, "arguments": FOX, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call",
                   "Mcp-Name": GENERATE,
                   "Accept": "application/json, text/event-stream"}  # fmt: skip
        answer = httpx.post(url, json=body, headers=headers, timeout=60)
        return answer.json()["result"]["structuredContent"]["id"]
    except httpx.TransportError:
        return None


def paid(folder: Path) -> int:
    box = Sandbox(folder / "home" / "sandbox.sqlite3")
    try:
        return charged(box)
    finally:
        box.close()


SERVERS = {"rest": ["rest"], "mcp": ["mcp", "--http"]}


POINTS = [
    (f"{_LEDGER}begin", "after"),
    (f"{_LEDGER}record_submitted", "before"),
    (f"{_LEDGER}record_submitted", "after"),
    (f"{_LEDGER}record_finished", "after"),
    (f"{_LEDGER}end_answer", "before"),
    (f"{_LEDGER}hand_over", "after"),
    ("starlette.responses:Response.__call__", "before"),
]
# What lies before the answer is the same code for both; MCP saves pictures too.
SAVES = [(f"{_LEDGER}record_picture", "before"), (f"{_LEDGER}record_picture", "after")]
MCP_POINTS = POINTS + SAVES if THOROUGH else [*SAVES[1:], *POINTS[-1:]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place", "when"),
    [("rest", *point) for point in POINTS[:: 1 if THOROUGH else 2]]
    + [("mcp", *point) for point in MCP_POINTS],
)
def test_whenever_a_server_is_killed_the_same_request_pays_once(
    tmp_path: Path, name: str, place: str, when: str
) -> None:
    with served(SERVERS[name], tmp_path, place, when) as (url, process):
        lost = ask(name, url)
        assert process.wait(60) == -signal.SIGKILL
    with served(SERVERS[name], tmp_path) as (url, _):
        found = ask(name, url)
        assert found is not None
        assert lost in (None, found)
        assert paid(tmp_path) == PRICE
        assert ask(name, url) == found, "perhaps it was not read"
    assert paid(tmp_path) == PRICE
    assert Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3").unfinished() == []


SLOW = {"prompt": "a red fox [sandbox:slow=4]"}


def send(url: str) -> socket.socket:
    """A connection that has asked for a slow picture and waits for it."""
    place, body = urlsplit(url), json.dumps(SLOW).encode()
    made = socket.create_connection((place.hostname, place.port), timeout=30)
    head = (
        f"POST {IMAGE}?wait=30 HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    made.sendall(head.encode() + body)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["the server", "the client"])
def test_whoever_goes_while_the_answer_is_waited_for_the_purchase_stays(
    tmp_path: Path, gone: str
) -> None:
    ledger = Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3")
    with served(["rest"], tmp_path) as (url, process):
        with send(url):
            until(lambda: paid(tmp_path))
            if gone == "the server":
                process.kill()
        if gone == "the client":
            until(lambda: ledger.unfinished())
    with served(["rest"], tmp_path) as (url, _):
        (left,) = ledger.unfinished()
        assert not left.handed, "nobody has heard of it"
        answer = httpx.post(f"{url}{IMAGE}?wait=30", json=SLOW, timeout=60)
        assert answer.json()["status"] == "succeeded"
        assert left.workflow in (None, answer.json()["id"]), "perhaps its id was not written yet"
        assert answer.headers[REPLAYED] == "true"
    assert paid(tmp_path) == PRICE
    assert ledger.unfinished() == []


def until(true: Callable[[], Any]) -> None:
    ended = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ended
        time.sleep(0.05)
