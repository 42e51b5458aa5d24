"""The REST interface over a sandbox in this process: what it takes, answers and refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import AsyncCivitai, ConfigError
from civitai_skill.adapters.http import MOST_BODY, Door
from civitai_skill.adapters.rest.app import IMAGE, OPEN_PATHS, made
from civitai_skill.config import Secret
from civitai_skill.desk import Desk
from civitai_skill.exchange import Retry
from civitai_skill.sandbox import Fault, Sandbox

FOX = {"prompt": "a red fox"}
PRICE = 3
KLEIN = {
    "engine": "flux2", "model": "klein", "modelVersion": "4b", "operation": "createImage",
    "prompt": "a red fox", "steps": 8, "cfgScale": 1,
}  # fmt: skip
TEMPLATE = {"steps": [{"$type": "imageGen", "input": KLEIN}]}
PROBLEM = "application/problem+json"
TOKEN = "a-token-that-nobody-guesses"

Rest = Callable[..., httpx.AsyncClient]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.05, balance={"blue": 10_000, "yellow": 0})


@pytest.fixture
async def rest(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Rest]:
    """Opens servers on the sandbox: rest(budget=9) gives a client of one."""
    opened: list[Any] = []

    def open_one(budget: int | None = None, **door: Any) -> httpx.AsyncClient:
        client = AsyncCivitai(
            sandbox=sandbox, home=tmp_path / "home", retry=Retry(tries=2, first=0.001, cap=0.002)
        )
        desk = Desk(client, budget)
        app: Any = made(desk, Door(open_paths=OPEN_PATHS, **door))
        web = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://127.0.0.1:8080",
        )
        web.desk = desk  # type: ignore[attr-defined]
        opened.extend((web.aclose, desk.close))
        return web

    yield open_one
    for close in opened:
        await close()


def submits(sandbox: Sandbox) -> int:
    return sum(int(account["submits"]) for account in sandbox.accounts())


def charged(sandbox: Sandbox) -> int:
    return sum(int(account["charged"]) for account in sandbox.accounts())


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    told: dict[str, Any] = answer.json()
    assert (told["status"], told["code"]) == (status, code)
    assert told["spent"] in ("no", "yes", "unknown")
    return told


# -- buying ----------------------------------------------------------------------------------------
async def test_an_image_request_is_bought_and_the_workflow_comes_unmapped(
    rest: Rest, sandbox: Sandbox
) -> None:
    web = rest()
    answer = await web.post(IMAGE, json=FOX)
    assert answer.status_code == 202
    workflow = answer.json()
    assert workflow["steps"][0]["input"]["prompt"] == "a red fox"
    done = await web.post(IMAGE, json=FOX, params={"wait": 20})
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    assert submits(sandbox) == 2, "each POST without a key is a purchase of its own"
    looked = await web.get(f"{IMAGE}/{workflow['id']}", params={"wait": 20})
    assert (looked.status_code, looked.json()["status"]) == (200, "succeeded")


async def test_a_workflow_template_goes_out_as_it_came(rest: Rest) -> None:
    web = rest()
    body = {**TEMPLATE, "metadata": {"mine": [1, None, "ü"]}, "tags": ["t"]}
    answer = await web.post(IMAGE, json=body, params={"wait": 20})
    assert answer.status_code == 200
    told = answer.json()
    assert told["metadata"] == body["metadata"]
    assert told["tags"] == ["t"]
    assert told["steps"][0]["input"].items() >= KLEIN.items()


async def test_a_request_may_name_its_number_of_steps(rest: Rest) -> None:
    answer = await rest().post(IMAGE, json={**FOX, "steps": 6})
    assert answer.status_code == 202
    assert answer.json()["steps"][0]["input"]["steps"] == 6


@pytest.mark.parametrize("kind", ["videoGen", "training", "customComfy", "comfy", "", None, 7])
async def test_other_steps_are_refused_by_name(rest: Rest, sandbox: Sandbox, kind: Any) -> None:
    body = {"steps": [*TEMPLATE["steps"], {"$type": kind, "input": {}}]}
    told = problem(await rest().post(IMAGE, json=body), 400, "request_invalid")
    assert list(told["errors"]) == ["steps.1.$type"]
    assert told["spent"] == "no"
    assert submits(sandbox) == 0


@pytest.mark.parametrize("body", [FOX, TEMPLATE], ids=["request", "template"])
async def test_a_price_can_be_asked_and_spends_nothing(
    rest: Rest, sandbox: Sandbox, body: dict[str, Any]
) -> None:
    web = rest()
    answer = await web.post(IMAGE, json=body, params={"whatif": "true", "max_buzz": 0})
    assert answer.status_code == 200
    assert answer.json()["cost"]["total"] == PRICE
    assert charged(sandbox) == 0


@pytest.mark.parametrize("body", [FOX, TEMPLATE], ids=["request", "template"])
async def test_the_price_is_held_against_the_limit(
    rest: Rest, sandbox: Sandbox, body: dict[str, Any]
) -> None:
    told = problem(
        await rest().post(IMAGE, json=body, params={"max_buzz": PRICE - 1}), 402, "over_budget"
    )
    assert (told["price"], told["limit"], told["spent"]) == (PRICE, PRICE - 1, "no")
    assert charged(sandbox) == 0


async def test_a_caller_can_lower_the_servers_limit_and_not_raise_it(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_MAX_BUZZ", "2")
    told = problem(await rest().post(IMAGE, json=FOX, params={"max_buzz": 50}), 402, "over_budget")
    assert told["limit"] == 2


# -- money under load ------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["request", "template"])
async def test_a_budget_holds_under_calls_at_the_same_time(
    rest: Rest, sandbox: Sandbox, kind: str
) -> None:
    web = rest(budget=10 * PRICE + 2)

    def body(n: int) -> Any:
        if kind == "request":
            return {"prompt": f"fox {n}"}
        return {"steps": [{"$type": "imageGen", "input": {**KLEIN, "prompt": f"fox {n}"}}]}

    answers = await asyncio.gather(*(web.post(IMAGE, json=body(n)) for n in range(40)))
    found = sorted(answer.status_code for answer in answers)
    assert found == [202] * 10 + [402] * 30
    assert charged(sandbox) == 10 * PRICE
    refused = next(a for a in answers if a.status_code == 402)
    assert problem(refused, 402, "over_budget")["limit"] == 2
    counted = (await web.get("/metrics")).text
    assert f"civitai_rest_buzz_spent {float(10 * PRICE)}" in counted


async def test_what_the_service_did_not_take_goes_back_into_the_budget(
    rest: Rest, sandbox: Sandbox
) -> None:
    web = rest(budget=PRICE)
    refused = await web.post(IMAGE, json={"prompt": "a fox [sandbox:refused]"})
    problem(refused, 400, "refused_by_service")
    assert (await web.post(IMAGE, json=FOX)).status_code == 202
    problem(await web.post(IMAGE, json={"prompt": "another"}), 402, "over_budget")
    assert charged(sandbox) == PRICE


@pytest.mark.parametrize("body", [FOX, TEMPLATE], ids=["request", "template"])
async def test_the_same_key_never_pays_twice(
    rest: Rest, sandbox: Sandbox, body: dict[str, Any]
) -> None:
    web = rest()
    headers = {"Idempotency-Key": "order-7"}
    first = await web.post(IMAGE, json=body, headers=headers)
    assert first.json()["externalId"].endswith("order-7")
    same = await asyncio.gather(*(web.post(IMAGE, json=body, headers=headers) for _ in range(8)))
    assert {answer.json()["id"] for answer in same} == {first.json()["id"]}
    assert charged(sandbox) == PRICE
    other = await web.post(IMAGE, json={**FOX, "prompt": "another"}, headers=headers)
    problem(other, 400, "request_invalid")
    fresh = await web.post(IMAGE, json=body, headers={"Idempotency-Key": "order-8"})
    assert fresh.json()["id"] != first.json()["id"]
    assert charged(sandbox) == 2 * PRICE


async def test_a_key_used_at_the_same_time_pays_once(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    asked = (web.post(IMAGE, json=FOX, headers={"Idempotency-Key": "k"}) for _ in range(12))
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert charged(sandbox) == PRICE


async def test_a_lost_answer_is_made_good_by_the_same_key(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    sandbox.script(Fault("submit", "reset", committed=True, times=2))
    headers = {"Idempotency-Key": "lost"}
    told = problem(await web.post(IMAGE, json=FOX, headers=headers), 502, "transport")
    assert (told["spent"], told["key"]) == ("unknown", "lost")
    again = await web.post(IMAGE, json=FOX, headers=headers)
    assert again.status_code in (200, 202)
    assert charged(sandbox) == PRICE


async def test_two_keys_that_differ_are_refused(rest: Rest) -> None:
    body = {**TEMPLATE, "externalId": "one"}
    answer = await rest().post(IMAGE, json=body, headers={"Idempotency-Key": "two"})
    assert list(problem(answer, 400, "request_invalid")["errors"]) == ["externalId"]


# -- looking ---------------------------------------------------------------------------------------
async def test_the_past_comes_in_pages(rest: Rest) -> None:
    web = rest()
    ids = [
        (await web.post(IMAGE, json={**TEMPLATE, "tags": ["a", f"n{n}"]})).json()["id"]
        for n in range(3)
    ]
    page = (await web.get(IMAGE, params={"take": 2, "tags": "a"})).json()
    assert [item["id"] for item in page["items"]] == [ids[2], ids[1]]
    rest_of_it = await web.get(IMAGE, params={"take": 2, "tags": "a", "cursor": page["next"]})
    assert [item["id"] for item in rest_of_it.json()["items"]] == [ids[0]]
    both = await web.get(IMAGE, params=[("tags", "a"), ("tags", "n1")])
    assert [item["id"] for item in both.json()["items"]] == [ids[1]]


async def test_a_workflow_can_be_canceled(rest: Rest) -> None:
    web = rest()
    asked = await web.post(IMAGE, json={"prompt": "a fox [sandbox:slow=60]"})
    answer = await web.delete(f"{IMAGE}/{asked.json()['id']}")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    problem(await web.delete(f"{IMAGE}/nobody-knows"), 404, "not_found")


async def test_an_id_that_leads_elsewhere_is_refused(rest: Rest) -> None:
    web = rest()
    for id in ("%2e%2e", "a%2Fb", "..%5c", "a b"):
        answer = await web.get(f"{IMAGE}/{id}")
        assert answer.status_code in (400, 404), (id, answer.text)
        assert answer.headers["content-type"] == PROBLEM


async def test_engines_are_listed_and_described(rest: Rest) -> None:
    web = rest()
    names = [engine["name"] for engine in (await web.get("/engines")).json()]
    assert "flux2" in names
    described = (await web.get("/engines/z-image")).json()
    assert described["name"] == "z-image"
    told = problem(await web.get("/engines/nix"), 404, "request_invalid")
    assert "flux2" in told["detail"]


async def test_health_tells_what_is_wrong(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    assert (await web.get("/health/live")).json()["status"] == "live"
    assert (await web.get("/health/ready")).json()["status"] == "ready"
    sandbox.script(Fault("any", "refuse", times=1))
    problem(await web.get("/health/ready"), 503, "config")


async def test_metrics_count_requests_errors_and_seconds(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    await web.post(IMAGE, json=FOX)
    await web.get(f"{IMAGE}/nobody")
    await web.get("/nowhere")
    await web.get("/engines", headers={"Host": "evil.example"})
    answer = await web.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'civitai_rest_requests_total{operation="submitimagegen",status="202"} 1.0',
        'civitai_rest_requests_total{operation="getimagegen",status="404"} 1.0',
        'civitai_rest_requests_total{operation="none",status="404"} 1.0',
        'civitai_rest_requests_total{operation="none",status="421"} 1.0',
        'civitai_rest_upstream_errors_total{code="not_found"} 1.0',
        'civitai_rest_request_seconds_count{operation="submitimagegen"} 1.0',
        f"civitai_rest_buzz_spent {float(PRICE)}",
    ):
        assert line in answer.text


# -- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("submit", "status", status=401, times=9), 502, "unauthorized"),
        (Fault("submit", "status", status=429, times=9), 429, "rate_limited"),
        (Fault("submit", "status", status=500, times=9), 502, "server"),
    ],
    ids=["bad key", "too many", "broken"],
)
async def test_the_services_errors_are_told_with_its_status(
    rest: Rest, sandbox: Sandbox, fault: Fault, status: int, code: str
) -> None:
    sandbox.script(fault)
    told = problem(await rest().post(IMAGE, json=FOX), status, code)
    assert told["upstream_status"] == fault.status


async def test_too_little_buzz_is_402(rest: Rest, sandbox: Sandbox) -> None:
    body = {"steps": [{"$type": "imageGen", "input": KLEIN}], "currencies": ["yellow"]}
    problem(await rest().post(IMAGE, json=body), 402, "not_enough_buzz")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"prompt": NaN}', b"[1]", b'"text"', b"null", b"[" * 100_000,
     b'{"prompt": ' + b"9" * 5000 + b"}"],
    ids=["nothing", "cut", "no utf-8", "nan", "list", "text", "null", "deep", "endless number"],
)  # fmt: skip
async def test_bad_json_is_a_problem_and_not_a_crash(rest: Rest, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await rest().post(IMAGE, content=content, headers=headers)
    problem(answer, 400, "request_invalid")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"prompt": 7}, {"prompt": ""}, {"prompt": "a", "width": "wide"},
        {"prompt": "a", "quantity": True}, {"prompt": "a", "loras": "x"}, {"steps": []},
        {"steps": {}}, {"steps": [7]}, {"steps": None}, {"prompt": "a", "unknown": 1},
        {"steps": [{"$type": "imageGen", "input": {"engine": "nix"}}]},
        {"steps": [{"$type": "imageGen"}]}, {**TEMPLATE, "externalId": "not a key"},
        {"prompt": "\ud800"}, {"steps": [{"$type": "imageGen", "input": {"prompt": "\ud800"}}]},
    ],
)  # fmt: skip
async def test_wrong_types_are_named_by_field(
    rest: Rest, sandbox: Sandbox, body: dict[str, Any]
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await rest().post(IMAGE, content=json.dumps(body), headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["code"] in ("request_invalid", "refused_by_service")
    assert charged(sandbox) == 0


@pytest.mark.parametrize(
    "query", ["wait=x", "wait=-1", "wait=91", "wait=1&wait=2", "wate=1", "max_buzz=-1", "whatif=2"]
)
async def test_wrong_parameters_are_refused_and_not_dropped(
    rest: Rest, sandbox: Sandbox, query: str
) -> None:
    told = problem(await rest().post(f"{IMAGE}?{query}", json=FOX), 400, "request_invalid")
    assert list(told["errors"]) == [query.partition("=")[0]]
    assert submits(sandbox) == 0


async def test_only_json_is_taken(rest: Rest) -> None:
    web = rest()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": kind} if kind else {}
        answer = await web.post(IMAGE, content=json.dumps(FOX), headers=headers)
        problem(answer, 415, "refused")


async def test_a_body_that_is_too_large_is_413(rest: Rest) -> None:
    answer = await rest().post(IMAGE, content=b" " * (MOST_BODY + 1))
    problem(answer, 413, "body_too_large")


async def test_files_and_networks_of_the_machine_are_not_its_callers(
    rest: Rest, tmp_path: Path
) -> None:
    web = rest()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"not yours")
    for source in (str(secret), "https://127.0.0.1/x.png", "https://metadata.internal/x.png"):
        body = {**FOX, "images": [source]}
        problem(await web.post(IMAGE, json=body), 400, "request_invalid")


async def test_other_paths_and_methods_are_problems_too(rest: Rest) -> None:
    web = rest()
    problem(await web.get("/"), 404, "no_such_path")
    answer = await web.put(IMAGE, json={})
    problem(answer, 405, "no_such_method")
    assert "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]


async def test_a_defect_is_told_without_its_innards(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("innards")

    monkeypatch.setattr("civitai_skill.adapters.rest.app.is_template", broken)
    answer = await rest().post(IMAGE, json=FOX)
    assert "innards" not in json.dumps(problem(answer, 500, "defect"))


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
            Door(host)
    monkeypatch.setenv("MINE", "short")
    with pytest.raises(ConfigError, match="at least 16 characters") as caught:
        Door.of("0.0.0.0", 1, "MINE")
    assert "short" not in str(caught.value.hint + caught.value.message)
    monkeypatch.setenv("MINE", TOKEN)
    door = Door.of("0.0.0.0", 1, "MINE", ["Pictures.Example"])
    assert TOKEN not in repr(door)
    assert door.knows_host("pictures.example:1")
    assert not door.knows_host("192.0.2.7")


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
    assert (await web.get("/docs")).status_code == 200


async def test_the_examples_of_the_document_are_bought(rest: Rest) -> None:
    web = rest()
    document = (await web.get("/openapi.json")).json()
    examples = document["paths"][IMAGE]["post"]["requestBody"]["content"]["application/json"]
    for example in examples["examples"].values():
        answer = await web.post(IMAGE, json=example["value"], params={"wait": 20})
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
