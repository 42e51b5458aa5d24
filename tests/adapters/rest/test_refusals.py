"""The REST interface over a sandbox in this process: what it refuses, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.rest.app import IMAGE
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.servers.http import MOST_BODY
from tests.support.rest_server import FOX, PROBLEM, Rest, problem
from tests.support.sandbox import KLEIN, PRICE, TEMPLATE, charged, submits

TOKEN = "a-token-that-nobody-guesses"


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


async def test_what_the_service_refuses_is_told_by_field(rest: Rest) -> None:
    step = {"$type": "imageGen", "input": {**KLEIN, "steps": -5, "cfgScale": "x"}}
    told = problem(await rest().post(IMAGE, json={"steps": [step]}), 400, "refused_by_service")
    assert set(told["errors"]) == {"steps.0.input.steps", "steps.0.input.cfgScale"}
    assert "4 or more" in told["errors"]["steps.0.input.steps"][0]
    blocked = await rest().post(IMAGE, json={"prompt": "a fox [sandbox:refused]"})
    assert "errors" not in problem(blocked, 400, "refused_by_service"), "it is about no field"


@pytest.mark.parametrize(
    ("fault", "body", "query", "word"),
    [
        (Fault("submit", "reset", times=9), FOX, "", "Send the same request again"),
        (Fault("submit", "reset", times=9), TEMPLATE, "", "Idempotency-Key"),
        (Fault("submit", "status", status=401, times=9), FOX, "", "the server's own key"),
        (None, FOX, f"?max_buzz={PRICE - 1}", f"?max_buzz={PRICE}"),
        (None, TEMPLATE, f"?max_buzz={PRICE - 1}", f"?max_buzz={PRICE}"),
        (None, {**FOX, "engine": "nix"}, "", "GET /engines"),
        (None, {**FOX, "images": ["/etc/passwd"]}, "", "an https URL or a data URL"),
        (None, {**FOX, "images": ["data:image/png;base64,?"]}, "", "an https URL or a data URL"),
    ],
)
async def test_what_to_do_next_is_said_in_this_interfaces_words(
    rest: Rest, sandbox: Sandbox, fault: Fault | None, body: Any, query: str, word: str
) -> None:
    if fault is not None:
        sandbox.script(fault)
    told = (await rest().post(IMAGE + query, json=body)).json()
    said = told["detail"] + told.get("hint", "")
    assert word in said
    for foreign in ("client.", "=True", "--", "civitai-skill ", "path", "CIVITAI_"):
        assert foreign not in said


async def test_what_is_bought_and_gone_is_told_with_how_to_buy_it_anew(
    rest: Rest, sandbox: Sandbox
) -> None:
    web, headers = rest(), {"Idempotency-Key": "mine"}
    first = (await web.post(IMAGE, json=FOX, headers=headers)).json()["id"]
    sandbox.script(Fault("get", "status", status=500, times=2))
    told = problem(await web.post(IMAGE, json=FOX, headers=headers), 502, "server")
    assert told["spent"] == "yes"
    assert told["hint"].endswith(f"What was bought is not lost. Look again: GET {IMAGE}/{first}")
    sandbox.script(Fault("get", "status", status=404))
    told = problem(await web.post(IMAGE, json=FOX, headers=headers), 404, "not_found")
    assert told["hint"].endswith("with ?again=true, or under another Idempotency-Key.")


async def test_when_to_ask_again_is_passed_on(rest: Rest, sandbox: Sandbox) -> None:
    sandbox.script(Fault("get", "status", status=429, retry_after=0.2, times=9))
    answer = await rest().get(f"{IMAGE}/wf-1")
    problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "1"


async def test_a_key_is_refused_by_the_name_of_its_header(rest: Rest) -> None:
    one = [("Idempotency-Key", "mine")]
    assert (await rest().post(IMAGE, json=FOX, headers=one)).status_code < 300
    other = await rest().post(IMAGE, json={"prompt": "an owl"}, headers=one)
    two = await rest().post(IMAGE, json=FOX, headers=[*one, ("Idempotency-Key", "other")])
    for answer in (other, two):
        assert list(problem(answer, 400, "request_invalid")["errors"]) == ["Idempotency-Key"]


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
    for path, methods in ((IMAGE, "GET, HEAD, POST"), (f"{IMAGE}/1-2", "DELETE, GET, HEAD")):
        answer = await web.put(path, json={})
        problem(answer, 405, "no_such_method")
        assert answer.headers["allow"] == methods


async def test_a_defect_is_told_without_its_innards(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("innards")

    monkeypatch.setattr("civitai_skill.adapters.rest.app.is_template", broken)
    answer = await rest().post(IMAGE, json=FOX)
    assert "innards" not in json.dumps(problem(answer, 500, "defect"))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/a.png", "https://[::ffff:10.0.0.1]/a", " HTTPS://metadata.internal/x"],
)
async def test_a_template_names_no_private_address(
    rest: Rest, sandbox: Sandbox, address: str
) -> None:
    step = {"$type": "imageUpscaler", "input": {"image": address}}
    told = problem(await rest().post(IMAGE, json={"steps": [step]}), 400, "request_invalid")
    assert list(told["errors"]) == ["steps.0.input.image"]
    assert submits(sandbox) == 0


async def test_an_address_in_a_prompt_is_words(rest: Rest, sandbox: Sandbox) -> None:
    body = {"steps": [{**TEMPLATE["steps"][0]}]}
    body["steps"][0]["input"] = {**TEMPLATE["steps"][0]["input"], "prompt": "http://localhost"}
    assert (await rest().post(IMAGE, json=body)).status_code in (200, 202)
    assert submits(sandbox) == 1
