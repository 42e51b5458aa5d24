"""One request, answered: retries, their pauses, and the service's errors read into our tree.

A `Flow` is a generator: it yields a request to send, a number of seconds to sleep, or a `Work` to
run, and receives the response or the work's value. A transport error is thrown into it. It does no
I/O itself, so `next`, `send` and `throw` are enough to test it, and two small drivers (client.py)
run it sync and async.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from civitai_skill.api.replies import api_error, retry_after, unsettled_hint
from civitai_skill.config import Secret
from civitai_skill.errors import (
    KEPT,
    Spent,
    TransportFailed,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """Something that blocks (a disk, a decoder); the driver runs it where it does no harm."""

    run: Callable[[], Any]


Step = httpx.Request | float | Work
Flow = Generator[Step, Any, T]

# Connect, read, write and pool timeouts in seconds. A submit was seen to take 4.7 s at the 99th
# percentile, a price request with pictures about 20 s for each (civitai-api facts, 1.4).
CONNECT_TIMEOUT = 15.0
READ_TIMEOUT = 60.0
PRICE_TIMEOUT = 180.0
#: A long-poll is given this much longer than its `wait` to answer.
POLL_MARGIN = 30.0
#: An answer may go on arriving for this much longer than it may be silent.
_BODY_SECONDS = 120.0
#: Seconds by which a try may outlast its caller's deadline: an answer may just be on its way.
_LATE = 3.0
#: Bytes of a JSON answer; a page of 100 workflows is well below it.
MAX_JSON = 64 * 1024 * 1024


def is_transient(status: int) -> bool:
    """Say whether the same request may succeed later: after 408, 429 and every 5xx."""
    return status in (408, 429) or status >= 500


class TooLarge(httpx.TransportError):
    """A body went on past the bytes or the seconds that were allowed."""


@dataclass(frozen=True)
class Retry:
    """When to try again: exponential pauses with jitter, capped, obeying Retry-After.

    `tries` counts the first. Pauses are seconds: `first`, doubled each time, at most `cap`; a
    Retry-After above `patience` is not waited for.
    """

    tries: int = 8
    first: float = 0.5
    cap: float = 15.0
    patience: float = 120.0
    jitter: Callable[[], float] = random.random

    def pause(self, attempt: int, response: httpx.Response | None = None) -> float | None:
        """Seconds until try number `attempt` + 1 (the first is 1); None to give up."""
        if attempt >= self.tries:
            return None
        drawn: float = min(self.cap, self.first * 2 ** (attempt - 1)) * (0.5 + self.jitter() / 2)
        asked = None if response is None else retry_after(response)
        if asked is None:
            return drawn
        return None if asked > self.patience else max(asked, drawn)


@dataclass(frozen=True)
class Service:
    """Where requests go, and the one place that puts the key on them."""

    base_url: str
    key: Secret
    user_agent: str
    retry: Retry = field(default_factory=Retry)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        kind: str = "application/json",
        read: float = READ_TIMEOUT,
        limit: int = MAX_JSON,
    ) -> httpx.Request:
        """A request to the service itself, with the key."""
        headers = {"Authorization": f"Bearer {self.key.reveal()}", "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = kind
        return self._build_request(
            method, self.base_url + path, headers, params, content, read, limit
        )

    def anonymous(self, method: str, url: str, *, read: float, limit: int) -> httpx.Request:
        """A request without the key, to wherever an answer pointed."""
        return self._build_request(method, url, {}, None, None, read, limit)

    def _build_request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        params: Mapping[str, Any] | None,
        content: bytes | None,
        read: float,
        limit: int,
    ) -> httpx.Request:
        timeouts = {"connect": CONNECT_TIMEOUT, "read": read, "write": 60.0, "pool": None}
        return httpx.Request(
            method,
            url,
            params=params,
            content=content,
            # Pictures are compressed already, and what was not asked for can't be a bomb.
            headers={"User-Agent": self.user_agent, "Accept-Encoding": "identity", **headers},
            extensions={
                "timeout": timeouts,
                "limit": limit,
                "seconds": read + _BODY_SECONDS,
            },
        )


def send_with_retry(
    service: Service,
    request: httpx.Request,
    *,
    usable: Callable[[httpx.Response], bool] = lambda response: True,
    give_up_at: float | None = None,
    now: Callable[[], float] = time.monotonic,
    key: str | None = None,
    workflow_id: str | None = None,
    pays: bool = False,
    about: str = "the request",
) -> Flow[httpx.Response]:
    """Send until a usable answer comes.

    The identical request goes out each time. Answers of 4xx other than 408 and 429 end it. Raises
    TransportFailed or ApiError; where `key` names a submit that may have been taken, or one that
    `pays` without a key may have been, `spent` is "unknown". No pause goes past `give_up_at` (of
    `now`); it is raised then, and not before.
    """
    pays = pays or key is not None
    unsure = False
    attempt = 0
    while True:
        attempt += 1
        response: httpx.Response | None = None
        trouble: Exception | None = None
        if give_up_at is not None:
            _shorten_timeouts(request, give_up_at - now())
        try:
            response = yield request
        except httpx.TransportError as error:
            trouble = error
            unsure = unsure or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        if response is not None:
            good = response.is_success or response.is_redirect
            if good and usable(response):
                return response
            if not good and not is_transient(response.status_code):
                raise api_error(
                    response, key=key, spent=_spent_after(pays, unsure, workflow_id),
                    workflow_id=workflow_id,
                )  # fmt: skip
            # Only a 429 says for certain that the request was not taken.
            unsure = unsure or response.status_code != 429
        # What does not end will not end the next time either.
        endless = isinstance(trouble, TooLarge)
        pause = None if endless else service.retry.pause(attempt, response)
        late = pause is not None and give_up_at is not None and now() + pause > give_up_at
        if late and give_up_at is not None:
            yield max(0.0, give_up_at - now())
        if pause is None or late:
            spent = _spent_after(pays, unsure, workflow_id)
            if response is not None and not response.is_success:
                raise api_error(response, key=key, spent=spent, workflow_id=workflow_id)
            raise transport_failed(trouble, about, attempt, spent, key, workflow_id)
        yield pause


def _shorten_timeouts(request: httpx.Request, left: float) -> None:
    """No try goes on much longer than its caller waits."""
    most = max(0.0, left) + _LATE
    timeouts = request.extensions["timeout"]
    for name in ("connect", "read", "write"):
        timeouts[name] = min(timeouts[name], most)
    request.extensions["seconds"] = min(request.extensions["seconds"], most)


def _spent_after(pays: bool, unsure: bool, workflow_id: str | None) -> Spent:
    if workflow_id is not None:
        return "yes"
    return "unknown" if pays and unsure else "no"


def transport_failed(
    trouble: Exception | None,
    about: str,
    tries: int,
    spent: Spent = "no",
    key: str | None = None,
    workflow_id: str | None = None,
) -> TransportFailed:
    """The error for a request that no usable answer came to."""
    what = "the answer was not readable" if trouble is None else _describe_error(trouble)
    times = f"{tries} tries" if tries > 1 else "one try"
    if spent == "unknown":
        hint = unsettled_hint(key)
    elif workflow_id is not None:
        hint = f"{KEPT} Look again with: civitai-skill get {workflow_id} --wait"
    else:
        hint = "Check the connection and the base URL, then try again."
    return TransportFailed(
        f"No usable answer to {about} after {times}: {what}.",
        advice=hint,
        spent=spent,
        key=key,
        workflow_id=workflow_id,
    )


def _describe_error(error: Exception) -> str:
    names = {
        httpx.ConnectTimeout: "connecting took too long",
        httpx.ConnectError: "no connection could be made",
        httpx.ReadTimeout: "the service did not answer in time",
        httpx.ReadError: "the connection broke",
        httpx.WriteError: "the connection broke while sending",
        httpx.RemoteProtocolError: "the service broke off its answer",
        TooLarge: "the answer did not end",
        httpx.UnsupportedProtocol: "the address is not http or https",
        httpx.InvalidURL: "the address is not usable",
    }
    return next((words for kind, words in names.items() if isinstance(error, kind)), "it failed")
