"""The sandbox on a port: what it answers when a request is large, odd, or takes its time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from civitai_skill.sandbox import BASE_URL, Sandbox, SandboxTransport, Switches
from civitai_skill.sandbox.pictures import render as rendering
from civitai_skill.sandbox.port import listening

WORKFLOWS = "/v2/consumer/workflows"
BLOBS = "/v2/consumer/blobs"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512,
}  # fmt: skip
BODY: dict[str, Any] = {"steps": [{"$type": "imageGen", "input": FOX}]}
HEADERS = {"Authorization": "Bearer key"}


@pytest.fixture
async def wire() -> AsyncIterator[httpx.AsyncClient]:
    sandbox = Sandbox(seconds_per_job=0.05, switches=Switches(largest_blob=1000))
    async with (
        listening(sandbox) as address,
        httpx.AsyncClient(base_url=address, headers=HEADERS, timeout=20) as client,
    ):
        yield client
    sandbox.close()


async def raw(wire: httpx.AsyncClient, head: str) -> tuple[int, Any]:
    """The status and the body of the answer to these lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.base_url.port)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"Connection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(body) if body else None


# -- pictures --------------------------------------------------------------------------------------
class Brush:
    """Draws only once it is told to, and knows whether it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken, self.told, self.in_time = threading.Event(), threading.Event(), False
        real = rendering.render

        def render(recipe: Any, load: Any) -> bytes:
            self.taken.set()
            self.in_time = self.told.wait(3)
            return real(recipe, load)

        monkeypatch.setattr(rendering, "render", render)

    async def check(self, client: httpx.AsyncClient, fetch: dict[str, Any]) -> None:
        """Another request is answered while this one's picture is being drawn."""
        value = (await client.post(WORKFLOWS, params={"wait": 5}, json=BODY)).json()
        fetch = {"url": value["steps"][0]["output"]["images"][0]["url"], **fetch}
        fetching = asyncio.create_task(client.get(follow_redirects=True, **fetch))
        while not self.taken.is_set():
            await asyncio.sleep(0.01)
        assert (await client.get(WORKFLOWS)).status_code == 200
        self.told.set()
        assert ((await fetching).status_code, self.in_time) == (200, True)


ZIP = {"url": WORKFLOWS, "headers": {"Accept": "application/zip"}}


@pytest.mark.parametrize("fetch", [{}, ZIP], ids=["blob", "zip"])
async def test_drawing_holds_nobody_up(
    wire: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, fetch: dict[str, Any]
) -> None:
    await Brush(monkeypatch).check(wire, fetch)


async def test_drawing_holds_no_task_of_the_same_process_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = Sandbox(seconds_per_job=0.05)
    async with httpx.AsyncClient(
        transport=SandboxTransport(sandbox), base_url=BASE_URL, headers=HEADERS
    ) as client:
        await Brush(monkeypatch).check(client, {})
    sandbox.close()


# -- large bodies ----------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1001, 64 * 2**20 + 2, 160 * 2**20])
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upload_that_is_too_large_hears_so(
    wire: httpx.AsyncClient, size: int, chunked: bool
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        left = size
        while left > 0:
            yield b"\0" * min(left, 2**20)
            left -= 2**20

    content: Any = parts() if chunked else b"\0" * size
    answer = await wire.post(BLOBS, content=content, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert (await wire.get(WORKFLOWS)).status_code == 200


# -- targets ---------------------------------------------------------------------------------------
async def test_an_absolute_target_is_answered_by_its_own_host(wire: httpx.AsyncClient) -> None:
    top = "Host: other.invalid\nAuthorization: Bearer key\n"
    status, value = await raw(wire, f"GET http://here.invalid:81{BLOBS}/upload HTTP/1.1\n{top}")
    assert (status, value["uploadUrl"].partition("?")[0]) == (200, f"http://here.invalid:81{BLOBS}")
    assert (await raw(wire, f"GET HTTPS://here.invalid?a HTTP/1.1\n{top}"))[0] == 404


@pytest.mark.parametrize(
    "head",
    [
        "GET /v2/services HTTP/1.1\nHost: a:port\n",
        "GET http://a:port/v2/services HTTP/1.1\nHost: a\n",
        "OPTIONS * HTTP/1.1\nHost: a\n",
        "HEAD * HTTP/1.1\nHost: a\n",
        "GET v2/services HTTP/1.1\nHost: a\n",
        f"GET {WORKFLOWS}/x?wait=9999999999999999 HTTP/1.1\nHost: a\n",
    ],
)
async def test_a_target_that_cannot_be_read_is_a_bad_request(
    wire: httpx.AsyncClient, head: str
) -> None:
    assert (await raw(wire, head))[0] == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{BLOBS}/x.jpeg?sig=%C3%A9&exp=1", 403),
        (f"{BLOBS}/content/%C3%A9.x", 400),
        (f"{BLOBS}/content/%FF%00.x", 400),
        (f"{WORKFLOWS}?cursor={'W1tb' * 2000}", 400),
        (f"{WORKFLOWS}/%00?wait=1_0", 400),
    ],
)
async def test_odd_addresses_are_no_defects(
    wire: httpx.AsyncClient, capfd: pytest.CaptureFixture[str], path: str, status: int
) -> None:
    assert (await wire.get(path)).status_code == status
    assert capfd.readouterr().err == ""
