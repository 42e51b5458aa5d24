"""One request, answered: retries, their pauses, and the service's errors read into our tree.

A `Flow` is a generator: it yields a request to send, a number of seconds to sleep, or a `Work` to
run, and receives the response or the work's value. A transport error is thrown into it. It does no
I/O itself, so `next`, `send` and `throw` are enough to test it, and two small drivers (client.py)
run it sync and async.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from civitai_skill.config import Secret
from civitai_skill.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    NotEnoughBuzz,
    NotFound,
    RateLimited,
    ServerError,
    Spent,
    TransportFailed,
    Unauthorized,
    shown,
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
#: Bytes of a JSON answer; a page of 100 workflows is well below it.
MAX_JSON = 64 * 1024 * 1024

RETRIED = frozenset({408, 429, 500, 502, 503, 504})


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
        return self._made(method, self.base_url + path, headers, params, content, read, limit)

    def anonymous(self, method: str, url: str, *, read: float, limit: int) -> httpx.Request:
        """A request without the key, to wherever an answer pointed."""
        return self._made(method, url, {}, None, None, read, limit)

    def _made(
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
            headers={"User-Agent": self.user_agent, **headers},
            extensions={"timeout": timeouts, "limit": limit, "seconds": read + 120.0},
        )


def answered(
    service: Service,
    request: httpx.Request,
    *,
    usable: Callable[[httpx.Response], bool] = lambda response: True,
    give_up_at: float | None = None,
    now: Callable[[], float] = time.monotonic,
    key: str | None = None,
    workflow_id: str | None = None,
    about: str = "the request",
) -> Flow[httpx.Response]:
    """Send until a usable answer comes.

    The identical request goes out each time. Answers of 4xx other than 408 and 429 end it. Raises
    TransportFailed or ApiError; where `key` names a submit that may have been taken, `spent` is
    "unknown". No pause goes past `give_up_at` (of `now`).
    """
    unsure = False
    attempt = 0
    while True:
        attempt += 1
        response: httpx.Response | None = None
        trouble: Exception | None = None
        try:
            response = yield request
        except httpx.TransportError as error:
            trouble = error
            unsure = unsure or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        if response is not None:
            good = response.is_success or response.is_redirect
            if good and usable(response):
                return response
            if good or response.status_code >= 500 or response.status_code == 408:
                unsure = True
            elif response.status_code not in RETRIED:
                raise api_error(response, key=key, spent=_fate(key, unsure, workflow_id))
        pause = service.retry.pause(attempt, response)
        if pause is None or (give_up_at is not None and now() + pause > give_up_at):
            spent = _fate(key, unsure, workflow_id)
            if response is not None and not response.is_success:
                raise api_error(response, key=key, spent=spent)
            raise failed(trouble, about, attempt, spent, key, workflow_id)
        yield pause


def _fate(key: str | None, unsure: bool, workflow_id: str | None) -> Spent:
    if workflow_id is not None:
        return "yes"
    return "unknown" if key is not None and unsure else "no"


def failed(
    trouble: Exception | None,
    about: str,
    tries: int,
    spent: Spent = "no",
    key: str | None = None,
    workflow_id: str | None = None,
) -> TransportFailed:
    """The error for a request that no usable answer came to."""
    what = "the answer was not readable" if trouble is None else _in_words(trouble)
    times = f"{tries} tries" if tries > 1 else "one try"
    if spent == "unknown":
        hint = (
            f"The service may have taken it. Its key is {key}: the same body sent again with this "
            "key can't pay twice (client.settle does that)."
        )
    elif workflow_id is not None:
        hint = f"The work goes on. Look again with: civitai-skill get {workflow_id} --wait"
    else:
        hint = "Check the connection and the base URL, then try again."
    return TransportFailed(
        f"No usable answer to {about} after {times}: {what}.",
        hint=hint,
        spent=spent,
        key=key,
        workflow_id=workflow_id,
    )


def _in_words(error: Exception) -> str:
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


# -- reading answers -------------------------------------------------------------------
def is_object(response: httpx.Response) -> bool:
    """Is the body a JSON object?"""
    return isinstance(json_of(response), dict)


def json_of(response: httpx.Response) -> Any:
    """The body as JSON, or None when it is not JSON."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def retry_after(response: httpx.Response, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header, given as seconds or as a date; None without one."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), 1e9)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


_NO_BUZZ = re.compile(r"insufficient\s*buzz|enough\s+(funds|buzz)", re.IGNORECASE)


def api_error(response: httpx.Response, *, key: str | None = None, spent: Spent = "no") -> ApiError:
    """An answer of 4xx or 5xx as the error it means.

    The status for lack of Buzz is disputed between sources (400, 402, 403), so the words count.
    """
    status = response.status_code
    body = json_of(response)
    reasons = tuple(shown_reason(text) for text in reasons_of(body))
    trace = body.get("traceId") if isinstance(body, dict) else None
    said = "; ".join(reasons)
    every = f"{said} {response.content[:2000]!r}"
    kind: type[ApiError]
    if status in (400, 402, 403) and _NO_BUZZ.search(every):
        kind, message = NotEnoughBuzz, "The account has not enough Buzz for this."
        hint = (
            "Buy Buzz, or lower the price (draft quality, fewer pictures). Mature content is paid "
            "in yellow Buzz only, whatever the blue balance is."
        )
    elif status == 401:
        kind, message = Unauthorized, "The service does not accept this key."
        hint = "Make a new key on civitai.com (account settings, API keys) and set CIVITAI_API_KEY."
    elif status == 403:
        kind, message = Forbidden, f"The key may not do this{_colon(said)}."
        hint = "Check the key's scopes (AI services read and write) and the content settings."
    elif status == 404:
        kind, message = NotFound, f"The service knows no such thing for this key{_colon(said)}."
        hint = "Check the id; workflows are kept for 30 days, and only their owner sees them."
    elif status == 429:
        kind, message = RateLimited, "The service asks for fewer requests."
        hint = "Try again in a minute, with fewer at once."
    elif status >= 500:
        kind, message = ServerError, f"The service failed with status {status}{_colon(said)}."
        hint = "This is the service's own trouble; try again later."
    else:
        kind = BadRequest
        message = f"The service refused the request (status {status}){_colon(said)}."
        hint = _refusal_hint(said)
    if spent == "unknown":
        hint += f" An earlier try may have been taken; its key is {key} (client.settle)."
    return kind(
        message,
        status=status,
        reasons=reasons,
        trace_id=trace if isinstance(trace, str) else None,
        hint=hint,
        spent=spent,
        key=key,
    )


def _refusal_hint(said: str) -> str:
    lowered = said.lower()
    if "tos" in lowered.split() or "blocked" in lowered:
        return "Change the prompt; sending a blocked one again counts against the account."
    if "mature" in lowered:
        return "Allow mature content (it is paid in yellow Buzz), or change the prompt."
    if "not enabled for generation" in lowered:
        return "Choose another model or LoRA; this one can't be used for generation."
    return "Change what it names and try again."


def reasons_of(body: Any) -> list[str]:
    """The service's own words from any of its error forms."""
    if isinstance(body, str):
        return [body] if body.strip() else []
    if not isinstance(body, dict):
        return []
    found: list[str] = []
    errors = body.get("errors")
    if isinstance(errors, dict):
        for field_name, texts in errors.items():
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str):
                    found.append(text if field_name == "messages" else f"{field_name}: {text}")
    elif isinstance(errors, list):
        found += [text for text in errors if isinstance(text, str)]
    for name in ("detail", "error", "message"):
        if isinstance(body.get(name), str):
            found.append(body[name])
    if not found and isinstance(body.get("title"), str):
        found.append(body["title"])
    return list(dict.fromkeys(found))


def shown_reason(text: str) -> str:
    """A foreign text as it may stand in a message: one line, printable, not endless."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return shown(" ".join(flat.split()), 300)[1:-1]


def _colon(said: str) -> str:
    return f": {said}" if said else ""
