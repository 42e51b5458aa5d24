"""What callers of the REST interface see of its door: pages, origins, readiness, refusals."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import ConfigError
from civitai_skill.adapters import patience
from civitai_skill.adapters.http import Door
from civitai_skill.adapters.rest import app as routes
from civitai_skill.adapters.rest.app import IMAGE
from civitai_skill.config import Secret
from civitai_skill.sandbox import Fault, Sandbox
from tests.web import FOX, KLEIN, PRICE, TEMPLATE, Rest, charged, fresh_sandbox, problem, rests

TOKEN = Secret("a-token-that-nobody-guesses")
PAGE = "https://pages.example"


@pytest.fixture
def sandbox() -> Sandbox:
    return fresh_sandbox()


@pytest.fixture
async def rest(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Rest]:
    async with rests(sandbox, tmp_path / "home") as open_one:
        yield open_one


# -- origins ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("origin", ["*", "pages.example", "https://pages.example/path", "null"])
def test_an_origin_that_could_never_match_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="is no origin"):
        Door.of("127.0.0.1", 1, origins=[origin])


def test_hosts_and_origins_are_known_however_they_are_written() -> None:
    door = Door.of("127.0.0.1", 1, hosts=["Pictures.Example:8443"], origins=["HTTPS://A.example/"])
    assert door.knows_host("pictures.example")
    assert door.knows_origin("https://a.example")
    assert door.knows_origin("https://pictures.example:8443"), "its own pages"
    assert not door.knows_origin("https://b.example")
    assert not door.knows_origin("ftp://pictures.example")


async def test_a_page_may_read_why_it_was_refused(rest: Rest) -> None:
    web = rest(origins=(PAGE,), token=TOKEN)
    asked = await web.post(IMAGE, json=FOX, headers={"Origin": PAGE})
    problem(asked, 401, "token_refused")
    assert asked.headers["access-control-allow-origin"] == PAGE
    stranger = await web.post(IMAGE, json=FOX, headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in stranger.headers


# -- pages -----------------------------------------------------------------------------------------
async def test_the_page_needs_no_token_no_script_and_no_network(rest: Rest) -> None:
    answer = await rest(token=TOKEN).get("/docs")
    assert answer.status_code == 200
    for operation in ("POST", "GET", "DELETE"):
        assert f"<code>{operation} {IMAGE}" in answer.text
    assert "<script" not in answer.text
    assert re.findall(r"(?:src|href)=\"(?!#)([^\"]+)", answer.text) == ["openapi.json"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_document_says_where_the_token_is_needed(rest: Rest) -> None:
    open_one = (await rest().get("/openapi.json")).json()
    assert "security" not in open_one
    closed = (await rest(token=TOKEN).get("/openapi.json")).json()
    assert closed["security"] == [{"token": []}]
    assert closed["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert closed["paths"]["/health/live"]["get"]["security"] == []
    assert "security" not in closed["paths"][IMAGE]["post"]


# -- readiness -------------------------------------------------------------------------------------
async def test_the_service_is_not_asked_as_often_as_readiness_is(
    rest: Rest, sandbox: Sandbox
) -> None:
    web = rest()
    first = await asyncio.gather(*(web.get("/health/ready") for _ in range(20)))
    assert {answer.status_code for answer in first} == {200}
    sandbox.script(Fault("any", "refuse", times=None))
    assert (await web.get("/health/ready")).status_code == 200, "kept for some seconds"


async def test_what_stands_behind_is_told_to_those_with_a_token_only(rest: Rest) -> None:
    assert (await rest().get("/health/ready")).json()["service"] == "the sandbox"
    assert (await rest(token=TOKEN).get("/health/ready")).json() == {"status": "ready"}


async def test_engines_are_kept_by_number_not_by_spelling(rest: Rest) -> None:
    web = rest()
    for n in range(80):
        spelled = "".join(c.upper() if n >> i & 1 else c for i, c in enumerate("z-image"))
        assert (await web.get(f"/engines/{spelled}")).status_code == 200
    assert routes._engine.cache_info().currsize <= 64


# -- refusals --------------------------------------------------------------------------------------
async def test_what_the_service_refuses_of_a_template_is_told_by_field(rest: Rest) -> None:
    body = {"steps": [{"$type": "imageGen", "input": {**KLEIN, "quantity": 99}}]}
    told = problem(await rest().post(IMAGE, json=body), 400, "refused_by_service")
    ((field, texts),) = told["errors"].items()
    assert "quantity" in f"{field} {texts}"


@pytest.mark.parametrize("image", ["a.png", "http://10.0.0.1/a.png"])
async def test_a_refusal_offers_nothing_that_this_door_refuses(rest: Rest, image: str) -> None:
    told = problem(
        await rest().post(IMAGE, json={**FOX, "images": [image]}), 400, "request_invalid"
    )
    assert "the path of" not in told["detail"]


async def test_a_lost_answer_is_gone_on_with_by_the_same_request(
    rest: Rest, sandbox: Sandbox
) -> None:
    web = rest()
    sandbox.script(Fault("submit", "reset", committed=True, times=2))
    told = problem(await web.post(IMAGE, json=FOX), 502, "transport")
    assert (told["spent"], "exactly the same request" in told["hint"]) == ("unknown", True)
    assert "settle" not in str(told)
    assert (await web.post(IMAGE, json=FOX)).is_success
    assert ([a["workflows"] for a in sandbox.accounts()], charged(sandbox)) == ([1], PRICE)


async def test_an_error_while_waiting_for_what_is_paid_is_counted(
    rest: Rest, sandbox: Sandbox
) -> None:
    web = rest()
    sandbox.script(Fault("get", "status", status=503, times=None))
    assert (await web.post(IMAGE, json=TEMPLATE, params={"wait": 5})).status_code == 202
    counted = (await web.get("/metrics")).text
    assert 'civitai_rest_upstream_errors_total{code="server"} 1.0' in counted


# -- slow callers ----------------------------------------------------------------------------------
async def test_headers_that_dribble_in_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.4)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, http=patience.Connection, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    try:
        silent = await asyncio.open_connection("127.0.0.1", port)
        slow = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            slow[1].write(b"GET / HTTP/1.1\r\nX: ")
            await asyncio.sleep(0.05)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
            for pause in (0.0, 0.6):  # an idle connection that is kept is none of these
                await asyncio.sleep(pause)
                assert (await web.get("/")).status_code == 204
        for reader, _ in (silent, slow):
            assert await asyncio.wait_for(reader.read(), 5) == b""
    finally:
        server.should_exit = True
        for _, writer in (silent, slow):
            writer.close()
        await serving
