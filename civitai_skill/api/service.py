"""Flows, and how a request to the service is built.

A `Flow` is a generator: it yields a request to send, a number of seconds to sleep, a `Work` to run
or flows to run `Together`, and receives the response or the values. A transport error is thrown
into it. It does no I/O itself, so `next`, `send` and `throw` are enough to test it, and two small
drivers (drivers.py) run it sync and async.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from civitai_skill.api.parse import retry_after
from civitai_skill.config import SITE_URL, Secret

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """Something that blocks (a disk, a decoder); the driver runs it where it does no harm."""

    run: Callable[[], Any]


@dataclass(frozen=True)
class Together:
    """Flows of which none waits for another: the driver runs some at a time, and answers with what
    they gave, in their order. The first failure among them is raised."""

    flows: Sequence[Flow[Any]]


Step = httpx.Request | float | Work | Together
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
#: Bytes of a JSON answer; a page of 100 workflows is well below it.
MAX_JSON = 64 * 1024 * 1024


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
    #: The REST interface of the site, which knows the models.
    site_url: str = SITE_URL
    #: Is it the sandbox, whose prices are made up?
    simulated: bool = False
    #: The clock of every deadline.
    now: Callable[[], float] = time.monotonic

    def request(
        self,
        method: str,
        where: str,
        *,
        base: str = "",
        params: Any = None,
        content: bytes | None = None,
        kind: str = "application/json",
        read: float = READ_TIMEOUT,
        limit: int = MAX_JSON,
    ) -> httpx.Request:
        """A request to a path of the service, or of the site as `base`, with the key where there is
        one; a whole address is anybody's, and gets no key. `params` as httpx takes them."""
        # Pictures are compressed already, and what was not asked for can't be a bomb.
        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity"}
        if where.startswith("/"):
            where = (base or self.base_url) + where
            headers["Accept"] = "application/json"
            if key := self.key.reveal():
                headers["Authorization"] = f"Bearer {key}"
        if content is not None:
            headers["Content-Type"] = kind
        timeouts = {"connect": CONNECT_TIMEOUT, "read": read, "write": 60.0, "pool": None}
        return httpx.Request(
            method,
            where,
            params=params,
            content=content,
            headers=headers,
            extensions={"timeout": timeouts, "limit": limit, "seconds": read + _BODY_SECONDS},
        )
