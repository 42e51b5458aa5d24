"""The sandbox itself: a request goes in; seconds to sleep and work to run come out, and at last a
response.

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

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from civitai_skill.sandbox import faults
from civitai_skill.sandbox.context import Context, key_digest
from civitai_skill.sandbox.document import list_services, published
from civitai_skill.sandbox.faults import Fault
from civitai_skill.sandbox.pictures import blobs
from civitai_skill.sandbox.site import routes as site
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.sandbox.steps.check import ValidTemplate
from civitai_skill.sandbox.switches import Switches
from civitai_skill.sandbox.wire import Abort, Answer, Query, body_of, problem, refusal, reply
from civitai_skill.sandbox.workflows import lists, routes, submit

_CONSUMER = ("v2", "consumer")

Route = Callable[..., Answer | httpx.Response]

#: What is behind /v2/consumer: the kind of request, as faults name it, its method, its path (* is a
#: part that the function is given), and the function that answers.
_ROUTES: tuple[tuple[str, str, str, Route], ...] = (
    ("submit", "POST", "workflows", submit.submit),
    ("submit", "POST", "recipes/*", submit.submit),
    ("query", "GET", "workflows", lists.query),
    ("get", "GET", "workflows/*", routes.get),
    ("get", "GET", "workflows/*/steps/*", routes.get_step),
    ("cancel", "PUT", "workflows/*", routes.put),
    ("cancel", "PATCH", "workflows/*", routes.patch_workflow),
    ("cancel", "DELETE", "workflows/*", routes.delete),
    ("other", "POST", "workflows/*/tags", routes.tag),
    ("other", "DELETE", "workflows/*/tags", routes.tag),
    ("other", "DELETE", "workflows/*/tags/*", routes.tag),
    ("other", "PUT", "workflows/*/steps/*", routes.change_step),
    ("other", "PATCH", "workflows/*/steps/*", routes.change_step),
    ("upload", "POST", "blobs", blobs.upload),
    ("upload", "GET", "blobs/upload", blobs.presign),
    ("blob", "GET", "blobs/content/*", blobs.content),
    ("blob", "GET", "blobs/blocked/*", lambda *_: problem(403, "This content is blocked.")),
    ("blob", "GET", "blobs/*", blobs.fetch),
    ("blob", "HEAD", "blobs/*", blobs.head),
    ("blob", "POST", "blobs/*/refresh", blobs.refresh),
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
        self,
        memory: Path | None = None,
        *,
        seconds_per_job: float | None = None,
        balance: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.time,
        switches: Switches | None = None,
    ) -> None:
        #: The file of its memory; None when it is private.
        self.memory = memory
        self._context = Context(
            Memory(memory),
            clock,
            switches or Switches(),
            life.SECONDS_PER_JOB if seconds_per_job is None else seconds_per_job,
            money.BALANCE if balance is None else balance,
        )
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
        """Every account, what is due settled: balance, submits seen, workflows charged, Buzz
        charged and refunded, idempotency keys. Its own key shows only as a digest."""
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

    def handle(self, request: httpx.Request) -> Answer:
        """Answer a request whose body has been read.

        Yields seconds to sleep and work to run; may raise Dropped.
        """
        path = request.url.raw_path.split(b"?")[0].decode()
        parts = tuple(unquote(part) for part in path.split("/")[1:])
        try:
            if parts[:1] == ("_sandbox",):
                return self._control(request, parts[1:])
            return (yield from self._with_faults(request, parts))
        except Abort as abort:
            return abort.response

    def _control(self, request: httpx.Request, parts: tuple[str, ...]) -> httpx.Response:
        """Answer a request of the sandbox's own."""
        context = self._context
        match (request.method, *parts):
            case ("GET", "accounts"):
                key = key_digest(request)
                found = [one for one in self.accounts() if key in (None, one["key"])]
                return reply(200, {"accounts": found})
            case ("POST", "faults"):
                body = body_of(request)
                try:
                    scripted = list(map(Fault.read, body if isinstance(body, list) else [body]))
                except ValueError as error:
                    raise Abort(refusal(f"This is no fault: {error}.")) from None
                if Query(request.url.params).flag("replace"):
                    self.clear()
                self.script(*scripted)
            case ("DELETE", "faults"):
                self.clear()
                return reply(204)
            case ("POST", "switches"):
                try:
                    context.switches = context.switches.with_values(body_of(request))
                except ValueError as error:
                    raise Abort(refusal(f"This is no switch: {error}.")) from None
            case ("GET", "faults" | "switches"):
                pass
            case _:
                return problem(404)
        if parts == ("switches",):
            return reply(200, {"switches": asdict(context.switches)})
        with context.memory.change():
            return reply(200, {"faults": [record for _, record in context.memory.faults()]})

    def _with_faults(self, request: httpx.Request, parts: tuple[str, ...]) -> Answer:
        """Answer as a scripted fault says, where one hits."""
        context, query = self._context, Query(request.url.params)
        on, route, given = _find_route(request.method, parts)
        template: ValidTemplate | httpx.Response | None = None
        if on == "submit":
            on = "whatif" if query.flag("whatif") else "submit"
            template = submit.receive(context, request, *given, counts=on == "submit")
            given = (template, *given)
        kinds = faults.OF_ALL
        if route is blobs.content:
            kinds |= faults.OF_BYTES
        if route is blobs.fetch and "sig" in query:
            kinds |= {"expired"}
        valid = template if isinstance(template, ValidTemplate) else None
        with context.memory.change():
            fault = faults.take(context.memory, on, valid, kinds)
        if fault is None:
            return (yield from _answer(route, context, request, *given))
        if fault.kind == "refuse":
            raise Dropped(refused=True)
        if fault.kind == "expired":
            given = (*given, True)
        if fault.kind == "stall" and not fault.committed:
            yield fault.seconds
        is_lost = fault.kind in ("reset", "status")
        if fault.committed or not is_lost:
            try:
                answer = yield from _answer(route, context, request, *given)
            except Abort as abort:
                answer = abort.response
            if fault.kind == "stall" and fault.committed:
                yield fault.seconds
            if not is_lost:
                return faults.spoil(answer, fault.kind)
        if fault.kind == "reset":
            raise Dropped
        return faults.status_response(fault, context.clock())


def _find_route(method: str, parts: tuple[str, ...]) -> tuple[str, Route, tuple[Any, ...]]:
    """The kind of a request, what answers it, and what that is given of its path."""
    match (method, *parts):
        case (_, "api", "v1", *named):
            return "site", site.answer, tuple(named)
        case (_, "api", "trpc", "image.getGenerationData"):
            return "other", site.page_of_image, ()
        case ("GET", "v2", "services", *named):
            return "other", list_services, ("/".join(named),)
        case ("GET", "v2", "resources", *named):
            return "other", site.resource, ("/".join(named),)
        case ("GET", "openapi", "v2-consumers.json"):
            return "other", lambda c, _: reply(200, published(c.switches.tomorrow)), ()
    rest = parts[2:] if parts[:2] == _CONSUMER else ()
    for kind, verb, path, route in _ROUTES:
        wanted = path.split("/")
        if verb == method and len(wanted) == len(rest):
            pairs = list(zip(wanted, rest, strict=True))
            if all(want in ("*", part) for want, part in pairs):
                return kind, route, tuple(part for want, part in pairs if want == "*")
    is_known = rest[:1] in (("workflows",), ("blobs",), ("recipes",)) and len(rest) < 3
    return "other", lambda *_: problem(405 if is_known else 404), ()


def _answer(route: Route, *given: Any) -> Answer:
    answer = route(*given)
    return answer if isinstance(answer, httpx.Response) else (yield from answer)
