"""The REST server as a process of its own, with rude clients and a real end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from benchmarks import servers as bench
from civitai_skill.adapters.rest.app import IMAGE
from civitai_skill.api.models import TERMINAL
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.http import AccessMiddleware
from civitai_skill.servers.serve import BoundedProtocol

FOX = {"prompt": "a red fox"}
SLOW = {"prompt": "a red fox [sandbox:slow=60]"}
PRICE = 3
Start = Callable[..., Any]


def sandbox_of(home: Path) -> Sandbox:
    """The sandbox that a server started with this home uses, seen from outside."""
    (home / "home").mkdir(exist_ok=True)
    return Sandbox(home / "home" / "sandbox.sqlite3")


def raw(address: str, text: str) -> socket.socket:
    """A connection that has sent some text and nothing else."""
    place = urlsplit(address)
    made = socket.create_connection((place.hostname, place.port), timeout=30)
    made.sendall(text.replace("HOST", place.netloc).replace("\n", "\r\n").encode())
    return made


POST = f"POST {IMAGE}?wait=60 HTTP/1.1\nHost: HOST\nContent-Type: application/json\n"


# -- use and load ----------------------------------------------------------------------------------
def test_a_picture_is_made_and_bytes_of_it_are_never_the_keys(start: Start) -> None:
    key = "a-real-looking-key-of-the-owner"
    server = start("rest", CIVITAI_API_KEY=key)
    with httpx.Client(base_url=server.address) as web:
        for path in ("/health/live", "/engines"):
            head = web.head(path)
            assert (head.status_code, head.content) == (200, b"")
        headers = {"Authorization": "Bearer another-key"}
        answer = web.post(IMAGE, json=FOX, params={"wait": 20}, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert key not in answer.text + str(answer.headers)
        page = web.get(IMAGE).json()
        assert [item["id"] for item in page["items"]] == [answer.json()["id"]]
    code, log = server.ended()
    assert (code, log) == (0, "")


@pytest.mark.slow
def test_many_connections_meet_no_error_and_memory_stays(start: Start) -> None:
    server = start("rest")
    run = asyncio.run(bench.load(server.address, 50, 4.0, server.process.pid))
    print(f"{len(run.seconds)} requests, {dict(run.statuses)}, memory {run.memory}")
    assert run.errors == {}
    assert set(run.statuses) <= {200, 202}
    assert len(run.seconds) > 100
    assert run.memory[-1] < run.memory[len(run.memory) // 2] + 20
    assert server.ended() == (0, "")


# -- rude clients ----------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_body_of_50_megabytes_is_refused_and_not_kept(start: Start) -> None:
    server = start("rest")
    httpx.get(f"{server.address}/health/live")
    before = bench.resident(server.process.pid)
    body = b'{"prompt": "' + b"x" * (50 * 2**20) + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(server.address + IMAGE, content=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert bench.resident(server.process.pid) < before + 40
    assert httpx.get(f"{server.address}/health/live").status_code == 200
    assert server.ended() == (0, "")


@pytest.mark.slow
def test_a_body_that_is_announced_as_endless_is_refused_at_once(start: Start) -> None:
    server = start("rest")
    with raw(server.address, POST + "Content-Length: 99999999999\n\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert server.ended() == (0, "")


@pytest.mark.slow
async def test_a_body_that_dribbles_in_is_given_up() -> None:
    sent: list[Any] = []
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def receive() -> Any:
        await asyncio.sleep(0.04)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await AccessMiddleware(app, AccessPolicy(body_seconds=0.2))(scope, receive, send)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "body_too_slow"
    assert reached == []


@pytest.mark.slow
async def test_a_head_that_dribbles_in_is_given_up_and_nothing_else() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, lifespan="off", log_level="warning")
    config.load()

    def protocol() -> BoundedProtocol:
        return BoundedProtocol(0.3, config=config, server_state=ServerState(), app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        place = server.sockets[0].getsockname()
        silent = await asyncio.open_connection(*place)
        reader, writer = await asyncio.open_connection(*place)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 30)
            await asyncio.sleep(0.5)  # a kept connection may rest
        for part in (b"GET / HTTP/1.1\r\n", b"Host: here\r\n", b"X: "):
            writer.write(part)
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        assert await asyncio.wait_for(silent[0].read(), 30) == b""
        for one in (writer, silent[1]):
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["Content-Length: 500\n\n{", "Transfer-Encoding: chunked\n\nzz\n", "Content-Length: -1\n\n"],
    ids=["cut", "bad chunk", "bad length"],
)
def test_a_broken_body_harms_nobody(start: Start, text: str) -> None:
    server = start("rest")
    raw(server.address, POST + text).close()
    assert httpx.get(f"{server.address}/health/live").status_code == 200
    code, log = server.ended()
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_caller_who_leaves_while_waiting_is_not_waited_for(start: Start, tmp_path: Path) -> None:
    server = start("rest", home=tmp_path)
    body = json.dumps(SLOW)
    connection = raw(server.address, f"{POST}Content-Length: {len(body)}\n\n{body}")
    with httpx.Client(base_url=server.address) as web:
        while not (items := web.get(IMAGE).json()["items"]):
            time.sleep(0.05)
        connection.close()
        status = web.get(f"{IMAGE}/{items[0]['id']}").json()["status"]
        assert status not in TERMINAL, "the work goes on"
    began = time.monotonic()
    assert server.ended() == (0, "")
    assert time.monotonic() - began < 15
    (account,) = sandbox_of(tmp_path).accounts()
    assert (account["submits"], account["charged"]) == (1, PRICE)


# -- the end ---------------------------------------------------------------------------------------
def post(url: str, body: Any, found: list[Any]) -> threading.Thread:
    def run() -> None:
        found.append(httpx.post(url, json=body, timeout=60))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_end_who_waits_gets_the_id_of_what_is_paid(
    start: Start, tmp_path: Path, number: int
) -> None:
    server = start("rest", home=tmp_path)
    found: list[Any] = []
    thread = post(f"{server.address}{IMAGE}?wait=60", SLOW, found)
    while not httpx.get(server.address + IMAGE).json()["items"]:
        time.sleep(0.05)
    began = time.monotonic()
    assert server.ended(number) == (0, "")
    assert time.monotonic() - began < 15
    thread.join(timeout=10)
    assert found[0].status_code == 202
    run = Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3").history()[0]
    assert (run["workflow"], run["state"]) == (found[0].json()["id"], "closed")


@pytest.mark.slow
def test_at_the_end_a_purchase_that_is_being_made_is_finished(start: Start, tmp_path: Path) -> None:
    box = sandbox_of(tmp_path)
    box.script(Fault("submit", "stall", seconds=2.0))
    server = start("rest", home=tmp_path)
    found: list[Any] = []
    thread = post(f"{server.address}{IMAGE}", FOX, found)
    ledger = Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3")
    while not ledger.history():
        time.sleep(0.02)
    assert server.ended() == (0, "")
    thread.join(timeout=10)
    assert found[0].status_code == 202
    assert ledger.history()[0]["workflow"] == found[0].json()["id"]
    (account,) = box.accounts()
    assert account["charged"] == PRICE


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_in_words(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match=r"can't be taken: Address already in use"):
            start("rest", "--port", port, "--json")
