"""Steps of the sandbox: what they share, what they need, how long they may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitai_skill.sandbox import Switches

WORKFLOWS = "/v2/consumer/workflows"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512,
}  # fmt: skip
SEEDED = {**FOX, "seed": 7}
PRICE = 3
Play = Callable[..., Any]


def picture(value: Any) -> Any:
    return value["steps"][0]["output"]["images"][0]


def upscale(source: Any) -> dict[str, Any]:
    return {"$type": "imageUpscaler", "input": {"image": source}}


def of_step(place: int = 0) -> dict[str, str]:
    return {"$ref": "$0", "path": f"output.images[{place}].url"}


# -- shared outputs --------------------------------------------------------------------------------
@pytest.mark.parametrize("deleted", [False, True])
def test_what_was_canceled_is_not_reused(play: Play, deleted: bool) -> None:
    client = play(seconds_per_job=10)
    first = client.submit(SEEDED).json()["id"]
    if deleted:
        client.delete(f"{WORKFLOWS}/{first}")
    else:
        client.put_changes(first, status="canceled")
    client.clock.sleep(20)
    drawn = client.submit(SEEDED, wait=20).json()
    assert (drawn["status"], drawn["cost"]["total"]) == ("succeeded", PRICE)
    again = client.submit(SEEDED, wait=20).json()
    assert (again["status"], again["cost"]["total"]) == ("succeeded", 0)
    assert picture(again)["id"] == picture(drawn)["id"]
    assert client.get(picture(again)["url"], follow_redirects=True).status_code == 200


def test_the_first_of_two_that_delivers_is_reused(play: Play) -> None:
    client = play(seconds_per_job=10)
    first, second = (client.submit(SEEDED).json() for _ in range(2))
    client.put_changes(first["id"], status="canceled")
    client.clock.sleep(20)
    third = client.submit(SEEDED).json()
    assert (third["status"], third["cost"]["total"]) == ("succeeded", 0)
    assert picture(third)["id"] == picture(second)["id"]


def test_what_failed_or_expired_is_not_reused(play: Play) -> None:
    client = play(seconds_per_job=10)
    late = {"$type": "imageGen", "input": SEEDED, "timeout": "00:00:05"}
    assert client.submit(late, wait=20).json()["status"] == "expired"
    done = client.submit(SEEDED, wait=20).json()
    assert (done["status"], done["cost"]["total"]) == ("succeeded", PRICE)
    assert client.submit(late, wait=20).json()["cost"]["total"] == 0  # there is nothing to wait for


# -- time-outs -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("timeout", "seconds"), [("00:00:05", 5), ("00:00:00.5", 0.5), ("00:00:00", 0)]
)
def test_a_step_that_takes_longer_than_its_timeout_expires_then(
    play: Play, timeout: str, seconds: float
) -> None:
    client = play(seconds_per_job=100)
    step = {"$type": "imageGen", "input": {**FOX, "prompt": "[sandbox:failed]"}, "timeout": timeout}
    id = client.submit(step, upscale(of_step())).json()["id"]
    if seconds > 1:
        client.clock.sleep(seconds - 0.1)
        running = client.workflow(id)
        assert running["status"] == "unassigned"
        assert running["steps"][0]["timeout"] == timeout
    client.clock.sleep(0.2 if seconds > 1 else seconds + 0.001)
    value = client.workflow(id)
    assert [s["status"] for s in value["steps"]] == ["expired", "canceled"]
    assert [t["type"] for t in value["transactions"]["list"]] == ["debit", "credit"]
    assert client.balance["blue"] == 10_000


def test_twenty_minutes_are_the_timeout_where_none_is_given(play: Play) -> None:
    client = play()
    slow = {**FOX, "prompt": f"[sandbox:slow={'9' * 400}]"}
    id = client.submit(slow).json()["id"]
    client.clock.sleep(1199)
    assert client.workflow(id)["status"] == "unassigned"
    client.clock.sleep(2)
    assert client.workflow(id)["status"] == "expired"


@pytest.mark.parametrize("timeout", ["99999999.00:00:00", "9" * 5000 + ".00:00:00", "soon", "٣"])
def test_a_strange_timeout_breaks_nothing(play: Play, timeout: str) -> None:
    stuck = {"$type": "imageGen", "input": {**FOX, "prompt": "[sandbox:stuck]"}, "timeout": timeout}
    assert play().submit(stuck, wait=60).json()["status"] == "processing"


# -- sources ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mark", "place", "ends"),
    [("blocked", 0, "failed"), ("partial", 1, "failed"), ("partial", 0, "succeeded")],
)
def test_a_step_that_needs_a_picture_that_did_not_come_fails(
    play: Play, mark: str, place: int, ends: str
) -> None:
    client = play(switches=Switches(answers="both"))
    source = {**FOX, "prompt": f"[sandbox:{mark}]", "quantity": 2}
    value = client.submit(source, upscale(of_step(place)), wait=5).json()
    first, second = value["steps"]
    assert (first["status"], second["status"]) == ("succeeded", ends)
    blob = second["output"]["blob"]
    assert blob["available"] is (ends == "succeeded")
    if ends == "failed":
        reason = "A picture that this step needs was not delivered."
        assert second["metadata"] == {"error": reason}
        assert client.get(blob["url"]).status_code == 404
        assert value["transactions"]["list"][-1] == {
            "type": "credit", "amount": second["jobs"][0]["cost"], "accountType": "blue",
            "id": f"{value['id']}-credit",
        }  # fmt: skip


def test_a_variant_says_why_it_lacks_its_source(play: Play) -> None:
    variant = {"engine": "sdcpp", "ecosystem": "sdxl", "operation": "createVariant",
               "model": "urn:air:sdxl:checkpoint:civitai:101055@128078", "prompt": "a fox",
               "strength": 0.5, "image": of_step()}  # fmt: skip
    value = play().submit({**FOX, "prompt": "[sandbox:blocked]"}, variant, wait=5).json()
    assert value["steps"][1]["output"]["errors"] == [
        "A picture that this step needs was not delivered."
    ]


def test_an_address_of_a_picture_that_is_not_there_fails_the_step(play: Play) -> None:
    client = play()
    blocked = client.submit({**FOX, "prompt": "[sandbox:blocked]"}, wait=5).json()
    there = client.submit(FOX, wait=5).json()
    for value, ends in ((blocked, "failed"), (there, "succeeded")):
        answer = client.submit(upscale(picture(value)["url"]), wait=5).json()
        assert answer["status"] == ends


def test_metadata_that_looks_like_a_missing_picture_is_none(play: Play) -> None:
    prompt = {"$ref": "$arguments", "path": "picture.words"}
    arguments = {"picture": {"available": False, "words": "a fox"}}
    value = play().submit({**FOX, "prompt": prompt}, wait=5, arguments=arguments).json()
    assert value["status"] == "succeeded"
