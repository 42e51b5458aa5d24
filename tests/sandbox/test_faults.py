"""Faults on demand, in process and over a real port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill.sandbox import BASE_URL, Fault, Sandbox, SandboxTransport
from civitai_skill.sandbox.port import listening
from tests.support.paths import ROOT

WORKFLOWS = "/v2/consumer/workflows"
FAULTS = "/_sandbox/faults"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512,
}  # fmt: skip
BODY: dict[str, Any] = {"steps": [{"$type": "imageGen", "input": FOX}], "externalId": "key"}
PRICE = 3
Play = Callable[..., Any]


# -- in process ------------------------------------------------------------------------------------
def test_a_status_hits_the_named_requests_as_often_as_said(play: Play) -> None:
    client = play()
    client.sandbox.script(Fault("submit", "status", status=503, times=2, skip=1, retry_after=1.5))
    codes = [client.submit(FOX).status_code for _ in range(5)]
    assert codes == [202, 503, 503, 202, 202]
    assert client.submit(FOX, whatif=True).status_code == 200
    assert client.sandbox.accounts()[0]["submits"] == 5
    assert client.sandbox.accounts()[0]["workflows"] == 3


@pytest.mark.parametrize("on", ["get", "query", "cancel", "whatif", "blob", "upload", "any"])
def test_each_kind_of_request_can_be_hit(play: Play, on: Any) -> None:
    client = play()
    client.sandbox.script(Fault(on, "status", status=500, times=None))
    answers = {
        "query": client.get(WORKFLOWS).status_code,
        "get": client.get(f"{WORKFLOWS}/none").status_code,
        "cancel": client.put_changes("none", status="canceled").status_code,
        "whatif": client.submit(FOX, whatif=True).status_code,
        "blob": client.get("/v2/consumer/blobs/none").status_code,
        "upload": client.get("/v2/consumer/blobs/upload").status_code,
    }
    assert {name for name, code in answers.items() if code == 500} == (
        set(answers) if on == "any" else {on}
    )


def test_retry_after_comes_as_seconds_or_as_a_date(play: Play) -> None:
    client = play()
    client.sandbox.script(
        Fault("get", "status", status=429, retry_after=7),
        Fault("get", "status", status=429, retry_after=7, as_date=True),
        Fault("get", "status", status=429),
        Fault("get", "status", status=429, retry_after=12345678.5),
    )
    headers = [client.get(f"{WORKFLOWS}/x").headers for _ in range(4)]
    assert headers[0]["Retry-After"] == "7"
    moment = parsedate_to_datetime(headers[1]["Retry-After"]).timestamp()
    assert moment == int(client.clock.now + 7)
    assert "Retry-After" not in headers[2]
    assert headers[3]["Retry-After"] == "12345678.5"


def test_bodies_may_be_empty_or_html(play: Play) -> None:
    client = play()
    client.sandbox.script(
        Fault("get", "status", status=500, body="empty"),
        Fault("get", "status", status=502, body="html"),
        Fault("get", "status", status=200, body="empty"),
    )
    answers = [client.get(f"{WORKFLOWS}/x") for _ in range(3)]
    assert [a.status_code for a in answers] == [500, 502, 200]
    assert [a.text[:15] for a in answers] == ["", "<!DOCTYPE html>", ""]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("kind", ["reset", "status"])
def test_a_lost_reply_is_settled_by_the_same_key(play: Play, kind: Any, committed: bool) -> None:
    client = play()
    client.sandbox.script(Fault("submit", kind, status=502, committed=committed))
    if kind == "reset":
        with pytest.raises(httpx.ReadError):
            client.post(WORKFLOWS, json=BODY)
    else:
        assert client.post(WORKFLOWS, json=BODY).status_code == 502
    charged = client.sandbox.accounts()[0]["charged"]
    assert charged == (PRICE if committed else 0)
    assert client.post(WORKFLOWS, json=BODY).status_code == (200 if committed else 202)
    account = client.sandbox.accounts()[0]
    assert (account["charged"], account["workflowsCharged"], account["submits"]) == (PRICE, 1, 2)
    assert [e.endswith("-key") for e in account["externalIds"]] == [True]


def test_a_refused_connection_and_a_stall_beyond_the_timeout_raise_as_httpx_does(
    play: Play,
) -> None:
    client = play()
    client.sandbox.script(
        Fault("get", "refuse"),
        Fault("get", "stall", seconds=9),
        Fault("submit", "stall", seconds=9, committed=True),
    )
    with pytest.raises(httpx.ConnectError):
        client.get(f"{WORKFLOWS}/x")
    before = client.clock.now
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"{WORKFLOWS}/x", timeout=5)
    assert client.clock.now == before + 5
    with pytest.raises(httpx.ReadTimeout):
        client.post(WORKFLOWS, json=BODY, timeout=5)
    assert client.balance["blue"] == 10_000 - PRICE


def test_a_chance_is_drawn_from_its_seed(play: Play) -> None:
    def codes(seed: int) -> list[int]:
        client = play()
        client.sandbox.script(Fault("get", "status", status=500, times=None, chance=0.4, seed=seed))
        return [client.get(f"{WORKFLOWS}/x").status_code for _ in range(50)]

    assert codes(1) == codes(1) != codes(2)
    assert 8 < codes(1).count(500) < 32


def test_blobs_come_cut_swapped_and_endless(play: Play) -> None:
    client = play()
    url = client.submit(FOX, wait=5).json()["steps"][0]["output"]["images"][0]["url"]
    whole = client.get(url, follow_redirects=True)
    client.sandbox.script(
        *(Fault("blob", kind) for kind in ("truncated", "short", "wrong-type", "endless"))
    )
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url, follow_redirects=True)
    short = client.get(url, follow_redirects=True)
    assert short.content == whole.content[: len(whole.content) // 2]
    assert short.headers["Content-Length"] == str(len(short.content))
    assert client.get(url, follow_redirects=True).headers["Content-Type"] == "text/html"
    with client.stream("GET", url, follow_redirects=True) as endless:
        chunks = endless.iter_bytes()
        assert sum(len(next(chunks)) for _ in range(40)) > 10 * len(whole.content)
    client.sandbox.script(Fault("blob", "expired"))
    assert client.get(url, follow_redirects=True).status_code == 403
    assert client.get(url, follow_redirects=True).content == whole.content


# -- the control endpoints -------------------------------------------------------------------------
def test_faults_are_scripted_listed_replaced_and_forgotten_over_http(play: Play) -> None:
    client = play()
    fault = {"on": "get", "kind": "status", "status": 503, "times": 3}
    assert client.post(FAULTS, json=fault).status_code == 200
    assert client.get(f"{WORKFLOWS}/x").status_code == 503
    listed = client.get(FAULTS).json()["faults"]
    assert [(f["kind"], f["seen"], f["hit"]) for f in listed] == [("status", 1, 1)]
    many = [{"on": "any", "kind": "reset"}, {"on": "blob", "kind": "short"}]
    answer = client.post(FAULTS, json=many, params={"replace": "true"}).json()
    assert [f["kind"] for f in answer["faults"]] == ["reset", "short"]
    assert client.delete(FAULTS).status_code == 204
    assert client.get(FAULTS).json() == {"faults": []}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ([[]], "a fault is an object"),
        ({"on": "get"}, "kind is missing"),
        ({"on": "get", "kind": "nap"}, "kind must be one of status, reset"),
        ({"on": "get", "kind": "reset", "chance": "often"}, "chance must be a probability"),
        ({"on": "get", "kind": "reset", "chance": 2}, "chance must be a probability"),
        ({"on": "get", "kind": "reset", "times": 0}, "times must be a whole number from 1"),
        ({"on": "get", "kind": "reset", "commited": True}, "unknown field 'commited'"),
        ({"on": "get", "kind": "reset", "committed": 1}, "committed must be true or false"),
        ({"on": "get", "kind": "fate", "reason": 1}, "reason must be a text"),
        ({"on": "get", "kind": "fate"}, "fate hits only on submit or any, not on get"),
        ({"on": "query", "kind": "expired"}, "expired hits only on blob or any"),
        ({"on": "upload", "kind": "short"}, "short hits only on blob or any"),
        ({"on": "get", "kind": "reset", "prompt": "a"}, "prompt is only for what hits on submit"),
        ({"on": "any", "kind": "short", "prompt": "a"}, "prompt is only for what hits on submit"),
        ({"on": "get", "kind": "status", "status": 100}, "status must be a final HTTP status"),
        ({"on": "get", "kind": "status", "retry_after": 1e300}, "from 0 to 1e9"),
        ({"on": "get", "kind": "stall", "seconds": 1e300}, "from 0 to 1e9"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(play: Play, fault: Any, words: str) -> None:
    answer = play().post(FAULTS, json=fault)
    assert answer.status_code == 400
    assert words in answer.json()["errors"]["messages"][0]


def test_a_fault_that_could_never_hit_is_refused_from_python_too() -> None:
    with pytest.raises(ValueError, match="fate hits only on submit or any, not on whatif"):
        Fault("whatif", "fate")


def test_accounts_tell_what_was_charged_but_no_key(play: Play) -> None:
    client = play(key="secret-key")
    client.submit(FOX, externalId="one")
    client.submit({**FOX, "prompt": "[sandbox:failed]"}, wait=5)
    account = client.get("/_sandbox/accounts").json()["accounts"][0]
    user = account["user"]
    assert {name: value for name, value in account.items() if name not in ("key", "user")} == {
        "balance": {"blue": 10_000 - PRICE, "green": 1_000, "yellow": 10_000},
        "submits": 2, "workflows": 2, "workflowsCharged": 2,
        "charged": 2 * PRICE, "refunded": PRICE, "externalIds": [f"{user}-one"],
    }  # fmt: skip
    assert "secret-key" not in client.get("/_sandbox/accounts").text
    other = {"Authorization": "Bearer unseen"}
    assert client.get("/_sandbox/accounts", headers=other).json() == {"accounts": []}


# -- over a port -----------------------------------------------------------------------------------
@pytest.fixture
async def wire() -> AsyncIterator[httpx.AsyncClient]:
    sandbox = Sandbox(seconds_per_job=0.3)
    async with listening(sandbox) as address:
        headers = {"Authorization": "Bearer key"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=20) as client:
            yield client
    sandbox.close()


async def picture(wire: httpx.AsyncClient) -> str:
    value = (await wire.post(WORKFLOWS, params={"wait": 5}, json=BODY)).json()
    url: str = value["steps"][0]["output"]["images"][0]["url"]
    return url


async def test_addresses_point_at_the_port_that_was_asked(wire: httpx.AsyncClient) -> None:
    url = await picture(wire)
    assert url.startswith(str(wire.base_url))
    answer = await wire.get(url, follow_redirects=True, headers={"Authorization": ""})
    assert (answer.status_code, answer.content[:3]) == (200, b"\xff\xd8\xff")
    head = await wire.head(url.partition("?")[0])
    assert (head.status_code, head.content) == (204, b"")


async def test_faults_are_real_on_the_wire(wire: httpx.AsyncClient) -> None:
    url = await picture(wire)

    async def fetch(kind: str) -> httpx.Response:
        await wire.post(FAULTS, json={"on": "blob", "kind": kind})
        return await wire.get(url, follow_redirects=True)

    with pytest.raises(httpx.ReadError):
        await fetch("reset")
    with pytest.raises(httpx.RemoteProtocolError):
        await fetch("truncated")
    assert (await fetch("expired")).status_code == 403
    await wire.post(FAULTS, json={"on": "blob", "kind": "endless"})
    async with wire.stream("GET", url, follow_redirects=True) as endless:
        read = 0
        async for chunk in endless.aiter_bytes():
            read += len(chunk)
            if read > 3_000_000:
                break
    await wire.post(FAULTS, json={"on": "get", "kind": "stall", "seconds": 30})
    with pytest.raises(httpx.ReadTimeout):
        await wire.get(f"{WORKFLOWS}/x", timeout=0.1)
    assert (await wire.get(f"{WORKFLOWS}/x")).status_code == 404


@pytest.mark.slow
async def test_three_hundred_waiting_requests_hold_nobody_up() -> None:
    sandbox = Sandbox(seconds_per_job=3)
    content = json.dumps({"steps": BODY["steps"]})
    head = (
        f"POST {WORKFLOWS}?wait=30 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    async with listening(sandbox) as address:

        async def one() -> dict[str, Any]:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.split(":")[2]))
            writer.write((head + content).encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            value: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
            return value

        many = [asyncio.create_task(one()) for _ in range(300)]
        async with httpx.AsyncClient(base_url=address) as client:
            seen = 0
            while seen < 300 and not any(task.done() for task in many):
                accounts = (await client.get("/_sandbox/accounts")).json()["accounts"]
                seen = accounts[0]["workflows"] if accounts else 0
        assert seen == 300
        assert {value["status"] for value in await asyncio.gather(*many)} == {"succeeded"}
    assert sandbox.accounts()[0]["charged"] == 300 * PRICE
    sandbox.close()


async def test_what_is_not_http_is_hung_up_on(wire: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.base_url.port)
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


# -- one state, many doors -------------------------------------------------------------------------
_SERVER = """
import sys
from pathlib import Path
from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.port import serve
from civitai_skill.servers.access import open_listener, ready_line
listener = open_listener("127.0.0.1", 0)
serve(Sandbox(Path(sys.argv[1]), seconds_per_job=0.2), listener, ready_line("sandbox", listener))
"""


def test_two_servers_and_a_command_share_one_state(tmp_path: Path) -> None:
    state = tmp_path / "sandbox.sqlite3"
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(state)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    headers = {"Authorization": "Bearer key"}
    try:
        lines = [server.stdout.readline() for server in servers]  # type: ignore[union-attr]
        first, second = (line.split(" on ")[1].split(" ")[0] for line in lines)
        with httpx.Client(headers=headers, timeout=30) as client:
            id = client.post(first + WORKFLOWS, json=BODY).json()["id"]
            done = client.get(f"{second}{WORKFLOWS}/{id}", params={"wait": 20}).json()
            assert done["status"] == "succeeded"
            url = done["steps"][0]["output"]["images"][0]["url"]
            assert url.startswith(second)
            elsewhere = url.replace(second, first)
            pictures = [client.get(u, follow_redirects=True) for u in (url, elsewhere)]
            assert pictures[0].content == pictures[1].content
        local = Sandbox(state)
        transport = SandboxTransport(local)
        with httpx.Client(transport=transport, base_url=BASE_URL, headers=headers) as command:
            again = command.post(WORKFLOWS, json=BODY)
            assert (again.status_code, again.json()["id"]) == (200, id)
        assert local.accounts()[0]["charged"] == PRICE
        local.close()
        for server, number in zip(servers, (signal.SIGTERM, signal.SIGINT), strict=True):
            server.send_signal(number)
            assert server.wait(10) == 0
            assert server.stderr is not None
            assert server.stderr.read() == ""
    finally:
        for server in servers:
            server.kill()
            server.communicate()
