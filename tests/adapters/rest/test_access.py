"""The REST interface over a sandbox in this process: whom it lets in, and its own pages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from civitai_skill import ConfigError, RequestInvalid
from civitai_skill.adapters.rest.app import IMAGE
from civitai_skill.config import Secret
from civitai_skill.sandbox import Sandbox
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.http import MOST_BODY
from tests.support.rest_server import FOX, Rest, problem
from tests.support.sandbox import submits

TOKEN = "a-token-that-nobody-guesses"


# -- the door --------------------------------------------------------------------------------------
async def test_pages_and_names_from_elsewhere_are_kept_out(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    problem(await web.post(IMAGE, json=FOX, headers={"Host": "evil.example"}), 421, "host_refused")
    evil = {"Origin": "http://evil.example"}
    problem(await web.post(IMAGE, json=FOX, headers=evil), 403, "origin_refused")
    assert submits(sandbox) == 0
    own = await web.get("/engines", headers={"Origin": "http://localhost:3000"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers, "CORS is off unless asked for"


async def test_a_page_that_was_let_in_may_ask(rest: Rest) -> None:
    web = rest(origins=("https://pictures.example",), token=Secret(TOKEN))
    origin = {"Origin": "https://pictures.example"}
    asked = {"Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
    before = await web.options(IMAGE, headers={**origin, **asked})
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == origin["Origin"]
    answer = await web.get("/engines", headers={**origin, "Authorization": f"Bearer {TOKEN}"})
    assert answer.headers["access-control-allow-origin"] == origin["Origin"]


async def test_a_page_can_read_why_it_was_refused(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("innards")

    monkeypatch.setattr("civitai_skill.adapters.rest.app.is_template", broken)
    web = rest(origins=("https://pictures.example",), token=Secret(TOKEN))
    origin = {"Origin": "https://pictures.example"}
    known = {**origin, "Authorization": f"Bearer {TOKEN}"}
    for answer in (
        await web.get("/engines", headers=origin),
        await web.post(IMAGE, content=b" " * (MOST_BODY + 1), headers=known),
        await web.post(IMAGE, json=FOX, headers=known),
    ):
        assert answer.headers["access-control-allow-origin"] == origin["Origin"], answer.text
    evil = await web.get("/engines", headers={**known, "Origin": "https://evil.example"})
    problem(evil, 403, "origin_refused")
    assert "access-control-allow-origin" not in evil.headers


async def test_the_servers_own_pages_may_ask_it(rest: Rest) -> None:
    web = rest(hosts=("pictures.example",))
    for origin in ("https://pictures.example:8443", "http://pictures.example:8443"):
        headers = {"Host": "pictures.example:8443", "Origin": origin}
        assert (await web.get("/engines", headers=headers)).status_code == 200
    other = {"Host": "pictures.example:8443", "Origin": "https://pictures.example"}
    problem(await web.get("/engines", headers=other), 403, "origin_refused")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://Pictures.Example/", "https://pictures.example"),
        ("https://pictures.example:443", "https://pictures.example"),
        ("http://pictures.example:8080", "http://pictures.example:8080"),
        ("https://[2001:db8::1]:80", "https://[2001:db8::1]:80"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ],
)
def test_an_origin_is_kept_as_browsers_say_it(given: str, meant: str) -> None:
    assert AccessPolicy.from_flags("localhost", 1, origins=[given]).origins == (meant,)


@pytest.mark.parametrize(
    "given",
    ["*", "null", "", "pictures.example", "https://*.example", "https://a.example/page",
     "https://a.example https://b.example", "https://me@a.example", "https://a.example?x"],
)  # fmt: skip
def test_what_can_be_no_origin_is_refused_at_the_start(given: str) -> None:
    with pytest.raises(RequestInvalid, match="each origin by itself") as caught:
        AccessPolicy.from_flags("localhost", 1, origins=[given])
    assert caught.value.field == "cors_origin"
    assert caught.value.nearest == (
        "https://a.example" if "/page" in given or "?" in given else None
    )


def test_a_host_is_kept_without_its_port_or_refused() -> None:
    names = ["Pictures.Example:8443", "::1", "[2001:DB8::1]:80", "my_box", "2001:db8::2"]
    door = AccessPolicy.from_flags("localhost", 1, hosts=names)
    assert door.hosts == (
        "pictures.example", "[::1]", "[2001:db8::1]", "my_box", "[2001:db8::2]"
    )  # fmt: skip
    assert door.allows_host("pictures.example:8443")
    for wrong in ("https://pictures.example/", "*", "", "a b", "*.example"):
        with pytest.raises(RequestInvalid, match="a host name such as") as caught:
            AccessPolicy.from_flags("localhost", 1, hosts=[wrong])
    with pytest.raises(RequestInvalid) as caught:
        AccessPolicy.from_flags("localhost", 1, hosts=["https://pictures.example/"])
    assert caught.value.nearest == "pictures.example"


async def test_a_token_is_asked_for_where_there_is_one(rest: Rest, sandbox: Sandbox) -> None:
    web = rest(token=Secret(TOKEN))
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = await web.post(IMAGE, json=FOX, headers=header)
        problem(answer, 401, "token_refused")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert submits(sandbox) == 0
    assert (await web.get("/health/live")).status_code == 200
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert (await web.get("/engines", headers=right)).status_code == 200


def test_a_door_to_other_machines_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "pictures.example"):
        with pytest.raises(ConfigError, match="needs a token"):
            AccessPolicy(host)
    monkeypatch.setenv("MINE", "short")
    with pytest.raises(ConfigError, match="at least 16 characters") as caught:
        AccessPolicy.from_flags("0.0.0.0", 1, "MINE")
    assert "short" not in str(caught.value.hint + caught.value.message)
    monkeypatch.setenv("MINE", TOKEN)
    door = AccessPolicy.from_flags("0.0.0.0", 1, "MINE", ["Pictures.Example"])
    assert TOKEN not in repr(door)
    assert door.allows_host("pictures.example:1")
    assert not door.allows_host("192.0.2.7")


# -- its own pages ---------------------------------------------------------------------------------
async def test_the_openapi_document_names_the_capabilitys_operations(rest: Rest) -> None:
    web = rest()
    document = (await web.get("/openapi.json")).json()
    operations = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        "submitimagegen": f"POST {IMAGE}",
        "queryimagegens": f"GET {IMAGE}",
        "getimagegen": f"GET {IMAGE}/{{id}}",
        "cancelimagegen": f"DELETE {IMAGE}/{{id}}",
        "listengines": "GET /engines",
        "describeengine": "GET /engines/{name}",
        "live": "GET /health/live",
        "ready": "GET /health/ready",
        "metrics": "GET /metrics",
    }
    assert "security" not in document
    assert [server["url"] for server in document["servers"]] == ["/"]


async def test_the_document_says_where_the_token_is_needed(rest: Rest) -> None:
    web = rest(token=Secret(TOKEN))
    answer = await web.get("/openapi.json")
    assert answer.status_code == 200, "it tells nothing that is secret"
    document = answer.json()
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name] == {"type": "http", "scheme": "bearer"}
    assert document["security"] == [{name: []}]
    free = [
        path for path, one in document["paths"].items() if one.get("get", {}).get("security") == []
    ]
    assert free == ["/health/live", "/health/ready"]


async def test_the_page_for_people_needs_nothing_from_elsewhere(rest: Rest) -> None:
    answer = await rest(token=Secret(TOKEN)).get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Civitai image generation</title>" in answer.text
    for told in (f"POST {IMAGE}", f"DELETE {IMAGE}/{{id}}", "Idempotency-Key", "a red fox"):
        assert told in answer.text
    assert not re.search(r"<script|<link|src=|href=.http|url\(|@import", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_examples_of_the_document_are_bought(rest: Rest) -> None:
    web = rest()
    document = (await web.get("/openapi.json")).json()
    examples = document["paths"][IMAGE]["post"]["requestBody"]["content"]["application/json"]
    for example in examples["examples"].values():
        answer = await web.post(IMAGE, json=example["value"], params={"wait": 20})
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
