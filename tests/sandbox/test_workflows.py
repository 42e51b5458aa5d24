"""The sandbox answers in the forms that the service was seen to use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from civitai_skill.sandbox import Switches

WORKFLOWS = "/v2/consumer/workflows"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1,
}  # fmt: skip
PRICE = 3  # 0.3 a step, rounded up
Play = Callable[..., Any]


def test_without_a_key_nothing_is_answered(play: Play) -> None:
    client = play(key=None)
    answer = client.submit(FOX)
    assert answer.status_code == 401
    assert answer.json().items() >= {"title": "Unauthorized", "status": 401}.items()
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.json()["traceId"])


def test_a_submit_is_202_while_it_runs_and_its_id_tells_user_and_time(play: Play) -> None:
    answer = play().submit(FOX)
    value = answer.json()
    assert (answer.status_code, value["status"]) == (202, "unassigned")
    assert value["createdAt"] == "2026-08-10T22:37:15.659Z"
    assert re.fullmatch(r"\d+-20260810223715659", value["id"])
    assert value["steps"][0]["name"] == "$0"
    assert value["steps"][0]["output"]["errors"] == []
    assert value["steps"][0]["queuePosition"]["support"] == "unavailable"


def test_ids_are_unique_within_a_millisecond(play: Play) -> None:
    client = play()
    assert len({client.submit(FOX).json()["id"] for _ in range(20)}) == 20


def test_waiting_long_enough_is_200_and_too_short_202(play: Play) -> None:
    client = play(seconds_per_job=10)
    early = client.submit(FOX, wait=3)
    assert (early.status_code, early.json()["status"]) == (202, "scheduled")
    id = early.json()["id"]
    assert client.get(f"{WORKFLOWS}/{id}", params={"wait": 2}).status_code == 202
    late = client.get(f"{WORKFLOWS}/{id}", params={"wait": 30})
    assert (late.status_code, late.json()["status"]) == (200, "succeeded")
    assert client.clock.now == pytest.approx(1_786_401_435.659 + 10, abs=0.01)


def test_every_state_is_seen_when_asking_for_changes(play: Play) -> None:
    client = play(seconds_per_job=10)
    id = client.submit(FOX).json()["id"]
    seen = [client.workflow(id, wait=20, until="change") for _ in range(4)]
    assert [w["status"] for w in seen] == ["preparing", "scheduled", "processing", "succeeded"]
    step = seen[2]["steps"][0]
    assert 0 <= step["estimatedProgressRate"] < 0.01
    assert not {"jobs", "queuePosition"} & set(seen[3]["steps"][0])
    unchanged = play(seconds_per_job=100)
    id = unchanged.submit(FOX).json()["id"]
    query = {"wait": 5, "until": "change"}
    assert unchanged.get(f"{WORKFLOWS}/{id}", params=query).status_code == 202


def test_the_model_that_is_fetched_is_named_while_preparing(play: Play) -> None:
    client = play(seconds_per_job=10)
    air = "urn:air:sdxl:checkpoint:civitai:101055@128078"
    sdxl = {"engine": "sdcpp", "ecosystem": "sdxl", "operation": "createImage", "model": air,
            "prompt": "a fox"}  # fmt: skip
    id = client.submit(sdxl).json()["id"]
    client.clock.sleep(2)
    step = client.workflow(id)["steps"][0]
    (preparation,) = step["preparation"]
    assert preparation.items() >= {
        "resource": air, "queuePosition": 0, "progress": 0.5, "etaSeconds": 1, "lane": "normal",
    }.items()  # fmt: skip
    assert step["estimatedProgressRate"] == 0.5
    client.clock.sleep(2)
    assert "preparation" not in client.workflow(id)["steps"][0]


def test_a_deployment_without_until_refuses_it(play: Play) -> None:
    client = play(switches=Switches(until_known=False))
    id = client.submit(FOX).json()["id"]
    query = {"wait": 1, "until": "change"}
    assert client.get(f"{WORKFLOWS}/{id}", params=query).status_code == 400


def test_a_waiting_request_is_answered_after_the_longest_wait(play: Play) -> None:
    client = play(seconds_per_job=1000)
    before = client.clock.now
    client.submit(FOX, wait=600)
    assert client.clock.now - before == pytest.approx(100)


def test_the_echo_spells_out_defaults_and_leaves_nulls_out(play: Play) -> None:
    value = play().submit({**FOX, "seed": None}, metadata={"a": 1}, tags=["t"]).json()
    given = value["steps"][0]["input"]
    assert given.items() >= {"width": 1024, "modelVersion": "4b", "quantity": 1}.items()
    assert "seed" not in given
    assert "startedAt" not in value
    assert (value["metadata"], value["tags"], value["arguments"]) == ({"a": 1}, ["t"], {})
    assert (value["steps"][0]["priority"], value["steps"][0]["timeout"]) == ("low", "00:20:00")


def test_expiry_has_seven_digits_with_trailing_zeros_trimmed(play: Play) -> None:
    value = play().submit(FOX, wait=5).json()
    picture = value["steps"][0]["output"]["images"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", picture["urlExpiresAt"])
    assert not picture["urlExpiresAt"].endswith("0Z")
    assert picture["url"].endswith(f"&exp={picture['urlExpiresAt']}")


# -- estimates -------------------------------------------------------------------------------------
def test_an_estimate_costs_nothing_and_its_id_is_not_found(play: Play) -> None:
    client = play()
    answer = client.submit(FOX, whatif=True, externalId="key")
    value = answer.json()
    assert (answer.status_code, value["status"], value["cost"]["total"]) == (
        200,
        "unassigned",
        PRICE,
    )
    assert value["transactions"] == {
        "list": [{"type": "debit", "amount": PRICE, "accountType": "blue"}],
        "insufficientBuzz": False,
    }
    assert answer.headers["X-Civitai-Cost-Total"] == "3"
    assert answer.headers["X-Civitai-Cost-By-Currency"] == "blue=3"
    assert answer.headers["X-Civitai-Insufficient-Buzz"] == "false"
    assert client.get(f"{WORKFLOWS}/{value['id']}").status_code == 404
    assert client.submit(FOX, externalId="key").status_code == 202
    assert client.get("/_sandbox/accounts").json()["accounts"][0]["charged"] == PRICE


def test_an_estimate_says_when_the_buzz_is_short(play: Play) -> None:
    answer = play(balance={"blue": 1}).submit(FOX, whatif=True)
    assert (answer.status_code, answer.json()["transactions"]["insufficientBuzz"]) == (200, True)
    assert answer.headers["X-Civitai-Insufficient-Buzz"] == "true"


# -- identity --------------------------------------------------------------------------------------
def test_the_same_key_gives_the_old_workflow_whatever_the_body(play: Play) -> None:
    client = play()
    first = client.submit(FOX, externalId="key-1").json()
    again = client.submit({**FOX, "prompt": "another"}, externalId="key-1")
    assert again.status_code == 200
    assert again.json()["id"] == first["id"]
    assert again.json()["steps"][0]["input"]["prompt"] == "a fox"
    assert again.json()["externalId"] == first["id"].split("-")[0] + "-key-1"
    assert client.balance["blue"] == 10_000 - PRICE


def test_two_keys_are_two_accounts(play: Play) -> None:
    client = play()
    id = client.submit(FOX, externalId="same").json()["id"]
    other = {"Authorization": "Bearer other"}
    assert client.get(f"{WORKFLOWS}/{id}", headers=other).status_code == 404
    body = {"steps": [{"$type": "imageGen", "input": FOX}], "externalId": "same"}
    assert client.post(WORKFLOWS, json=body, headers=other).json()["id"] != id
    accounts = client.sandbox.accounts()
    assert [a["charged"] for a in accounts] == [PRICE, PRICE]
    assert len({a["user"] for a in accounts}) == 2


def test_an_identical_step_with_a_fixed_seed_is_free_the_second_time(play: Play) -> None:
    client = play()
    first = client.submit({**FOX, "seed": 7}, wait=5).json()
    again = client.submit({**FOX, "seed": 7})
    assert (again.status_code, again.json()["cost"]["total"]) == (200, 0)
    assert again.json()["transactions"]["list"] == []
    ids = [w["steps"][0]["output"]["images"][0]["id"] for w in (first, again.json())]
    assert ids[0] == ids[1]
    assert client.submit({**FOX, "seed": 7}, whatif=True).json()["cost"]["total"] == 0
    assert client.submit({**FOX, "seed": 8}).json()["cost"]["total"] == PRICE


# -- references and arguments ----------------------------------------------------------------------
def test_steps_follow_references_and_arguments(play: Play) -> None:
    client = play(seconds_per_job=10)
    upscale = {
        "$type": "imageUpscaler",
        "input": {"image": {"$ref": "$0", "path": "output.images[0].url"}},
    }
    prompt = {"$ref": "$arguments", "path": "words[1]"}
    answer = client.submit({**FOX, "prompt": prompt}, upscale, arguments={"words": ["a", "b"]})
    id = answer.json()["id"]
    assert answer.json()["cost"]["total"] == PRICE + 4
    client.clock.sleep(11)
    running = client.workflow(id)
    assert (running["status"], [s["status"] for s in running["steps"]]) == (
        "processing", ["succeeded", "preparing"],
    )  # fmt: skip
    assert running["steps"][0]["input"]["prompt"] == prompt
    done = client.workflow(id, wait=20)
    blob = done["steps"][1]["output"]["blob"]
    assert (done["status"], blob["width"], blob["height"]) == ("succeeded", 2048, 2048)


def test_a_path_that_leads_nowhere_fails_the_step(play: Play) -> None:
    client = play()
    reference = {"$ref": "$arguments", "path": "none"}
    value = client.submit({**FOX, "prompt": reference}, wait=5).json()
    assert value["status"] == "failed"
    assert value["steps"][0]["output"]["errors"] == ["A reference could not be resolved: prompt."]
    assert client.balance["blue"] == 10_000


def test_a_referred_value_of_the_wrong_type_fails_the_step(play: Play) -> None:
    reference = {"$ref": "$arguments", "path": "width"}
    value = play().submit({**FOX, "width": reference}, wait=5, arguments={"width": "wide"}).json()
    assert value["status"] == "failed"
    assert value["steps"][0]["output"]["errors"] == ["The value 'wide' is not valid for width."]


@pytest.mark.parametrize(
    "change",
    [
        {"transforms": {"$ref": "$arguments", "path": "wrong"}},
        {"image": {"$ref": "$arguments", "path": "none"}},
        {"output": {"$ref": "$arguments", "path": "wrong"}},
        {"output": {"format": "jpeg", "hideMetadata": {"$ref": "$arguments", "path": "wrong"}}},
        {"transforms": [{"type": "blur", "blur": 5, "mode": "include", "regions": [
            {"x1": {"$ref": "$arguments", "path": "wrong"}, "x2": 1, "y1": 0, "y2": 1}]}]},
    ],
)  # fmt: skip
def test_a_wrong_value_deep_inside_fails_the_step_and_not_the_sandbox(
    play: Play, change: Any
) -> None:
    output = {"format": "jpeg", "hideMetadata": False}
    given = {"image": "https://example.org/a.png", "output": output, **change}
    value = (
        play()
        .submit({"$type": "convertImage", "input": given}, wait=5, arguments={"wrong": "text"})
        .json()
    )
    assert value["status"] == "failed"
    assert value["steps"][0]["input"].items() >= change.items()


def test_the_prompt_enhancement_brings_text(play: Play) -> None:
    step = {"$type": "promptEnhancement", "input": {"ecosystem": "sdxl", "prompt": "a fox."}}
    output = play().submit(step, wait=5).json()["steps"][0]["output"]
    assert output["enhancedPrompt"].startswith("a fox. ")
    assert output["issues"] == []


# -- refusals --------------------------------------------------------------------------------------
def test_a_misfit_is_named_by_a_dotted_and_indexed_path(play: Play) -> None:
    answer = play().submit({**FOX, "width": 100, "clipSkip": 2})
    assert answer.status_code == 400
    assert answer.json()["title"] == "One or more validation errors occurred."
    assert answer.json()["errors"] == {
        "steps[0].input.width": ["The field width must be 512 or more."],
        "steps[0].input.clipSkip": [
            "The JSON property 'clipSkip' could not be mapped to any member of this type."
        ],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": "flux"}, "Read unrecognized type discriminator id 'flux' for 'engine'."),
        ({"model": "kleen"}, "No derived type found for model 'kleen'."),
        ({"engine": "comfy", "ecosystem": "ming"}, "No derived type found for ecosystem 'ming'"),
    ],
)
def test_a_wrong_discriminator_is_named(play: Play, change: Any, words: str) -> None:
    answer = play().submit({**FOX, **change})
    assert answer.status_code == 400
    assert words in answer.text


def test_a_step_type_that_is_not_emulated_is_said_to_be_so(play: Play) -> None:
    answer = play().submit({"$type": "videoGen", "input": {}})
    assert answer.json() == {
        "errors": {
            "messages": [
                "The sandbox does not emulate the step type videoGen; it has imageGen, "
                "imageUpscaler, imageBackgroundRemoval, convertImage, imageToSvg, "
                "promptEnhancement, mediaCaptioning, wdTagging, mediaRating, textToImage."
            ]
        }
    }


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b'"\\ud800"', b"[" * 100_000])
def test_what_is_not_json_is_refused(play: Play, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert play().post(WORKFLOWS, content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("query", [{"wait": "soon"}, {"whatif": "maybe"}])
def test_a_parameter_that_cannot_be_bound_is_named(play: Play, query: Any) -> None:
    body = {"steps": [{"$type": "imageGen", "input": FOX}]}
    answer = play().post(WORKFLOWS, params=query, json=body)
    name, value = next(iter(query.items()))
    assert answer.json()["errors"] == {name: [f"The value '{value}' is not valid."]}


def test_an_ephemeral_workflow_is_gone_when_it_is_over(play: Play) -> None:
    client = play()
    assert client.submit(FOX, ephemeral=True).status_code == 400
    done = client.submit(FOX, ephemeral=True, wait=5)
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    assert client.get(f"{WORKFLOWS}/{done.json()['id']}").status_code == 404
    assert client.get(WORKFLOWS).json() == {"items": []}


def test_the_moderation_refuses_at_once(play: Play) -> None:
    client = play()
    refused = client.submit({**FOX, "prompt": "[sandbox:refused]"})
    assert refused.json() == {"errors": {"messages": ["Prompt blocked as it may violate TOS"]}}
    mature = client.submit({**FOX, "prompt": "[sandbox:needs-mature]"}, allowMatureContent=False)
    assert mature.status_code == 400
    assert client.submit({**FOX, "prompt": "[sandbox:oops]"}).status_code == 400


def test_tags_above_the_documented_length_are_refused_by_a_switch(play: Play) -> None:
    tags = ["x" * 201]
    for switches, code in ((Switches(), 400), (Switches(long_tags_refused=False), 202)):
        client = play(switches=switches)
        assert client.submit(FOX, tags=tags).status_code == code
        id, changed = client.submit(FOX).json()["id"], 200 if code == 202 else 400
        assert client.post(f"{WORKFLOWS}/{id}/tags", json=tags[0]).status_code in (204, changed)
        assert client.put_changes(id, tags=tags).status_code == changed


def test_unknown_paths_and_methods_are_problems(play: Play) -> None:
    client = play()
    assert client.get("/v2/consumer/nothing").status_code == 404
    assert client.delete("/v2/consumer/workflows").status_code == 405
    assert client.get("/_sandbox/nothing").status_code == 404


# -- services --------------------------------------------------------------------------------------
def test_services_are_listed_from_the_engines(play: Play) -> None:
    client = play(key=None)
    page = client.get("/v2/services", params={"limit": 2, "tags": ["flux2", "edit"]}).json()
    assert (page["limit"], page["offset"], len(page["items"])) == (2, 0, 2)
    assert all({"flux2", "edit"} <= set(item["tags"]) for item in page["items"])
    one = page["items"][0]
    assert client.get(f"/v2/services/{one['id']}").json() == one
    assert client.get("/v2/services/image/none").status_code == 404
    assert client.get("/v2/services", params={"status": "lost"}).status_code == 400


def test_the_async_client_is_answered_alike(play: Play) -> None:
    import asyncio

    client = play()

    async def both() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=client.under, base_url=client.base_url, headers=client.headers
        ) as other:
            body = {"steps": [{"$type": "imageGen", "input": FOX}]}
            return await asyncio.gather(
                *(other.post(WORKFLOWS, params={"wait": 5}, json=body) for _ in range(3))
            )

    assert [r.json()["status"] for r in asyncio.run(both())] == ["succeeded"] * 3
