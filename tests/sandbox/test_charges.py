"""The sandbox charges, refunds, holds back and lists as the service was seen to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitai_skill.sandbox import Fault, Switches

WORKFLOWS = "/v2/consumer/workflows"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1,
}  # fmt: skip
PRICE = 3
Play = Callable[..., Any]
BUZZ = {"blue": 10, "green": 10, "yellow": 10}


def marked(*marks: str) -> dict[str, Any]:
    return {**FOX, "prompt": " ".join(f"[sandbox:{mark}]" for mark in marks)}


# -- drawing ---------------------------------------------------------------------------------------
def test_blue_is_drawn_before_green_before_yellow_and_may_split(play: Play) -> None:
    client = play(balance={"blue": 2, "green": 0, "yellow": 10})
    value = client.submit(FOX).json()
    assert [(t["accountType"], t["amount"]) for t in value["transactions"]["list"]] == [
        ("blue", 2), ("yellow", 1),
    ]  # fmt: skip
    assert (client.balance, value["allowMatureContent"]) == (
        {"blue": 0, "green": 0, "yellow": 9},
        False,
    )
    assert value["currencies"] == ["blue", "green", "yellow"]


def test_currencies_restrict_and_are_echoed(play: Play) -> None:
    client = play(balance=BUZZ)
    value = client.submit(FOX, currencies=["yellow", "green"]).json()
    assert value["currencies"] == ["yellow", "green"]
    assert client.balance == {"blue": 10, "green": 7, "yellow": 10}


def test_mature_content_is_paid_in_yellow_only(play: Play) -> None:
    client = play(balance=BUZZ)
    client.submit(FOX, allowMatureContent=True)
    assert client.balance == {"blue": 10, "green": 10, "yellow": 7}
    short = client.submit(FOX, allowMatureContent=True, currencies=["blue"])
    assert short.json() == {"errors": {"messages": ["insufficientBuzz"]}}


def test_paying_all_in_yellow_allows_mature_content_where_nothing_was_said(play: Play) -> None:
    value = play(balance={"yellow": 10}).submit(FOX).json()
    assert value["allowMatureContent"] is True


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ("400", 400, {"errors": {"messages": ["insufficientBuzz"]}}),
        ("403", 403, "Insufficient Buzz"),
        ("402", 402, None),
        ("problem", 400, None),
    ],
)
def test_too_little_buzz_is_refused_in_each_disputed_form(
    play: Play, form: Any, status: int, body: Any
) -> None:
    client = play(balance={"blue": 2}, switches=Switches(short_of_buzz=form))
    answer = client.submit(FOX)
    assert answer.status_code == status
    if body is None:
        assert answer.json()["detail"] == "The account has insufficient Buzz."
    else:
        assert answer.json() == body
    assert client.balance == {"blue": 2}
    assert client.get(WORKFLOWS).json() == {"items": []}


def test_tips_come_on_top(play: Play) -> None:
    value = play().submit(FOX, tips={"civitai": 0.5, "creators": 0}).json()
    assert value["cost"] == {
        "base": 3, "factors": {"base": 3, "quantity": 1},
        "tips": {"civitai": 2, "creators": 0}, "total": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("step", "price"),
    [
        ({"$type": "imageUpscaler", "input": {"image": "https://x.org/a.png"}}, 4),
        ({"$type": "imageUpscaler", "input": {"image": "https://x.org", "numberOfRepeats": 2}}, 8),
        ({"$type": "imageBackgroundRemoval", "input": {"image": "https://x.org/a.png"}}, 7),
        ({"$type": "convertImage", "input": {"image": "https://x.org/a.png",
          "output": {"format": "png", "hideMetadata": False}}}, 1),
        ({"$type": "promptEnhancement", "input": {"ecosystem": "sdxl", "prompt": "a"}}, 1),
        ({**FOX, "quantity": 2}, 5),
        ({"engine": "flux2", "model": "max", "operation": "createImage", "prompt": "a"}, 50),
    ],
)  # fmt: skip
def test_prices_are_the_documented_ones(play: Play, step: Any, price: int) -> None:
    assert play().submit(step, whatif=True).json()["cost"]["total"] == price


# -- refunds ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mark", "status", "errors"),
    [
        ("failed", "failed", ["The provider could not make a picture from this prompt."]),
        ("failed-silent", "failed", []),
        ("expired", "expired", []),
        ("canceled", "canceled", []),
    ],
)
def test_what_fails_is_refunded_as_a_credit(
    play: Play, mark: str, status: str, errors: list[str]
) -> None:
    client = play()
    value = client.submit(marked(mark), wait=5).json()
    step = value["steps"][0]
    assert (value["status"], step["output"]["errors"]) == (status, errors)
    assert [t["type"] for t in value["transactions"]["list"]] == ["debit", "credit"]
    assert value["cost"]["base"] == value["cost"]["total"] == 0
    assert value["cost"]["factors"] == {"base": PRICE, "quantity": 1}
    picture = step["output"]["images"][0]
    assert picture["available"] is False
    assert client.get(picture["url"]).status_code == 404
    assert client.balance["blue"] == 10_000


def test_a_blocked_picture_comes_in_a_workflow_that_succeeded_and_is_paid(play: Play) -> None:
    client = play()
    value = client.submit(marked("blocked"), wait=5).json()
    picture = value["steps"][0]["output"]["images"][0]
    assert (value["status"], picture["available"], picture["blockedReason"]) == (
        "succeeded", False, "NSFWLevel",
    )  # fmt: skip
    assert client.get(picture["url"]).status_code == 404
    assert client.balance["blue"] == 10_000 - PRICE


def test_a_partial_result_lacks_its_last_picture(play: Play) -> None:
    value = play().submit({**marked("partial"), "quantity": 3}, wait=5).json()
    images = value["steps"][0]["output"]["images"]
    assert (value["status"], [i["available"] for i in images]) == ("succeeded", [True, True, False])


def test_a_stuck_job_hangs_until_its_time_out_and_is_then_refunded(play: Play) -> None:
    client = play()
    step = {"$type": "imageGen", "input": marked("stuck"), "timeout": "00:05:00"}
    id = client.submit(step).json()["id"]
    client.clock.sleep(299)
    running = client.workflow(id)
    assert running["steps"][0]["estimatedProgressRate"] == 3e-5
    assert running["status"] == "processing"
    client.clock.sleep(2)
    assert client.workflow(id)["status"] == "expired"
    assert client.balance["blue"] == 10_000


def test_an_air_of_another_family_hangs_without_a_word(play: Play) -> None:
    lora = {"loras": {"urn:air:sdxl:lora:civitai:1@2": 1}}
    client = play()
    assert client.submit({**FOX, **lora}, wait=60).json()["status"] == "processing"
    loose = play(switches=Switches(foreign_air_hangs=False))
    assert loose.submit({**FOX, **lora}, wait=60).json()["status"] == "succeeded"


def test_a_webp_source_fails_without_a_word(play: Play) -> None:
    edit = {**FOX, "operation": "editImage", "images": ["https://example.org/a.webp"]}
    value = play().submit(edit, wait=5).json()
    assert (value["status"], value["steps"][0]["output"]["errors"]) == ("failed", [])


def test_canceling_refunds_what_was_not_delivered(play: Play) -> None:
    client = play(seconds_per_job=10)
    upscale = {
        "$type": "imageUpscaler",
        "input": {"image": {"$ref": "$0", "path": "output.images[0].url"}},
    }
    id = client.submit(FOX, upscale).json()["id"]
    client.clock.sleep(12)
    answer = client.put_changes(id, status="canceled")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    value = client.workflow(id)
    assert [s["status"] for s in value["steps"]] == ["succeeded", "canceled"]
    assert (value["status"], value["cost"]["total"]) == ("canceled", PRICE)
    assert client.balance["blue"] == 10_000 - PRICE
    early = client.submit(FOX).json()["id"]
    client.put_changes(early, status="canceled")
    assert client.balance["blue"] == 10_000 - PRICE


@pytest.mark.parametrize("code", [400, 409, 204])
def test_canceling_what_is_over_is_answered_by_a_switch(play: Play, code: Any) -> None:
    client = play(switches=Switches(cancel_after_end=code))
    id = client.submit(FOX, wait=5).json()["id"]
    told = 200 if code == 204 else code  # with the workflow
    assert client.put_changes(id, status="canceled").status_code == told
    assert client.workflow(id)["status"] == "succeeded"


def test_a_cancel_is_noticed_by_a_request_that_waits(play: Play) -> None:
    client = play(seconds_per_job=90)
    id = client.submit(FOX).json()["id"]
    waiting = client.sandbox.handle(
        client.build_request("GET", f"{WORKFLOWS}/{id}", params={"wait": 80})
    )
    client.clock.sleep(next(waiting))
    client.put_changes(id, status="canceled")
    with pytest.raises(StopIteration) as end:
        next(waiting)
    assert end.value.value.json()["status"] == "canceled"


def test_deleting_hides_a_workflow_and_refunds_what_had_not_begun(play: Play) -> None:
    client = play()
    id = client.submit(FOX).json()["id"]
    assert client.delete(f"{WORKFLOWS}/{id}").status_code == 204
    assert client.get(f"{WORKFLOWS}/{id}").status_code == 404
    assert (client.get(WORKFLOWS).json(), client.balance["blue"]) == ({"items": []}, 10_000)


# -- mature ----------------------------------------------------------------------------------------
def test_a_mature_picture_is_held_until_it_is_allowed_and_paid_in_yellow(play: Play) -> None:
    client = play(balance=BUZZ)
    held = client.submit(marked("mature"), wait=5).json()
    picture = held["steps"][0]["output"]["images"][0]
    assert (held["status"], held["upgradeMode"], picture["nsfwLevel"]) == (
        "succeeded",
        "manual",
        "x",
    )
    assert (picture["available"], "url" in picture) == (True, False)
    blob = f"/v2/consumer/blobs/{picture['id']}"
    assert client.get(blob, follow_redirects=True).status_code == 403
    assert client.put_changes(held["id"], allowMatureContent=True).status_code == 200
    free = client.workflow(held["id"])
    assert free["allowMatureContent"] is True
    assert client.get(free["steps"][0]["output"]["images"][0]["url"]).status_code == 301
    assert client.balance == {"blue": 10, "green": 10, "yellow": 7}
    assert free["cost"]["total"] == PRICE


def test_a_release_that_cannot_be_paid_is_refused(play: Play) -> None:
    client = play(balance={"blue": 10, "yellow": 2})
    id = client.submit(marked("mature"), wait=5).json()["id"]
    answer = client.put_changes(id, allowMatureContent=True)
    assert answer.json() == {"errors": {"messages": ["insufficientBuzz"]}}
    assert (answer.status_code, client.balance) == (400, {"blue": 7, "yellow": 2})


def test_an_automatic_upgrade_charges_yellow_at_the_end(play: Play) -> None:
    client = play(balance=BUZZ)
    value = client.submit(marked("mature"), wait=5, upgradeMode="automatic").json()
    assert (value["allowMatureContent"], client.balance["yellow"]) == (True, 7)
    assert "url" in value["steps"][0]["output"]["images"][0]


def test_mature_pictures_are_hidden_in_lists_and_shown_elsewhere(play: Play) -> None:
    client = play()
    value = client.submit(marked("mature"), wait=5, allowMatureContent=True).json()
    assert "url" in value["steps"][0]["output"]["images"][0]
    listed = client.get(WORKFLOWS).json()["items"][0]["steps"][0]["output"]["images"][0]
    assert "url" not in listed
    shown = client.get(WORKFLOWS, params={"hideMatureContent": "false"}).json()["items"][0]
    assert "url" in shown["steps"][0]["output"]["images"][0]
    hidden = client.workflow(value["id"], hideMatureContent="true")
    assert "url" not in hidden["steps"][0]["output"]["images"][0]


# -- lists -----------------------------------------------------------------------------------------
def ids(answer: Any) -> list[str]:
    return [item["id"] for item in answer.json()["items"]]


def test_pages_are_newest_first_and_the_last_has_no_next(play: Play) -> None:
    client = play()
    made = [client.submit(FOX).json()["id"] for _ in range(5)]
    first = client.get(WORKFLOWS, params={"take": 3})
    rest = client.get(WORKFLOWS, params={"take": 3, "cursor": first.json()["next"]})
    assert ids(first) + ids(rest) == made[::-1]
    assert "next" not in rest.json()
    assert ids(client.get(WORKFLOWS, params={"ascending": "true", "take": 5})) == made
    assert client.get(WORKFLOWS, params={"cursor": "?"}).status_code == 400
    assert client.get(WORKFLOWS, params={"take": "0"}).status_code == 400


def test_lists_are_filtered_by_tags_words_dates_and_failure(play: Play) -> None:
    client = play()
    one = client.submit(FOX, tags=["a", "b"], metadata={"note": "Red Fox"}).json()
    client.clock.sleep(10)
    two = client.submit(marked("failed"), tags=["a"]).json()
    client.clock.sleep(10)

    def found(**query: Any) -> list[str]:
        return ids(client.get(WORKFLOWS, params=query))

    assert found(tags=["a", "b"]) == [one["id"]]
    assert found(tags=["a"]) == [two["id"], one["id"]]
    assert found(query="red fox") == found(query="NOTE") == [one["id"]]
    assert found(query="{") == found(query='": "') == []
    assert found(excludeFailed="true") == [one["id"]]
    assert found(fromDate=two["createdAt"]) == [two["id"]]
    assert found(toDate=one["createdAt"]) == [one["id"]]
    assert client.get(WORKFLOWS, params={"fromDate": "soon"}).status_code == 400


# -- changes ---------------------------------------------------------------------------------------
def test_put_sets_tags_and_metadata_and_refuses_the_rest(play: Play) -> None:
    client = play()
    id = client.submit(FOX, metadata={"a": 1}).json()["id"]
    assert client.put_changes(id, tags=["x"], metadata={"b": 2}).status_code == 200
    value = client.workflow(id)
    assert (value["tags"], value["metadata"]) == (["x"], {"b": 2})
    for wrong in ({"status": "succeeded"}, {"name": "x"}, {"tags": "x"}, {"tags": ["x"] * 11}):
        assert client.put_changes(id, **wrong).status_code == 400
    merging = play(switches=Switches(metadata_merges=True))
    id = merging.submit(FOX, metadata={"a": 1}).json()["id"]
    merging.put_changes(id, metadata={"b": 2})
    assert merging.workflow(id)["metadata"] == {"a": 1, "b": 2}


def test_a_json_patch_has_the_effects_of_put(play: Play) -> None:
    client = play()
    id = client.submit(FOX, metadata={"a": 1}, tags=["t"]).json()["id"]
    headers = {"Content-Type": "application/json-patch+json"}

    def patch(*operations: Any) -> int:
        path = f"{WORKFLOWS}/{id}"
        return int(client.patch(path, json=list(operations), headers=headers).status_code)

    assert patch(
        {"op": "test", "path": "/metadata/a", "value": 1},
        {"op": "add", "path": "/metadata/b", "value": [1]},
        {"op": "move", "from": "/metadata/a", "path": "/metadata/c"},
        {"op": "copy", "from": "/metadata/c", "path": "/metadata/b/0"},
        {"op": "add", "path": "/tags/-", "value": "u"},
        {"op": "replace", "path": "/tags/0", "value": "s"},
    ) == 204  # fmt: skip
    value = client.workflow(id)
    assert (value["metadata"], value["tags"]) == ({"b": [1, 1], "c": 1}, ["s", "u"])
    assert patch({"op": "remove", "path": "/metadata/none"}) == 400
    assert patch({"op": "add", "path": "/cost", "value": 0}) == 400
    assert patch({"op": "test", "path": "/metadata/c", "value": 2}) == 400
    assert patch({"op": "replace", "path": "/status", "value": "canceled"}) == 204
    assert client.workflow(id)["status"] == "canceled"


def test_tags_are_added_and_removed_one_by_one(play: Play) -> None:
    client = play()
    id = client.submit(FOX, tags=["a"]).json()["id"]
    path = f"{WORKFLOWS}/{id}/tags"
    assert client.post(path, json="b c").status_code == 204
    assert client.workflow(id)["tags"] == ["a", "b c"]
    assert client.delete(f"{path}/b%20c").status_code == 204
    assert client.workflow(id)["tags"] == ["a"]
    assert client.post(path, json=["b"]).status_code == 400
    assert client.delete(path).status_code == 204
    assert client.workflow(id)["tags"] == []


def test_a_change_after_the_end_refunds_nothing_twice(play: Play) -> None:
    client = play()
    failing = {**FOX, "prompt": "[sandbox:failed]"}
    value = client.submit(FOX, failing, wait=5).json()
    refunds = [t for t in value["transactions"]["list"] if t["type"] == "credit"]
    assert [t["amount"] for t in refunds] == [PRICE]
    balance = client.balance
    assert client.put_changes(value["id"], tags=["late"]).status_code == 200
    assert client.workflow(value["id"])["transactions"] == value["transactions"]
    assert client.balance == balance


def test_a_step_is_read_and_its_metadata_changed(play: Play) -> None:
    client = play()
    id = client.submit(FOX).json()["id"]
    path = f"{WORKFLOWS}/{id}/steps/$0"
    assert client.get(path).json()["name"] == "$0"
    assert client.put(path, json={"metadata": {"a": 1}}).status_code == 204
    operations = [{"op": "add", "path": "/metadata/b", "value": 2}]
    assert client.patch(path, json=operations).status_code == 204
    assert client.get(path).json()["metadata"] == {"a": 1, "b": 2}
    assert client.put(path, json={"name": "x"}).status_code == 400
    assert client.get(f"{WORKFLOWS}/{id}/steps/none").status_code == 404


def test_a_fault_gives_a_workflow_its_fate_and_reason(play: Play) -> None:
    client = play()
    client.sandbox.script(
        Fault("submit", "fate", fate="failed", reason="Overloaded.", prompt="fox")
    )
    spared = client.submit({**FOX, "prompt": "a hare"}, wait=5).json()
    hit = client.submit(FOX, wait=5).json()
    assert (spared["status"], hit["status"]) == ("succeeded", "failed")
    assert hit["steps"][0]["output"]["errors"] == ["Overloaded."]
