"""The REST interface over a sandbox in this process: what it buys, and for how much."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from civitai_skill.adapters.rest.app import IMAGE, _engine
from civitai_skill.adapters.rest.readiness import CACHE_SECONDS, Readiness
from civitai_skill.api.workflows import Health
from civitai_skill.config import Secret
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.steps import price
from tests.support.rest_server import FOX, PROBLEM, Rest, problem
from tests.support.sandbox import KLEIN, PRICE, TEMPLATE, charged, submits


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
    answer = await web.post(IMAGE, json=body, params={"whatif": "true", "max_buzz": PRICE})
    assert answer.status_code == 200
    assert answer.json()["cost"]["total"] == PRICE
    less = {"whatif": "true", "max_buzz": PRICE - 1}
    told = problem(await web.post(IMAGE, json=body, params=less), 402, "over_budget")
    assert told["price"] == PRICE
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
    found = [answer.status_code for answer in answers]
    assert set(found) <= {200, 202, 402}, "on a busy machine a picture may be ready at once"
    assert found.count(402) == 30
    assert charged(sandbox) == 10 * PRICE
    refused = next(a for a in answers if a.status_code == 402)
    assert problem(refused, 402, "over_budget")["limit"] == 2
    counted = (await web.get("/metrics")).text
    assert f"civitai_rest_buzz_spent {float(10 * PRICE)}" in counted


async def test_a_budget_holds_where_the_service_charges_more_than_is_documented(
    rest: Rest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, charge = price.price_of, 50
    monkeypatch.setattr(price, "price_of", lambda *given: replace(known(*given), buzz=charge))
    web = rest(budget=100)
    answers = await asyncio.gather(
        *(web.post(IMAGE, json={"prompt": f"fox {n}"}) for n in range(20))
    )
    assert {answer.status_code for answer in answers} <= {200, 202, 402}
    assert charged(sandbox) == 100
    charge = PRICE
    other = rest(budget=100)
    assert (await other.post(IMAGE, json={"prompt": "as documented"})).is_success
    charge = 50  # from one purchase to the next: nobody is asked before the first, but after it
    for n in range(10):
        answer = await other.post(IMAGE, json={"prompt": f"owl {n}"})
    told = problem(answer, 402, "over_budget")
    assert told["spent"] == "no"
    assert charged(sandbox) == 100 + PRICE + charge


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
    kept = _engine.cache_info().currsize
    for n in range(20):
        odd = await web.get("/engines/" + "".join("zZ"[n >> i & 1] for i in range(5)) + "-image")
        assert odd.status_code == 404
        assert (await web.get(f"/engines/z{'-_. '[n % 4] * (n + 1)}image")).json() == described
    assert _engine.cache_info().currsize == kept, "a spelling is no page of its own"
    told = problem(await web.get("/engines/nix"), 404, "request_invalid")
    assert "flux2" in told["detail"]


async def test_health_tells_what_is_wrong(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    assert (await web.get("/health/live")).json()["status"] == "live"
    ready = (await web.get("/health/ready")).json()
    assert ready == {"status": "ready", "service": "the sandbox"}
    locked = rest(token=Secret("a-token-that-nobody-guesses"))
    assert (await locked.get("/health/ready")).json() == {"status": "ready"}
    sandbox.script(Fault("any", "refuse", times=1))
    problem(await rest().get("/health/ready"), 503, "config")


async def test_readiness_is_looked_at_once_in_a_while() -> None:
    now, looks, under_way = 0.0, 0, 0

    class Client:
        async def health(self) -> Health:
            nonlocal looks, under_way
            looks, under_way = looks + 1, under_way + 1
            assert under_way == 1
            await asyncio.sleep(0.01)
            under_way -= 1
            return Health(True, True)

    client: Any = Client()
    readiness = Readiness(client, lambda: now)
    for expected in (1, 2):
        await asyncio.gather(*(readiness.check() for _ in range(50)))
        now += CACHE_SECONDS - 0.1
        assert await readiness.check() == Health(True, True)
        assert looks == expected
        now += 0.2


async def test_at_the_end_it_is_not_ready_and_buys_nothing(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    web.server_session.stop()  # type: ignore[attr-defined]
    problem(await web.get("/health/ready"), 503, "stopping")
    for body in (FOX, TEMPLATE):
        told = problem(await web.post(IMAGE, json=body), 503, "stopping")
        assert told["spent"] == "no"
    assert submits(sandbox) == 0


async def test_trouble_after_the_purchase_is_counted(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    sandbox.script(Fault("get", "status", status=500, times=None))
    answer = await web.post(IMAGE, json={"prompt": "a fox [sandbox:slow=60]"}, params={"wait": 5})
    assert answer.status_code == 202
    counted = (await web.get("/metrics")).text
    assert 'civitai_rest_upstream_errors_total{code="server"} 1.0' in counted


async def test_metrics_count_requests_errors_and_seconds(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    await web.post(IMAGE, json=FOX)
    await web.get(f"{IMAGE}/nobody")
    sandbox.script(Fault("get", "status", status=503, times=None))
    await web.get(f"{IMAGE}/1-20260101000000000")
    await web.get("/nowhere")
    await web.get("/engines", headers={"Host": "evil.example"})
    answer = await web.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'civitai_rest_requests_total{operation="submitimagegen",status="202"} 1.0',
        'civitai_rest_requests_total{operation="getimagegen",status="404"} 1.0',
        'civitai_rest_requests_total{operation="none",status="404"} 1.0',
        'civitai_rest_requests_total{operation="none",status="421"} 1.0',
        'civitai_rest_upstream_errors_total{code="server"} 1.0',
        'civitai_rest_request_seconds_count{operation="submitimagegen"} 1.0',
        f"civitai_rest_buzz_spent {float(PRICE)}",
    ):
        assert line in answer.text
    assert "not_found" not in answer.text  # the caller's own mistake


async def test_pictures_that_are_there_are_finished(rest: Rest, sandbox: Sandbox) -> None:
    web = rest()
    body = {"images": ["https://example.com/a.png"], "upscale": 1, "output_format": "png"}
    told = (await web.post(IMAGE, json=body, params={"whatif": "true"})).json()
    assert [s["$type"] for s in told["steps"]] == ["imageUpscaler", "convertImage"]
    answer = await web.post(IMAGE, json=body, params={"wait": 20})
    assert (answer.json()["status"], charged(sandbox)) == ("succeeded", told["cost"]["total"])
    exact = {**FOX, "exact": "5000x200"}
    assert (
        "waited for" in problem(await web.post(IMAGE, json=exact), 400, "request_invalid")["detail"]
    )
    made = await web.post(IMAGE, json={**FOX, "remove_background": True}, params={"wait": 20})
    assert [s["name"] for s in made.json()["steps"]] == ["picture", "cutout-1"]
