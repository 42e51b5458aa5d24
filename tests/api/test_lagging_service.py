"""A service that lags, or answers what nobody documents: it is believed late."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import Civitai
from civitai_skill.api import workflows
from civitai_skill.api.changes import cancel
from civitai_skill.api.failures import REFUSALS
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Retry, Service
from civitai_skill.api.wait import LAG, wait
from civitai_skill.config import Secret
from civitai_skill.errors import (
    ApiError,
    CivitaiError,
    NotEnoughBuzz,
    NotFound,
    StillRunning,
    TransportFailed,
)
from civitai_skill.errors.next_steps import Look
from civitai_skill.sandbox import Fault, Sandbox
from tests.api.test_workflows import World

SERVICE = Service("https://service.test", Secret("k"), "tests", Retry(jitter=lambda: 1.0))
ID = "7-20260101120000000"


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch, a_service_that_does_not_lag: None) -> None:
    monkeypatch.setattr("civitai_skill.api.wait.LAG", LAG)


def body(status: str = "succeeded", *images: dict[str, Any], **more: Any) -> dict[str, Any]:
    step = {"$type": "imageGen", "input": {"prompt": "a fox", "quantity": 1},
            "output": {"images": list(images)}}  # fmt: skip
    return {"id": ID, "status": status, "steps": [step], **more}


def image(**more: Any) -> dict[str, Any]:
    return {"id": "b.jpeg", "available": True, "url": "https://service.test/b.jpeg", **more}


def reply(json: Any = None, status: int = 200, **more: Any) -> httpx.Response:
    return httpx.Response(status, json=json, **more)


# -- what certainly means refusal ------------------------------------------------------------------
SENT = workflows.encode_body({"steps": [{"input": {"prompt": "a fox"}}], "externalId": "cs-1"})


@pytest.mark.parametrize("status", [402, 406, 407, 408, 409, 410, 412, 418, 421, 423, 424, 425, 428,
                                    431, 451, 499, 500, 501, 302, 304])  # fmt: skip
def test_what_does_not_certainly_mean_refusal_is_sent_again_with_the_same_key(status: int) -> None:
    answers = [reply({}, status), reply({}, status), reply(body("unassigned"))]
    world = World(lambda request, world: answers.pop(0))
    assert world.run(workflows.submit(SERVICE, SENT, "cs-1")).id == ID
    assert [r.content for r in world.requests] == [SENT] * 3


@pytest.mark.parametrize("status", [402, 409, 418, 421, 425, 451, 499])
def test_where_it_stays_so_it_is_not_known_whether_buzz_was_spent(status: int) -> None:
    world = World(lambda request, world: reply({"detail": "odd"}, status))
    with pytest.raises(ApiError) as caught:
        world.run(workflows.submit(SERVICE, SENT, "cs-1"))
    assert (caught.value.spent, caught.value.key, caught.value.exit_code) == ("unknown", "cs-1", 7)
    assert f"answered the submit with status {status}: odd" in caught.value.message
    assert len(world.requests) == 8


@pytest.mark.parametrize("status", sorted(set(REFUSALS) - {429}))
def test_a_refusal_is_believed_at_once(status: int) -> None:
    world = World(lambda request, world: reply({}, status))
    with pytest.raises(ApiError) as caught:
        world.run(workflows.submit(SERVICE, SENT, "cs-1"))
    assert (caught.value.spent, len(world.requests)) == ("no", 1)


def test_lack_of_buzz_is_a_refusal_whatever_its_status() -> None:
    world = World(lambda request, world: reply({"detail": "Insufficient Buzz"}, 402))
    with pytest.raises(NotEnoughBuzz) as caught:
        world.run(workflows.submit(SERVICE, SENT, "cs-1"))
    assert (caught.value.spent, len(world.requests)) == ("no", 1)


def test_a_purchase_answered_with_an_odd_status_is_bought_once(tmp_path: Path) -> None:
    made: dict[str, str] = {}
    odd = [409, 421, 402]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            key = json.loads(request.content).get("externalId")
            if key is None:
                return reply({"cost": {"total": 3}})
            made.setdefault(key, ID)  # taken, whatever is said about it
            return reply({}, odd.pop()) if odd else reply(body("processing", externalId=f"7-{key}"))
        return reply(body("succeeded", image(available=False, blockedReason="x")))

    retry = Retry(tries=2, first=0, cap=0)
    for _ in range(2):
        with (
            Civitai(
                "k", home=tmp_path, retry=retry, transport=httpx.MockTransport(answer)
            ) as buyer,
            pytest.raises(CivitaiError),
        ):
            buyer.generate("a fox", out=tmp_path)
    assert (len(made), odd) == (1, [])


# -- an answer about another workflow --------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "ours"),
    [
        ({"externalId": "7-cs-1", "prompt": "rewritten"}, True),
        ({"externalId": "someone-else", "prompt": "A  FOX"}, True),
        ({"externalId": "someone-else", "prompt": "OLD: a red car"}, False),
        ({"externalId": "someone-else", "prompt": None}, False),
        ({"externalId": None, "prompt": "OLD: a red car"}, False),
        ({"externalId": None, "prompt": None}, True),
    ],
)
def test_the_answer_to_a_submit_is_compared_with_what_was_sent(
    told: dict[str, Any], ours: bool
) -> None:
    answer = {"id": ID, "status": "unassigned", "externalId": told["externalId"],
              "steps": [{"$type": "imageGen", "input": {"prompt": told["prompt"]}}]}  # fmt: skip
    world = World(lambda request, world: reply(answer))
    if ours:
        assert world.run(workflows.submit(SERVICE, SENT, "cs-1")).id == ID
        return
    with pytest.raises(TransportFailed, match=f"another workflow, {ID}") as caught:
        world.run(workflows.submit(SERVICE, SENT, "cs-1"))
    assert (caught.value.spent, caught.value.key) == ("unknown", "cs-1")


# -- one that was just bought ----------------------------------------------------------------------
def bought(world: World, timeout: float, **more: Any) -> Workflow:
    start = Workflow(ID, "unassigned")
    found = world.run(wait(world.service, start, timeout=timeout, just_bought=True, **more))
    assert isinstance(found, Workflow)
    return found


def after(seconds: float, first: httpx.Response, then: httpx.Response) -> Callable[..., Any]:
    def answer(request: httpx.Request, world: World) -> httpx.Response:
        return first if world.time < seconds else then

    return answer


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_workflow_that_was_just_bought_is_looked_for_whatever_is_answered(status: int) -> None:
    world = World(after(2.0, reply({}, status), reply(body("succeeded", image()))))
    assert bought(world, 60).status == "succeeded"
    assert world.time < 6


@pytest.mark.parametrize("status", [401, 404, 503])
def test_at_its_deadline_it_is_running_and_paid_and_the_last_answer_is_told(status: int) -> None:
    world = World(lambda request, world: reply({"detail": "odd"}, status))
    with pytest.raises(StillRunning, match="The last look failed") as caught:
        bought(world, 300)
    assert world.time == pytest.approx(300, abs=30)
    assert (caught.value.spent, caught.value.next) == ("yes", (Look(ID),))
    assert len(world.requests) < 120


def test_one_that_was_bought_long_ago_is_not_looked_for() -> None:
    world = World(lambda request, world: reply({}, 404))
    with pytest.raises(NotFound):
        world.run(wait(world.service, ID, timeout=60))


@pytest.mark.parametrize(
    "late",
    [
        body("succeeded", image(available=False)),
        body("succeeded", image(url=None)),
        body("succeeded"),
        {"id": ID, "status": "succeeded", "steps": [{"$type": "imageGen", "input": {}}]},
        {"id": ID, "status": "succeeded"},
    ],
    ids=["unavailable", "no url", "no images", "no output", "no steps"],
)
def test_pictures_that_are_not_there_yet_are_waited_for(late: dict[str, Any]) -> None:
    there = body("succeeded", image())
    world = World(after(3.0, reply(late), reply(there)))
    assert bought(world, 60, wanted=1).images[0].deliverable
    assert world.time < 8


def test_fewer_pictures_than_wanted_are_waited_for() -> None:
    world = World(
        after(3.0, reply(body("succeeded", image())), reply(body("succeeded", image(), image())))
    )
    assert len(bought(world, 60, wanted=2).images) == 2


@pytest.mark.parametrize(
    "ended",
    [
        body("succeeded", image()),
        body("failed", image(available=False)),
        body("canceled"),
        body("succeeded", image(available=False, blockedReason="x")),
        body("succeeded", image(url=None, nsfwLevel="x")),
    ],
    ids=["there", "failed", "canceled", "blocked", "mature"],
)
def test_what_is_known_for_good_is_not_waited_for(ended: dict[str, Any]) -> None:
    world = World(lambda request, world: reply(ended))
    bought(world, 60)
    assert (world.time, len(world.requests)) == (0, 1)


def test_pictures_that_never_come_are_not_waited_for_until_the_deadline() -> None:
    world = World(lambda request, world: reply(body("succeeded", image(available=False))))
    assert not bought(world, 1200).images[0].deliverable
    assert 10 < world.time <= 20


# -- a change is done when a look shows it ---------------------------------------------------------
RUNNING, CANCELED = body("processing"), body("canceled")
PORTAL = {"status": 302, "headers": {"location": "https://portal.test/"}}
PAGE = {"status": 200, "text": "<html>Sign in</html>"}


def canceling(put: Any, shown: Callable[[World], bool]) -> World:
    def answer(request: httpx.Request, world: World) -> httpx.Response:
        if request.method == "PUT":
            if "text" in put:
                return httpx.Response(put["status"], text=put["text"])
            return httpx.Response(put["status"], headers=put.get("headers"))
        return reply(CANCELED if shown(world) else RUNNING)

    return World(answer)


@pytest.mark.parametrize("put", [PORTAL, PAGE], ids=["302", "a page"])
def test_a_sign_in_page_cancels_nothing(put: Any) -> None:
    world = canceling(put, lambda world: False)
    with pytest.raises(TransportFailed) as caught:
        world.run(cancel(world.service, ID))
    assert caught.value.next == (Look(ID),)


def test_a_cancel_that_shows_late_is_done_then() -> None:
    world = canceling({"status": 204}, lambda world: world.time > 3)
    canceled = world.run(cancel(world.service, ID))
    assert (canceled.workflow.status, canceled.was_done) == ("canceled", False)


def test_a_cancel_after_which_nothing_changes_is_not_done() -> None:
    world = canceling({"status": 204}, lambda world: False)
    with pytest.raises(StillRunning, match="does not show it") as caught:
        world.run(cancel(world.service, ID))
    assert (caught.value.spent, caught.value.next) == ("unknown", (Look(ID),))
    assert world.time <= 20


@pytest.mark.parametrize("put", [{"status": 409}, {"status": 400}, PORTAL, {"status": 500}])
def test_a_cancel_that_is_shown_is_done_whatever_was_answered(put: Any) -> None:
    sent: list[str] = []

    def shown(world: World) -> bool:
        sent.extend(r.method for r in world.requests)
        return "PUT" in sent

    world = canceling(put, shown)
    assert world.run(cancel(world.service, ID)).workflow.status == "canceled"


# -- by the client's own methods -------------------------------------------------------------------
@pytest.mark.parametrize("keeps", [True, False], ids=["ledger", "no ledger"])
@pytest.mark.parametrize("status", [404, 401, 410])
def test_what_a_client_bought_is_looked_for_by_wait_get_and_download(
    tmp_path: Path, keeps: bool, status: int
) -> None:
    box = Sandbox(seconds_per_job=0.05)
    retry = Retry(first=0.01, cap=0.05)
    ledger = tmp_path / "ledger.sqlite3" if keeps else False
    with Civitai(sandbox=box, home=tmp_path, retry=retry, ledger=ledger) as client:
        bought = client.submit("a fox")
        for look in (client.get, client.wait, partial(client.download, out=tmp_path)):
            box.script(Fault("get", "status", status=status, times=2))
            assert look(bought.id or "").id == bought.id
        box.script(Fault("get", "status", status=404, times=1))
        with pytest.raises(NotFound):
            client.get("7-20260101120000000")
