"""The MCP server as a process of its own: over HTTP, and over standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Sandbox
from tests.support.sandbox import PRICE, charged

GENERATE = "civitai-generate-image"
TOKEN = "a-token-that-nobody-guesses"
SLOW = {"prompt": "a red fox [sandbox:slow=60]"}
Start = Callable[..., Any]

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEADERS = {"Accept": "application/json, text/event-stream"}


def charged_at(home: Path) -> int:
    """What the sandbox of a server with this home has charged."""
    return charged(Sandbox(home / "sandbox.sqlite3"))


# -- HTTP ------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_picture_comes_over_http(start: Start, tmp_path: Path, mode: str) -> None:
    server = start("mcp", "--http", "--out", str(tmp_path / "out"))
    assert server.address.endswith("/mcp")
    seen: list[str] = []

    async def hear(value: float, total: float | None, message: str | None) -> None:
        seen.append(str(message))

    async with Client(server.address, mode=mode) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox"}, progress_callback=hear)
        told = result.structured_content
        assert told["status"] == "succeeded"
        assert Path(told["images"][0]["path"]).is_file()
        (whole,) = (await client.read_resource(told["images"][0]["resource"])).contents
        assert whole.mime_type == "image/jpeg"
    assert any("submitted as" in message for message in seen)
    assert server.ended() == (0, "")


@pytest.mark.slow
async def test_50_calls_at_once_over_http_hold_the_budget(start: Start, tmp_path: Path) -> None:
    server = start("mcp", "--http", "--budget", str(20 * PRICE), home=tmp_path)
    async with Client(server.address) as client:
        results = await asyncio.gather(
            *(client.call_tool(GENERATE, {"prompt": f"fox {n}", "wait_seconds": 0})
              for n in range(50))
        )  # fmt: skip
    assert sum(not result.is_error for result in results) == 20
    assert charged_at(tmp_path / "home") == 20 * PRICE
    assert server.ended() == (0, "")


@pytest.mark.slow
def test_strangers_are_kept_out_over_http(start: Start) -> None:
    server = start("mcp", "--http")

    def knock(**headers: str) -> int:
        return httpx.post(server.address, json=PING, headers={**HEADERS, **headers}).status_code

    assert knock(Host="evil.example") == 421
    assert knock(Host="127.0.0.1.evil.example") == 421
    assert knock(Origin="http://evil.example") == 403
    assert knock(Origin="null") == 403
    assert knock(Origin="http://localhost:6274") not in (403, 421)
    large = httpx.post(server.address, content=b"x" * (17 * 2**20), headers=HEADERS, timeout=30)
    assert large.status_code == 413
    for content in (b"{", b"[]", b"\xff", b'{"jsonrpc": "2.0"}', b"null", b"[" * 50_000):
        headers = {**HEADERS, "Content-Type": "application/json"}
        answer = httpx.post(server.address, content=content, headers=headers)
        assert 400 <= answer.status_code < 500, (content[:20], answer.text)
    code, log = server.ended()
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.slow
async def test_a_token_opens_the_door_and_goes_no_further(start: Start) -> None:
    key = "a-real-looking-key-of-the-owner"
    server = start("mcp", "--http", "--token-env", "MINE", MINE=TOKEN, CIVITAI_API_KEY=key)
    assert httpx.post(server.address, json=PING, headers=HEADERS).status_code == 401
    wrong = {**HEADERS, "Authorization": f"Bearer {key}"}
    assert httpx.post(server.address, json=PING, headers=wrong).status_code == 401

    from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

    right = create_mcp_http_client(headers={"Authorization": f"Bearer {TOKEN}"})
    async with right, Client(streamable_http_client(server.address, http_client=right)) as client:
        result = await client.call_tool(GENERATE, {"prompt": "a fox", "include_image": "no"})
        everything = result.model_dump_json()
        assert key not in everything
        assert TOKEN not in everything
    code, log = server.ended()
    assert code == 0
    assert key not in log
    assert TOKEN not in log


@pytest.mark.slow
def test_another_address_needs_a_token(tmp_path: Path) -> None:
    words = ["mcp", "--http", "--host", "0.0.0.0", "--sandbox"]
    done = subprocess.run(
        [sys.executable, "-m", "civitai_skill", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 3
    assert "--token-env NAME" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("knows", [True, False], ids=["knows the tools", "has to ask for them"])
async def test_the_end_over_http_gives_the_handle_and_keeps_what_is_paid(
    start: Start, tmp_path: Path, knows: bool
) -> None:
    server = start("mcp", "--http", home=tmp_path)
    async with Client(server.address, mode="legacy") as client:
        if knows:
            await client.list_tools()  # else it asks for the schemas when the answer comes
        call = asyncio.ensure_future(client.call_tool(GENERATE, SLOW))
        while not charged_at(tmp_path / "home"):
            await asyncio.sleep(0.05)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        outcome = (await asyncio.gather(call, return_exceptions=True))[0]
    code = await asyncio.to_thread(server.process.wait, 60)
    assert code == 0
    assert time.monotonic() - began < 20, "it waits for nobody who has an answer"
    run = Ledger(tmp_path / "home" / "sandbox-ledger.sqlite3").history()[0]
    assert run["workflow"] is not None
    assert not isinstance(outcome, BaseException), outcome
    assert outcome.structured_content["next"]["arguments"]["id"] == run["workflow"]


# -- standard input and output ---------------------------------------------------------------------
def words(home: Path, *more: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "civitai_skill", "mcp", "--stdio", "--out", str(home / "out"), *more],
        env={**os.environ, "CIVITAI_SANDBOX": "1", "CIVITAI_SKILL_HOME": str(home)},
        cwd=home,
    )


@pytest.mark.parametrize("mode", [pytest.param("legacy", marks=pytest.mark.slow), "auto"])
async def test_a_picture_comes_over_standard_output(tmp_path: Path, mode: str) -> None:
    with (tmp_path / "log").open("w") as log:
        transport = stdio_client(words(tmp_path), errlog=log)
        async with Client(transport, mode=mode) as client:
            result = await client.call_tool(GENERATE, {"prompt": "a fox"})
            assert [block.type for block in result.content] == ["text", "image"]
            wrong = await client.call_tool(GENERATE, {"prompt": "a", "engine": "nix"})
            assert wrong.is_error
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.slow
def test_nothing_but_the_protocol_is_on_standard_output(tmp_path: Path) -> None:
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                   "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    call = {
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": GENERATE, "arguments": {"prompt": "a fox"}},
    }  # fmt: skip
    asked = words(tmp_path)
    process = subprocess.Popen(
        [asked.command, *asked.args], env=asked.env, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = []
        for message in (hello, "no json at all", {"method": 7}, call):
            text = message if isinstance(message, str) else json.dumps(message)
            process.stdin.write(text + "\n")
            process.stdin.flush()
        while not any('"id":2' in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], "it went away"
        rest, _ = process.communicate(timeout=60)
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in [*lines, *rest.splitlines()])
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("2024-11-05", ["text"]),
        ("2025-03-26", ["text"]),
        ("2025-06-18", ["text", "resource_link"]),
    ],
)
def test_links_are_for_versions_that_know_them(
    tmp_path: Path, version: str, kinds: list[str]
) -> None:
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": version, "capabilities": {},
                   "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    arguments = {"prompt": "a fox", "include_image": "no"}
    call = {
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": GENERATE, "arguments": arguments},
    }  # fmt: skip
    asked = words(tmp_path, "--links")
    with subprocess.Popen(
        [asked.command, *asked.args], env=asked.env, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        answers: list[Any] = []
        for message in (hello, call):
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            while not answers or answers[-1].get("id") != message["id"]:
                answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
    result = answers[-1]["result"]
    assert answers[0]["result"]["protocolVersion"] == version
    assert [block["type"] for block in result["content"]] == kinds
    (image,) = result["structuredContent"]["images"]
    assert image["resource"].startswith("civitai://images/")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close", "terminate"])
def test_the_end_over_stdio_keeps_what_is_paid(tmp_path: Path, how: str) -> None:
    asked = words(tmp_path)
    process = subprocess.Popen(
        [asked.command, *asked.args], env=asked.env, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        for message in (
            {"jsonrpc": "2.0", "id": 1, "method": "initialize",
             "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                        "clientInfo": {"name": "test", "version": "1"}}},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
             "params": {"name": GENERATE, "arguments": SLOW}},
        ):  # fmt: skip
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        while not charged_at(tmp_path):
            assert process.poll() is None
            time.sleep(0.05)
        if how == "close":
            process.stdin.close()
        else:
            process.terminate()
        code = process.wait(30)
        assert process.stderr is not None
        assert process.stdout is not None
        assert (code, process.stderr.read()) == (0, "")
        answers = [json.loads(line) for line in process.stdout]
    if how == "terminate":
        told = next(a for a in answers if a.get("id") == 2)["result"]["structuredContent"]
        assert told["next"]["arguments"]["id"] == told["id"]
    run = Ledger(tmp_path / "sandbox-ledger.sqlite3").history()[0]
    assert (run["workflow"] is None, run["reserved"]) == (False, PRICE)


@pytest.mark.slow
def test_words_about_http_without_it_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "civitai_skill", "mcp", "--stdio", "--port", "9"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--port: is for HTTP only" in done.stderr
