"""Faults on demand: what goes wrong, with which requests, how often.

A fault is scripted from Python (`sandbox.script(Fault("submit", "status", status=503, times=2))`)
or over the port (`POST /_sandbox/faults` with the same fields as JSON). Scripted faults stand in
the sandbox's memory and are tried in order; the first that matches a request acts.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from dataclasses import dataclass, fields
from email.utils import formatdate
from random import Random
from typing import Any, Literal, get_args

import httpx

from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.sandbox.steps.check import ValidTemplate
from civitai_skill.sandbox.wire import problem, reply

On = Literal["submit", "whatif", "get", "query", "cancel", "blob", "upload", "site", "any"]
Kind = Literal[
    "status", "reset", "refuse", "stall", "expired", "truncated", "short", "wrong-type", "endless",
    "fate",
]  # fmt: skip
Body = Literal["problem", "empty", "html"]
Fate = Literal[
    "failed", "failed-silent", "blocked", "expired", "canceled", "stuck", "partial", "mature",
    "slow",
]  # fmt: skip

#: Faults of a blob's bytes, and those that any request can show.
OF_BYTES = frozenset({"truncated", "short", "wrong-type", "endless"})
OF_ALL = frozenset({"status", "reset", "refuse", "stall"})


@dataclass(frozen=True)
class Fault:
    """One scripted fault.

    on       the kind of request; `cancel` is every PUT, PATCH and DELETE of a workflow, `blob`
             every fetch of one, `upload` every upload and its presigning, `site` all of /api/v1
    kind     status       answer with `status` and `body` (problem, empty, html), with `retry_after`
                          seconds as a number, or as a date where `as_date`
             reset        the connection breaks while the answer is awaited
             refuse       the connection is not even made
             stall        nothing for `seconds`, then all is well
             expired      a signed address counts as expired
             truncated    the connection breaks in the middle of a blob
             short        a blob whose last half is missing, with a matching length
             wrong-type   HTML in place of a blob
             endless      a blob that never ends
             fate         the workflow that is submitted ends as `fate` says, with `reason`;
                          slow takes `seconds`
    committed   with status, reset and stall: the request takes effect before (the reply is lost)
    times    how many requests it hits; None: all
    skip     how many matching requests pass before
    chance   the probability that a matching request is hit, drawn from `seed`
    prompt   only submits whose prompts contain this text
    step     only submits with a step of this name (or $0, $1, ...); a fate is that step's alone
    """

    on: On
    kind: Kind
    status: int = 500
    body: Body = "problem"
    retry_after: float | None = None
    as_date: bool = False
    seconds: float = 0.0
    committed: bool = False
    fate: Fate = "failed"
    reason: str | None = None
    times: int | None = 1
    skip: int = 0
    chance: float | None = None
    seed: int = 0
    prompt: str | None = None
    step: str | None = None

    @classmethod
    def read(cls, value: Any) -> Fault:
        """A fault from JSON. Raises ValueError with a message for people."""
        if not isinstance(value, Mapping):
            raise ValueError("a fault is an object")
        known = sorted(f.name for f in fields(cls))
        for name in sorted(value.keys() - set(known)):
            raise ValueError(f"unknown field {name!r}; known are {', '.join(known)}")
        for name in ("on", "kind"):
            if name not in value:
                raise ValueError(f"{name} is missing")
        return cls(**value)

    def __post_init__(self) -> None:
        """Raises ValueError, with a message for people, for what could never hit."""
        for name, known in _NAMES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}")
        for name, (types, least, most, words) in _CHECKS.items():
            given = getattr(self, name)
            fits = isinstance(given, types) and isinstance(given, bool) == (types is bool)
            if not fits or (isinstance(given, int | float) and not least <= given <= most):
                raise ValueError(f"{name} must be {words}")
        hit = _HIT.get(self.kind)
        if hit is not None and self.on not in (hit, "any"):
            raise ValueError(f"{self.kind} hits only on {hit} or any, not on {self.on}")
        for name in ("prompt", "step"):
            if getattr(self, name) and (self.on not in _OF_TEMPLATES or hit == "blob"):
                raise ValueError(f"{name} is only for what hits on {', '.join(_OF_TEMPLATES)}")


_NAMES = {
    "on": get_args(On), "kind": get_args(Kind), "body": get_args(Body), "fate": get_args(Fate),
}  # fmt: skip
_SECONDS = "a number of seconds from 0 to 1e9"
#: The types of each field, the least and the most of a number, and how that is said.
_CHECKS: Mapping[str, tuple[Any, float, float, str]] = {
    "status": (int, 200, 599, "a final HTTP status, from 200 to 599"),
    "retry_after": (int | float | None, 0, 1e9, _SECONDS),
    "seconds": (int | float, 0, 1e9, _SECONDS),
    "times": (int | None, 1, math.inf, "a whole number from 1, or null for always"),
    "chance": (int | float | None, 0, 1, "a probability from 0 to 1"),
    **dict.fromkeys(("skip", "seed"), (int, 0, math.inf, "a whole number")),
    **dict.fromkeys(("as_date", "committed"), (bool, 0, 1, "true or false")),
    **dict.fromkeys(("reason", "prompt", "step"), (str | None, 0, 0, "a text")),
}
#: The requests that alone can show a kind of fault.
_HIT: dict[str, On] = {"fate": "submit", "expired": "blob", **dict.fromkeys(OF_BYTES, "blob")}
_OF_TEMPLATES: tuple[On, ...] = ("submit", "whatif", "any")
_PAGE = "<!DOCTYPE html><html><body><h1>{}</h1></body></html>"
_CHUNK = b"\0" * 65536


# -- scripting -----------------------------------------------------------------------------------
def take(
    memory: Memory, on: str, template: ValidTemplate | httpx.Response | None, kinds: Set[str]
) -> Fault | None:
    """The fault of these kinds that hits this request, counted; None when all is well."""
    prompts, names = "", set()
    if isinstance(template, ValidTemplate):
        prompts, names = template.prompts(), template.names()
    for id, record in memory.faults():
        is_such = record["kind"] in kinds and record["on"] in (on, "any")
        is_here = (record["prompt"] or "") in prompts and record.get("step") in (None, *names)
        if not is_such or not is_here:
            continue
        chance, seen = record["chance"], record["seen"]
        drawn = Random(f"{record['seed']}:{seen}").random()
        hit = seen >= record["skip"] and (chance is None or drawn < chance)
        record["seen"] += 1
        record["hit"] += hit
        if hit and record["times"] is not None and record["hit"] >= record["times"]:
            memory.execute("DELETE FROM faults WHERE id = ?", (id,))
        else:
            memory.keep("faults", record, id=id)
        if hit:
            return Fault(**{f.name: record[f.name] for f in fields(Fault) if f.name in record})
    return None


# -- answers that go wrong -----------------------------------------------------------------------
def status_response(fault: Fault, now: float) -> httpx.Response:
    headers = {}
    if fault.retry_after is not None:
        date = formatdate(now + fault.retry_after, usegmt=True)
        text = f"{fault.retry_after:.3f}".rstrip("0").rstrip(".")
        headers["Retry-After"] = date if fault.as_date else text
    if fault.body == "empty":
        return reply(fault.status, headers=headers)
    if fault.body == "html":
        page = _PAGE.format(f"{fault.status} from the gateway")
        return httpx.Response(fault.status, headers=headers, html=page)
    answer = problem(fault.status, fault.reason or "")
    answer.headers.update(headers)
    return answer


def spoil(answer: httpx.Response, kind: str) -> httpx.Response:
    """The answer with a blob's bytes cut, swapped or never ending."""
    if answer.status_code != 200:
        return answer
    data, headers = answer.content, dict(answer.headers)
    half = data[: max(1, len(data) // 2)]
    if kind == "truncated":
        return httpx.Response(200, headers=headers, stream=_Stream(half, endless=False))
    del headers["content-length"]
    if kind == "short":
        return httpx.Response(200, headers=headers, content=half)
    if kind == "wrong-type":
        kind, page = "text/html", _PAGE.format("Not a picture.")
        return httpx.Response(200, headers={"Content-Type": kind}, text=page)
    return httpx.Response(200, headers=headers, stream=_Stream(data, endless=True))


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that starts well, and then breaks off or never ends."""

    def __init__(self, start: bytes, *, endless: bool) -> None:
        self._start, self._endless = start, endless

    def __iter__(self) -> Iterator[bytes]:
        yield self._start
        while self._endless:
            yield _CHUNK
        raise httpx.RemoteProtocolError("peer closed connection without sending complete body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk
