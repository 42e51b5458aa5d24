"""Waiting, submitting and canceling, decided without I/O: a clock that only moves when told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from civitai_skill.api import workflows
from civitai_skill.api.changes import cancel
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Retry, Service
from civitai_skill.api.wait import wait
from civitai_skill.config import Secret
from civitai_skill.errors import StillRunning, TransportFailed
from civitai_skill.errors.next_steps import Look

SERVICE = Service("https://service.test", Secret("k"), "tests", Retry(jitter=lambda: 1.0))


class World:
    """A clock, and a service that answers as told; sleeping moves the clock."""

    def __init__(self, answer: Callable[[httpx.Request, World], httpx.Response]) -> None:
        self.time = 0.0
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    @property
    def service(self) -> Service:
        """With this clock."""
        return replace(SERVICE, now=lambda: self.time)

    def run(self, flow: Flow[Any]) -> Any:
        try:
            step: Any = next(flow)
            while True:
                if isinstance(step, httpx.Request):
                    self.requests.append(step)
                    assert len(self.requests) < 500
                    try:
                        answer = self.answer(step, self)
                    except httpx.TransportError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(answer)
                else:
                    self.pauses.append(step)
                    self.time += step
                    step = flow.send(None)
        except StopIteration as end:
            return end.value


def running(status: str = "processing") -> httpx.Response:
    return httpx.Response(202, json={"id": "1-2", "status": status})


def done() -> httpx.Response:
    return httpx.Response(200, json={"id": "1-2", "status": "succeeded"})


def job(seconds: float, *, holds: bool) -> Callable[[httpx.Request, World], httpx.Response]:
    """A job that ends after so many seconds, on a service that does or does not hold an answer."""

    def answer(request: httpx.Request, world: World) -> httpx.Response:
        wait = float(request.url.params.get("wait", 0))
        if holds:
            world.time = max(world.time, min(world.time + wait, seconds))
        return done() if world.time >= seconds else running()

    return answer


def waited(world: World, timeout: float, tell: Any = None) -> Workflow:
    start = Workflow("1-2", "unassigned")
    found = world.run(wait(world.service, start, timeout=timeout, tell=tell))
    assert isinstance(found, Workflow)
    return found


def test_a_long_poll_notices_the_end_without_delay_and_without_a_pause() -> None:
    world = World(job(130.0, holds=True))

    assert waited(world, 1200).status == "succeeded"
    assert (world.time, len(world.requests), world.pauses) == (130.0, 3, [])


def test_a_service_that_ignores_wait_is_not_flooded() -> None:
    world = World(job(100.0, holds=False))

    assert waited(world, 1200).status == "succeeded"
    assert world.pauses[:3] == [1.0, 1.0, 1.0]
    assert max(world.pauses) == 30.0
    assert len(world.requests) < 15


def test_each_long_poll_is_read_longer_than_it_waits_and_never_above_ninety() -> None:
    world = World(job(200.0, holds=True))
    waited(world, 1200)

    for request in world.requests:
        asked = float(request.url.params["wait"])
        assert asked <= 90
        assert request.extensions["timeout"]["read"] > asked


def test_at_the_deadline_it_says_still_running_with_the_id_and_the_next_call() -> None:
    world = World(job(10_000.0, holds=True))

    with pytest.raises(StillRunning) as caught:
        waited(world, 45)

    assert world.time == 45
    assert caught.value.workflow_id == "1-2"
    assert caught.value.spent == "yes"
    assert caught.value.next == (Look("1-2"),)


def test_giving_up_waiting_sends_nothing_but_reads() -> None:
    world = World(job(10_000.0, holds=True))

    with pytest.raises(StillRunning):
        waited(world, 45)

    assert {r.method for r in world.requests} == {"GET"}


def test_a_finished_workflow_is_not_asked_for_again() -> None:
    world = World(job(0, holds=True))
    finished = Workflow("1-2", "failed")

    assert world.run(wait(world.service, finished, timeout=9)) is finished
    assert world.requests == []


def test_an_unknown_status_is_waited_on() -> None:
    answers = [running("reticulating"), done()]
    world = World(lambda request, world: answers.pop(0))

    assert waited(world, 1200).status == "succeeded"


def test_an_old_service_that_refuses_the_number_is_asked_without_it() -> None:
    def answer(request: httpx.Request, world: World) -> httpx.Response:
        if "wait" in request.url.params:
            return httpx.Response(400, json={"errors": {"wait": ["not a boolean"]}})
        return done() if world.time > 5 else running()

    world = World(answer)

    assert waited(world, 1200).status == "succeeded"
    assert sum("wait" in r.url.params for r in world.requests) == 1


def test_a_network_that_fails_while_waiting_is_told_with_the_id_and_cancels_nothing() -> None:
    def answer(request: httpx.Request, world: World) -> httpx.Response:
        raise httpx.ReadError("gone")

    world = World(answer)

    with pytest.raises(TransportFailed) as caught:
        waited(world, 1200)

    assert (caught.value.workflow_id, caught.value.spent) == ("1-2", "yes")
    assert {r.method for r in world.requests} == {"GET"}


def test_progress_is_told_while_somebody_watches() -> None:
    told: list[str] = []
    world = World(job(25.0, holds=True))
    waited(world, 1200, tell=lambda event: told.append(event.status))

    assert told == ["unassigned", "processing", "processing"]


def test_a_retried_submit_sends_the_identical_bytes() -> None:
    outcomes: list[Any] = [httpx.ReadError("lost"), httpx.Response(502), running("unassigned")]

    def answer(request: httpx.Request, world: World) -> httpx.Response:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    world = World(answer)
    content = workflows.encode_body({"steps": [{"$type": "imageGen"}], "externalId": "cs-1"})
    workflow = world.run(workflows.submit(SERVICE, content, "cs-1"))

    assert workflow.id == "1-2"
    assert [r.content for r in world.requests] == [content] * 3


def test_a_submit_answer_without_an_id_is_asked_for_again() -> None:
    answers = [httpx.Response(200, json={"status": "unassigned"}), running("unassigned")]
    world = World(lambda request, world: answers.pop(0))

    assert world.run(workflows.submit(SERVICE, b"{}", "cs-1")).id == "1-2"


def test_a_price_request_never_carries_the_key_of_a_submit() -> None:
    answer = {"id": "1-2", "cost": {"total": 7}, "transactions": {"insufficientBuzz": True}}
    world = World(lambda request, world: httpx.Response(200, json=answer))
    quote = world.run(workflows.estimate(SERVICE, {"steps": [], "externalId": "cs-1"}))

    assert json.loads(world.requests[0].content) == {"steps": []}
    assert world.requests[0].url.params["whatif"] == "true"
    assert (quote.total, quote.insufficient_buzz) == (7, True)
    assert not hasattr(quote, "id")


def test_the_list_is_asked_not_to_hide_anything_and_an_absent_next_ends_it() -> None:
    answer = {"items": [{"id": "1-2", "status": "succeeded"}, None, 3]}
    world = World(lambda request, world: httpx.Response(200, json=answer))
    page = world.run(workflows.query(SERVICE, tags=["a", "b"], take=5))

    assert world.requests[0].url.params.get_list("tags") == ["a", "b"]
    assert world.requests[0].url.params["hideMatureContent"] == "false"
    assert ([w.id for w in page.items], page.next) == (["1-2"], None)


def test_a_cancel_says_what_came_back() -> None:
    paid = {"type": "debit", "amount": 8, "accountType": "blue"}
    back = {"type": "credit", "amount": 8, "accountType": "blue"}
    answers = [
        {"id": "1-2", "status": "processing", "transactions": {"list": [paid]}},
        None,
        {"id": "1-2", "status": "canceled", "transactions": {"list": [paid, back]}},
    ]

    def answer(request: httpx.Request, world: World) -> httpx.Response:
        body = answers.pop(0)
        return httpx.Response(204) if body is None else httpx.Response(200, json=body)

    world = World(answer)
    canceled = world.run(cancel(SERVICE, "1-2"))

    assert (canceled.refunded, canceled.was_done) == (8, False)
    assert [(r.method, json.loads(r.content or b"{}")) for r in world.requests] == [
        ("GET", {}),
        ("PUT", {"status": "canceled"}),
        ("GET", {}),
    ]


def test_a_finished_workflow_is_left_as_it_is() -> None:
    world = World(lambda request, world: done())
    canceled = world.run(cancel(SERVICE, "1-2"))

    assert (canceled.was_done, [r.method for r in world.requests]) == (True, ["GET"])


def test_an_id_can_t_leave_its_place_in_the_path() -> None:
    world = World(lambda request, world: done())
    world.run(workflows.get(SERVICE, "../../x?y=1"))

    assert world.requests[0].url.raw_path == b"/v2/consumer/workflows/..%2F..%2Fx%3Fy%3D1"
