"""The sandbox itself: a request goes in; seconds to sleep come out, and at last a response. And
the httpx transport that drives it, for clients in the same process.

`/_sandbox/...` scripts faults, sets switches and reads the accounts over the port:

    GET    /_sandbox/accounts   every account, or with a key in the header only that key's
    GET    /_sandbox/faults     the scripted faults with what they saw and hit
    POST   /_sandbox/faults     one fault or a list; added, or with ?replace=true in place of all
    DELETE /_sandbox/faults     forget them
    GET    /_sandbox/switches   every switch of this server
    POST   /_sandbox/switches   an object of those to set; the others stay

Faults stand in the memory, for every server and command that shares it; switches are this server's
own, until it ends.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from civitai_skill.sandbox import faults, wire
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.document import list_services, published
from civitai_skill.sandbox.faults import Fault
from civitai_skill.sandbox.pictures import blobs
from civitai_skill.sandbox.site import routes as site
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.sandbox.switches import Switches
from civitai_skill.sandbox.wire import Abort, Answer, Outcome, Step, problem, refuse, reply
from civitai_skill.sandbox.workflows import responses, routes, submit

Route = Callable[..., Outcome | Answer]

#: The kind of request, as faults name it, its method (empty: any), its path (ID is a part of one,
#: which the function is given), and the function that answers.
_ROUTES: tuple[tuple[str, str, str, Route], ...] = (
    ("site", "", "/api/v1/(.*)", site.answer),
    ("other", "", "/api/trpc/image.getGenerationData", site.page_of_image),
    ("other", "GET", "/v2/services/?(.*)", list_services),
    ("other", "GET", "/v2/resources/?(.*)", site.resource),
    (
        "other",
        "GET",
        "/openapi/v2-consumers.json",
        lambda c: reply(200, published(c.switches.tomorrow)),
    ),
    ("submit", "POST", "/v2/consumer/workflows", submit.submit),
    ("submit", "POST", "/v2/consumer/recipes/ID", submit.submit),
    ("query", "GET", "/v2/consumer/workflows", responses.query),
    ("get", "GET", "/v2/consumer/workflows/ID", routes.get),
    ("get", "GET", "/v2/consumer/workflows/ID/steps/ID", routes.get_step),
    ("cancel", "PUT", "/v2/consumer/workflows/ID", routes.put),
    ("cancel", "PATCH", "/v2/consumer/workflows/ID", routes.patch_workflow),
    ("cancel", "DELETE", "/v2/consumer/workflows/ID", routes.delete),
    ("other", "POST", "/v2/consumer/workflows/ID/tags", routes.tag),
    ("other", "DELETE", "/v2/consumer/workflows/ID/tags", routes.tag),
    ("other", "DELETE", "/v2/consumer/workflows/ID/tags/ID", routes.tag),
    ("other", "PUT", "/v2/consumer/workflows/ID/steps/ID", routes.change_step),
    ("other", "PATCH", "/v2/consumer/workflows/ID/steps/ID", routes.change_step),
    ("upload", "POST", "/v2/consumer/blobs", blobs.upload),
    ("upload", "GET", "/v2/consumer/blobs/upload", blobs.presign),
    ("blob", "GET", "/v2/consumer/blobs/content/ID", blobs.content),
    ("blob", "GET", "/v2/consumer/blobs/blocked/ID", lambda *_: problem(403, "It is blocked.")),
    ("blob", "GET", "/v2/consumer/blobs/ID", blobs.fetch),
    ("blob", "HEAD", "/v2/consumer/blobs/ID", blobs.head),
    ("blob", "POST", "/v2/consumer/blobs/ID/refresh", blobs.refresh),
    # Other methods than those above.
    ("other", "", "/v2/consumer/(?:workflows|blobs|recipes)(?:/[^/]*)?", lambda *_: problem(405)),
    ("other", "", ".*", lambda *_: problem(404)),
)
# Bytes of a body whatever the cap of blobs: a template may hold source pictures as data URLs.
_LARGEST_TEMPLATE = 64 * 1024 * 1024
_SHOWN = (
    "key", "user", "balance", "submits", "workflows", "workflowsCharged", "charged", "refunded",
)  # fmt: skip


class Dropped(Exception):
    """The connection breaks before an answer; with `refused` it is not even made."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__("refused" if refused else "reset")
        self.refused = refused


class Sandbox:
    """A stand-in for the orchestration service.

    `memory` is a file that several servers and commands may share (None: a private one);
    `seconds_per_job` is how long a step takes (None: 0.4); `balance` is what a new account holds;
    `clock` gives seconds since 1970. No I/O but the memory, no thread, nothing held while waiting.
    `close` closes the memory.
    """

    def __init__(
        self, memory: Path | None = None, *, seconds_per_job: float | None = None,
        balance: Mapping[str, int] | None = None, clock: Callable[[], float] = time.time,
        switches: Switches | None = None,
    ) -> None:  # fmt: skip
        #: The file of its memory; None when it is private.
        self.memory = memory
        seconds = life.SECONDS_PER_JOB if seconds_per_job is None else seconds_per_job
        balance = money.BALANCE if balance is None else balance
        self._context = Context(Memory(memory), clock, switches or Switches(), seconds, balance)
        self.close = self._context.memory.close

    def script(self, *scripted: Fault) -> None:
        """Let these go wrong, after what was scripted before."""
        with self._context.memory.change():
            for fault in scripted:
                record = {**asdict(fault), "seen": 0, "hit": 0}
                self._context.memory.keep("faults", record, id=None)

    def clear(self) -> None:
        """Forget every scripted fault."""
        with self._context.memory.change():
            self._context.memory.execute("DELETE FROM faults")

    def accounts(self) -> list[dict[str, Any]]:
        """Every account, what is due settled: balances in Buzz, what was submitted and charged, its
        idempotency keys. Its own key shows only as a digest."""
        context, memory, told = self._context, self._context.memory, []
        keys = "workflows WHERE user = ? AND external IS NOT NULL ORDER BY created"
        with memory.change():
            for account in list(memory.records("accounts ORDER BY rowid")):
                user = account["user"]
                context.settle(account)
                memory.keep("accounts", account, key=account["key"], user=user)
                shown = {name: account[name] for name in _SHOWN}
                external = [record["external"] for record in memory.records(keys, user)]
                told.append({**shown, "externalIds": external})
        return told

    @property
    def largest_body(self) -> int:
        """Bytes of a body above which it need not be read: the answer is 413."""
        return max(self._context.switches.largest_blob, _LARGEST_TEMPLATE) + 1

    def handle(self, request: httpx.Request) -> Generator[Step, None, httpx.Response]:
        """Answer a request whose body has been read: yields seconds to sleep and work to run. May
        raise Dropped."""
        path = request.url.raw_path.split(b"?")[0].decode()
        context = replace(self._context, request=request)
        try:
            if path.startswith("/_sandbox/"):
                return self._control(context, path.removeprefix("/_sandbox/"))
            answer = yield from _answer_with_faults(context, path)
        except Abort as abort:
            return abort.response
        if isinstance(answer, httpx.Response):
            return answer
        work, made = answer, []
        yield lambda: made.append(work())
        return made[0]

    def _control(self, context: Context, name: str) -> httpx.Response:
        match context.request.method, name:
            case ("GET", "accounts"):
                key = context.digest
                found = [one for one in self.accounts() if key in (None, one["key"])]
                return reply(200, {"accounts": found})
            case ("POST", "faults"):
                body = context.body()
                try:
                    scripted = list(map(Fault.read, body if isinstance(body, list) else [body]))
                except ValueError as error:
                    raise refuse(f"This is no fault: {error}.") from None
                if context.query.flag("replace"):
                    self.clear()
                self.script(*scripted)
            case ("DELETE", "faults"):
                self.clear()
                return reply(204)
            case ("POST", "switches"):
                try:
                    self._context.switches = context.switches.with_values(context.body())
                except ValueError as error:
                    raise refuse(f"This is no switch: {error}.") from None
            case ("GET", "faults" | "switches"):
                pass
            case _:
                return problem(404)
        if name == "switches":
            return reply(200, {"switches": asdict(self._context.switches)})
        with context.memory.change():
            return reply(200, {"faults": [record for _, record in context.memory.faults()]})


def _answer_with_faults(context: Context, path: str) -> Answer:
    """Answer as a scripted fault says, where one hits."""
    query = context.query
    on, route, given = _find_route(context.request.method, path)
    template = None
    if on == "submit":
        on = "whatif" if context.query.flag("whatif") else "submit"
        template = submit.receive(context, *given, counts=on == "submit")
        given = (template, *given)
    kinds = faults.OF_ALL
    if route is blobs.content:
        kinds |= faults.OF_BYTES
    if route is blobs.fetch and "sig" in query:
        kinds |= {"expired"}
    with context.memory.change():
        fault = faults.take(context.memory, on, template, kinds)
    if fault is None:
        return (yield from _answer(route, context, *given))
    if fault.kind == "refuse":
        raise Dropped(refused=True)
    if fault.kind == "expired":
        given = (*given, True)
    if fault.kind == "stall" and not fault.committed:
        yield fault.seconds
    is_lost = fault.kind in ("reset", "status")
    if fault.committed or not is_lost:
        try:
            answer = yield from _answer(route, context, *given)
        except Abort as abort:
            answer = abort.response
        if fault.kind == "stall" and fault.committed:
            yield fault.seconds
        if callable(answer) and fault.kind in faults.OF_BYTES:
            make, kind = answer, fault.kind
            return lambda: faults.spoil(make(), kind)
        if not is_lost:
            return answer
    if fault.kind == "reset":
        raise Dropped
    return faults.status_response(fault, context.clock())


def _find_route(method: str, path: str) -> tuple[str, Route, tuple[Any, ...]]:
    """The kind of a request, what answers it, and what that is given of its path."""
    for kind, verb, pattern, route in _ROUTES:
        found = re.fullmatch(pattern.replace("ID", "([^/]*)"), path)
        if found and verb in ("", method):
            return kind, route, tuple(map(unquote, found.groups()))
    raise AssertionError


def _answer(route: Route, *given: Any) -> Answer:
    answer = route(*given)
    return (yield from answer) if isinstance(answer, Generator) else answer


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Drives a sandbox, sync and async.

    `sleep` and `async_sleep` take the seconds to wait; a test passes one that moves its clock.
    """

    def __init__(
        self, sandbox: Sandbox, *, sleep: Callable[[float], None] = time.sleep,
        async_sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.sandbox, self._sleep = sandbox, sleep
        self._async_sleep = async_sleep or (asyncio.sleep if sleep is time.sleep else None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; a dropped connection and a read timeout raise as httpx would."""
        request.read()
        for step in self._steps(request):
            if isinstance(step, httpx.Response):
                return step
            step() if callable(step) else self._sleep(step)
        raise AssertionError

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, without blocking."""
        await request.aread()
        for step in self._steps(request):
            if isinstance(step, httpx.Response):
                return step
            if callable(step):
                await asyncio.to_thread(step)
            elif self._async_sleep is not None:
                await self._async_sleep(step)
            else:
                self._sleep(step)
                await asyncio.sleep(0)
        raise AssertionError

    def _steps(self, request: httpx.Request) -> Iterator[Step | httpx.Response]:
        """The sandbox's steps; ends as httpx would when the answer never comes."""
        left = request.extensions.get("timeout", {}).get("read")
        try:
            for step in wire.with_end(self.sandbox.handle(request)):
                if left is not None and isinstance(step, int | float):
                    if step > left:
                        yield left
                        raise httpx.ReadTimeout("the sandbox took too long", request=request)
                    left -= step
                yield step
        except Dropped as dropped:
            kind = httpx.ConnectError if dropped.refused else httpx.ReadError
            raise kind(f"connection {dropped} by the sandbox", request=request) from None
