"""The sandbox itself: a request goes in; seconds to sleep and work to run come out, and at last a
response."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from civitai_skill.sandbox import (
    control,
    faults,
    files,
    life,
    lists,
    money,
    render,
    services,
    submit,
)
from civitai_skill.sandbox import workflows as flows
from civitai_skill.sandbox.answers import Answered, problem, refusal, reply
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Asked, Query
from civitai_skill.sandbox.faults import Fault
from civitai_skill.sandbox.memory import Memory
from civitai_skill.sandbox.streams import faulty
from civitai_skill.sandbox.switches import Switches
from civitai_skill.sandbox.work import Answer

_WORKFLOWS = ("v2", "consumer", "workflows")
_BLOBS = ("v2", "consumer", "blobs")
# Bytes of a body whatever the cap of blobs: a template may hold source pictures as data URLs.
_LARGEST_TEMPLATE = 64 * 1024 * 1024
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


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
        seconds = life.SECONDS_PER_JOB if seconds_per_job is None else seconds_per_job
        self._bench = Bench(
            Memory(memory),
            clock,
            switches or Switches(),
            seconds,
            money.BALANCE if balance is None else balance,
        )

    def close(self) -> None:
        """Close the memory."""
        self._bench.memory.close()

    def script(self, *scripted: Fault) -> None:
        """Let these go wrong, after what was scripted before."""
        with self._bench.memory.change():
            for fault in scripted:
                faults.add(self._bench.memory, fault)

    def clear(self) -> None:
        """Forget every scripted fault."""
        with self._bench.memory.change():
            self._bench.memory.drop_fault()

    def accounts(self) -> list[dict[str, Any]]:
        """Every account: balance, submits seen, workflows charged, Buzz charged and refunded."""
        return control.accounts(self._bench)

    @property
    def largest_body(self) -> int:
        """Bytes of a body above which it need not be read: the answer is 413."""
        return max(self._bench.switches.largest_blob, _LARGEST_TEMPLATE) + 1

    def handle(self, request: httpx.Request) -> Answer:
        """Answer a request whose body has been read.

        Yields seconds to sleep and work to run; may raise Dropped.
        """
        parts = tuple(
            unquote(p) for p in request.url.raw_path.split(b"?")[0].decode().split("/")[1:]
        )
        try:
            if parts[:1] == ("_sandbox",):
                return control.answer(self._bench, request, parts[1:])
            return (yield from self._with_faults(request, parts))
        except Answered as answered:
            return answered.response

    # -- faults ------------------------------------------------------------------------------------
    def _with_faults(self, request: httpx.Request, parts: tuple[str, ...]) -> Answer:
        kind = _kind(request, parts)
        asked = None
        if kind in ("submit", "whatif"):
            asked = self._arrived(request, kind)
        able: set[str] = set()
        if parts[:4] == (*_BLOBS, "content"):
            able |= faults.OF_BYTES
        if parts[:3] == _BLOBS and "sig" in request.url.params:
            able.add("expired")
        fault = self._fault(kind, asked, able)
        if fault is None:
            return (yield from self._routed(request, parts, kind, asked, expired=False))
        if fault.kind == "stall" and not fault.committed:
            yield fault.seconds
            return (yield from self._routed(request, parts, kind, asked, expired=False))
        if fault.kind == "refuse":
            raise Dropped(refused=True)
        if fault.committed or fault.kind in faults.OF_BYTES or fault.kind == "expired":
            expired = fault.kind == "expired"
            try:
                answer = yield from self._routed(request, parts, kind, asked, expired=expired)
            except Answered as answered:
                answer = answered.response
            if fault.kind == "stall":
                yield fault.seconds
            if fault.kind not in ("reset", "status"):
                return faulty(answer, fault.kind)
        if fault.kind == "reset":
            raise Dropped
        return _status(fault, self._bench.clock())

    def _arrived(self, request: httpx.Request, kind: str) -> Asked | httpx.Response:
        """Count a submit, and read its template or why there is none."""
        with self._bench.memory.change():
            account = self._bench.account(request)
            if kind == "submit":
                account["submits"] += 1
                self._bench.memory.keep_account(account)
        try:
            return submit.ask_of(request)
        except Answered as answered:
            return answered.response

    def _fault(
        self, kind: str, asked: Asked | httpx.Response | None, able: set[str]
    ) -> Fault | None:
        prompts = submit.prompts_of(asked) if isinstance(asked, Asked) else ""
        with self._bench.memory.change():
            return faults.take(self._bench.memory, kind, prompts, fates=False, able=frozenset(able))

    # -- routes ------------------------------------------------------------------------------------
    def _routed(
        self, request: httpx.Request, parts: tuple[str, ...], kind: str,
        asked: Asked | httpx.Response | None, *, expired: bool,
    ) -> Answer:  # fmt: skip
        bench, method = self._bench, request.method
        if asked is not None:
            return (yield from self._submit(request, asked, whatif=kind == "whatif"))
        if parts[:2] == ("v2", "services") and method == "GET":
            return (
                services.listed(request) if len(parts) == 2 else services.one("/".join(parts[2:]))
            )
        rest = parts[3:]
        if parts[:3] == _WORKFLOWS:
            if not rest and method == "GET":
                return (yield from lists.query(bench, request))
            if len(rest) == 1 and method == "GET":
                return (yield from flows.get(bench, request, rest[0]))
            return self._changed(request, method, rest)
        if parts[:4] == (*_BLOBS, "content") and method == "GET" and len(rest) == 2:
            return (yield from files.content(bench, rest[1]))
        if parts[:3] == _BLOBS:
            return self._blob(request, method, rest, expired)
        raise Answered(problem(404))

    def _changed(
        self, request: httpx.Request, method: str, rest: tuple[str, ...]
    ) -> httpx.Response:
        bench = self._bench
        match (method, *rest):
            case ("PUT", id):
                return flows.put(bench, request, id)
            case ("PATCH", id):
                return flows.patch_workflow(bench, request, id)
            case ("DELETE", id):
                return flows.delete(bench, request, id)
            case ("POST" | "DELETE", id, "tags"):
                return flows.tag(bench, request, id, None)
            case ("DELETE", id, "tags", tag):
                return flows.tag(bench, request, id, tag)
            case ("GET", id, "steps", name):
                return flows.get_step(bench, request, id, name)
            case ("PUT" | "PATCH", id, "steps", name):
                return flows.change_step(bench, request, id, name)
        raise Answered(problem(405 if len(rest) < 2 else 404))

    def _blob(
        self, request: httpx.Request, method: str, rest: tuple[str, ...], expired: bool
    ) -> httpx.Response:
        bench = self._bench
        match (method, *rest):
            case ("POST",):
                return files.upload(bench, request)
            case ("GET", "upload"):
                return files.presign(bench, request)
            case ("GET", "blocked", _):
                return problem(403, "This content is blocked.")
            case ("GET", id):
                return files.fetch(bench, request, id, expired=expired)
            case ("HEAD", id):
                return files.head(bench, request, id)
            case ("POST", id, "refresh"):
                return files.refresh(bench, request, id)
        raise Answered(problem(405 if len(rest) < 2 else 404))

    def _submit(
        self, request: httpx.Request, asked: Asked | httpx.Response, *, whatif: bool
    ) -> Answer:
        if not isinstance(asked, Asked):
            return asked
        bench, query = self._bench, Query(request)
        seconds, hide = query.whole("wait", 0), query.flag("hideMatureContent", False)
        with bench.memory.change():
            account = bench.account(request)
            old = submit.replayed(bench, account, asked)
            if old is None:
                _check_ephemeral(asked, seconds, whatif)
                fault = None
                if not whatif:
                    submit.check_room(bench, account)
                    prompts = submit.prompts_of(asked)
                    fault = faults.take(
                        bench.memory, "submit", prompts, fates=True, able=frozenset()
                    )
                record = submit.create(bench, account, asked, whatif=whatif, fault=fault)
            else:
                record = old
        if not whatif:
            record, _ = yield from flows.wait(bench, request, record, seconds)
        body = render.workflow(record, bench.clock(), bench.sign(request), hide_mature=hide)
        headers = submit.cost_headers(body["cost"], record) if whatif else {}
        done = old is not None or whatif or life.is_over(record, bench.clock())
        return reply(200 if done else 202, body, headers)


def _check_ephemeral(asked: Asked, seconds: int, whatif: bool) -> None:
    alone = not asked.literal("callbacks") and seconds <= 0
    if asked.literal("ephemeral") and alone and not whatif:
        raise Answered(refusal("An ephemeral workflow needs a callback, or wait above 0."))


def _kind(request: httpx.Request, parts: tuple[str, ...]) -> str:
    """The kind of request, as faults name them."""
    if parts[:3] == _WORKFLOWS:
        if len(parts) == 3 and request.method == "POST":
            return "whatif" if Query(request).flag("whatif", False) else "submit"
        if request.method == "GET":
            return "query" if len(parts) == 3 else "get"
        return "cancel" if len(parts) == 4 else "other"
    if parts[:3] == _BLOBS:
        at_door = parts[3:] == ("upload",) or (len(parts) == 3 and request.method == "POST")
        return "upload" if at_door else "blob"
    return "other"


def _status(fault: Fault, now: float) -> httpx.Response:
    headers = {}
    if fault.retry_after is not None:
        text = f"{fault.retry_after:.3f}".rstrip("0").rstrip(".")
        if fault.as_date:
            text = formatdate(now + fault.retry_after, usegmt=True)
        headers["Retry-After"] = text
    if fault.body == "empty":
        return reply(fault.status, headers=headers)
    if fault.body == "html":
        page = _PAGE.format(f"{fault.status} from the gateway")
        headers["Content-Type"] = "text/html; charset=utf-8"
        return httpx.Response(fault.status, headers=headers, content=page.encode())
    answer = problem(fault.status, fault.reason or "")
    answer.headers.update(headers)
    return answer
