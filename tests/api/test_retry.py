"""One request, answered: stepped with next, send and throw; no network and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from civitai_skill.api.failures import Purpose, api_error
from civitai_skill.api.parse import read_answer, read_reasons, retry_after
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import Retry, Service
from civitai_skill.config import Secret
from civitai_skill.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    NotEnoughBuzz,
    NotFound,
    RateLimited,
    ServerError,
    TransportFailed,
    Unauthorized,
)

SERVICE = Service("https://service.test", Secret("k3y"), "tests", Retry(jitter=lambda: 1.0))


def reply(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | str) else None
    json = None if content is not None else body if body is not None else {}
    return httpx.Response(status, content=content, json=json, headers=headers)


def usable(response: httpx.Response) -> httpx.Response | None:
    return None if read_answer(response) is None else response


def exhausted(
    outcomes: Sequence[httpx.Response | Exception],
    key: str | None = None,
    service: Service = SERVICE,
    **given: Any,
) -> tuple[list[Any], Any]:
    """Run a flow against outcomes; gives the pauses and the answer or the error."""
    request = SERVICE.request("GET", "/x")
    flow = send_with_retry(service, request, Purpose(key=key), read=usable, **given)
    step = next(flow)
    pauses: list[Any] = []
    queue = list(outcomes)
    try:
        while True:
            if isinstance(step, httpx.Request):
                assert step is request
                outcome = queue.pop(0)
                step = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            else:
                pauses.append(step)
                step = flow.send(None)
    except StopIteration as end:
        return pauses, end.value
    except (ApiError, TransportFailed) as error:
        return pauses, error


def test_a_good_answer_ends_it_at_once() -> None:
    answer = reply(200, {"id": "1"})

    assert exhausted([answer]) == ([], answer)


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520, 599])
def test_a_passing_trouble_is_tried_again_after_growing_pauses(status: int) -> None:
    answer = reply()

    assert exhausted([reply(status)] * 7 + [answer]) == ([0.5, 1, 2, 4, 8, 15, 15], answer)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.ReadError("x"),
        httpx.ReadTimeout("x"),
        httpx.RemoteProtocolError("x"),
    ],
)
def test_a_broken_connection_is_tried_again(error: Exception) -> None:
    answer = reply()

    assert exhausted([error, answer]) == ([0.5], answer)


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (401, Unauthorized),
                                              (403, Forbidden), (404, NotFound)])  # fmt: skip
def test_a_refusal_is_never_tried_again(status: int, kind: type[ApiError]) -> None:
    pauses, error = exhausted([reply(status)])

    assert (pauses, type(error)) == ([], kind)


@pytest.mark.parametrize("body", ["", "<!DOCTYPE html><html>", '"text"', "[1]", "{"])
def test_an_answer_that_is_no_object_is_tried_again(body: str) -> None:
    answer = reply()

    assert exhausted([reply(200, body), answer]) == ([0.5], answer)


def test_a_longer_retry_after_is_obeyed_and_a_shorter_one_does_not_hurry() -> None:
    answer = reply()
    slow, quick = reply(429, **{"retry-after": "7"}), reply(429, **{"retry-after": "0"})

    assert exhausted([slow, quick, answer]) == ([7, 1], answer)


def test_an_endless_retry_after_is_not_waited_for() -> None:
    pauses, error = exhausted([reply(429, **{"retry-after": "86400"})])

    assert (pauses, type(error)) == ([], RateLimited)


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
    date = reply(429, **{"retry-after": "Sun, 01 Nov 2026 12:00:30 GMT"})
    past = reply(429, **{"retry-after": "Sun, 01 Nov 2026 11:00:30 GMT"})

    assert retry_after(date, now) == 30
    assert retry_after(past, now) == 0
    assert retry_after(reply(429, **{"retry-after": "2.5"})) == 2.5
    assert retry_after(reply(429, **{"retry-after": "soon"})) is None
    assert retry_after(reply(429)) is None


def test_a_submit_whose_reply_was_lost_ends_as_unknown_with_its_key() -> None:
    _, error = exhausted([httpx.ReadError("x")] * 8, key="cs-1")

    assert isinstance(error, TransportFailed)
    assert (error.spent, error.key, "cs-1" in error.hint) == ("unknown", "cs-1", True)


def test_a_submit_that_never_connected_has_spent_nothing() -> None:
    _, error = exhausted([httpx.ConnectError("x")] * 8, key="cs-1")

    assert (type(error), error.spent) == (TransportFailed, "no")


@pytest.mark.parametrize(
    ("answer", "spent"),
    [(reply(429), "no")]
    + [(reply(status), "unknown") for status in (408, 500, 501, 502, 503, 504, 520, 599)]
    + [(reply(200, "no object"), "unknown")],
    ids=lambda value: str(getattr(value, "status_code", value)),
)
def test_only_a_429_says_that_a_submit_was_not_taken(answer: httpx.Response, spent: str) -> None:
    _, error = exhausted([answer] * 8, key="cs-1")

    assert error.spent == spent


def test_a_refusal_after_a_lost_reply_is_still_unknown() -> None:
    _, error = exhausted([httpx.ReadError("x"), reply(401)], key="cs-1")

    assert (type(error), error.spent, error.key) == (Unauthorized, "unknown", "cs-1")


def test_a_service_that_keeps_failing_is_told_as_its_own_trouble() -> None:
    _, error = exhausted([reply(503)] * 8)

    assert (type(error), error.status, error.exit_code) == (ServerError, 503, 7)


def test_no_pause_goes_past_the_deadline() -> None:
    service = replace(SERVICE, now=lambda: 9.8)
    pauses, error = exhausted([reply(500)], service=service, give_up_at=10.0)

    assert (pauses, type(error)) == ([pytest.approx(0.2)], ServerError)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"errors": {"messages": ["insufficientBuzz"]}}),
        (403, '"Insufficient Buzz"'),
        (403, {"error": "Insufficient Buzz"}),
        (402, {"title": "You do not have enough funds"}),
    ],
)
def test_lack_of_buzz_is_known_by_its_words_in_every_disputed_form(status: int, body: Any) -> None:
    assert isinstance(api_error(reply(status, body)), NotEnoughBuzz)


def test_another_403_is_not_called_lack_of_buzz() -> None:
    error = api_error(reply(403, '"not allowed to use this resource"'))

    assert type(error) is Forbidden
    assert "not allowed to use this resource" in error.message


def test_the_service_s_own_words_are_found_in_every_error_form() -> None:
    business = {"errors": {"messages": ["Prompt blocked as it may violate TOS"]}}
    binding = {"title": "One or more", "errors": {"steps[0].input.width": ["too large"]}}

    assert read_reasons(business) == ["Prompt blocked as it may violate TOS"]
    assert read_reasons(binding) == ["steps[0].input.width: too large"]
    assert read_reasons("plain text") == ["plain text"]
    assert read_reasons({"title": "Not Found"}) == ["Not Found"]
    assert read_reasons({"errors": None, "detail": 3}) == []
    assert read_reasons(None) == []


def test_a_blocked_prompt_is_told_not_to_be_sent_again() -> None:
    body = {"errors": {"messages": ["Prompt blocked as it may violate TOS"]}}

    assert "Change the prompt" in api_error(reply(400, body)).hint


def test_foreign_words_can_t_move_the_terminal_or_run_on() -> None:
    body = {"errors": {"messages": ["\x1b[31mred\x1b[0m" + "x" * 5000]}}
    error = api_error(reply(400, body))

    assert "\x1b" not in error.message
    assert len(error.message) < 600


def test_the_key_is_on_requests_to_the_service_and_on_no_other() -> None:
    own = SERVICE.request("GET", "/x")
    addresses = ["https://elsewhere.test/x", "https://service.test/x"]  # wherever one came from
    others = [SERVICE.request("GET", address, read=1, limit=1) for address in addresses]

    assert own.headers["authorization"] == "Bearer k3y"
    assert not any("authorization" in other.headers for other in others)
    assert "k3y" not in repr(SERVICE)
