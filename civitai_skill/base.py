"""What both clients share: settings, the service, the ledger, and the flow behind each method."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from civitai_skill import __version__, flows, generation, pricing, raw, resumption
from civitai_skill.budget import Budget
from civitai_skill.config import Secret, Settings
from civitai_skill.delivery import Generation, looked_at
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.events import Tell, silent
from civitai_skill.exchange import Flow, Retry, Service
from civitai_skill.flows import Canceled, Health, Page, Quote
from civitai_skill.generation import Told, unheard
from civitai_skill.ledger import Ledger, budget_of
from civitai_skill.options import Asked, Buying, Call, Filters, Pricing, Rules
from civitai_skill.purchase import Order, bought, check_account, forget, noted, would_go_on
from civitai_skill.releasing import Releasing, release
from civitai_skill.runs import Run
from civitai_skill.sources import SourcePolicy
from civitai_skill.workflow import Workflow

if TYPE_CHECKING:
    from civitai_skill.verify import Row

#: Seconds that one answer may be held (the service's own limit for a request is 100).
LONGEST_WAIT = 90.0

#: Doors whose caller is a program: the same request twice at once means two. What a dead process
#: left open is taken up here as everywhere.
PROGRAMS = frozenset({"python", "rest"})

Folder = str | os.PathLike[str]


class BaseClient:
    """What both clients share: settings, the service, and the flows behind the methods.

    `key` falls back to CIVITAI_API_KEY and CIVITAI_API_TOKEN, `base_url` to CIVITAI_BASE_URL.
    `sandbox` is True, or a Sandbox of one's own. `max_buzz` is the most one call may cost (Buzz);
    CIVITAI_MAX_BUZZ, or 300, when left out. `ledger` names another file, or turns it off (False).
    `settings` replaces all but the last.
    """

    def __init__(
        self,
        key: Any = None,
        *,
        base_url: str | None = None,
        sandbox: Any = None,
        max_buzz: int | None = None,
        home: Folder | None = None,
        retry: Retry | None = None,
        ledger: Folder | bool | None = None,
        settings: Settings | None = None,
        transport: Any = None,
    ) -> None:
        own = None if sandbox is None or isinstance(sandbox, bool) else sandbox
        self.settings = settings or Settings.load(
            key,
            base_url=base_url,
            sandbox=sandbox if own is None else True,
            home=home,
            max_buzz=max_buzz,
        )
        #: What was bought, on disk; None when it was turned off.
        self.ledger: Ledger | None = None
        if ledger is not False:
            named = ledger if isinstance(ledger, str | os.PathLike) else None
            self.ledger = Ledger(Path(named) if named else self.settings.ledger)
        self._retry = retry or Retry()
        self._unsettled: dict[str, bytes] = {}
        if transport is None and self.settings.sandbox:
            from civitai_skill.sandbox import Sandbox, SandboxTransport

            memory = self.settings.home / "sandbox.sqlite3"
            own = Sandbox(memory) if own is None else own
            transport = SandboxTransport(own)
        self._transport = transport
        #: Names the service and the account, so that no run of another one is ever joined.
        self.account = _account(self.settings, own)

    @classmethod
    def like(cls, other: BaseClient) -> Self:
        """A client of this kind with another's settings, ledger, way to the service and account."""
        made = cls(
            settings=other.settings, retry=other._retry, ledger=False, transport=other._transport
        )
        made.ledger, made.account, made._unsettled = other.ledger, other.account, other._unsettled
        return made

    def __repr__(self) -> str:
        where = "the sandbox" if self.settings.sandbox else self.settings.base_url
        return f"{type(self).__name__}({where})"

    @property
    def _service(self) -> Service:
        agent = f"civitai-skill/{__version__}"
        if not self.settings.sandbox:
            return Service(self.settings.base_url, self.settings.require_key(), agent, self._retry)
        from civitai_skill.sandbox import BASE_URL, KEY

        return Service(BASE_URL, self.settings.key or Secret(KEY), agent, self._retry)

    def _release(
        self, workflow_id: str, max_buzz: int | None, tell: Callable[[Releasing], None] | None
    ) -> Flow[Workflow]:
        limit = self.settings.max_buzz if max_buzz is None else max_buzz
        flow = release(
            self._service,
            workflow_id,
            limit=limit,
            ledger=self.ledger,
            budget=self._budget(),
            account=self.account,
            tell=tell,
        )
        return (yield from generation.seen(self.ledger, (yield from flow)))

    def _budget(self) -> Budget | None:
        return None if self.ledger is None else budget_of(self.settings.budget, self.ledger)

    def _verify(self, only: str | None, tell: Callable[[Row], None] | None) -> Flow[list[Row]]:
        from civitai_skill.verify import verify

        return verify(self._service, only, tell)

    def _health(self) -> Flow[Health]:
        if self.settings.sandbox or self.settings.key:
            return flows.health(self._service)
        return flows.health(Service(self.settings.base_url, Secret(""), "civitai-skill"))

    def _order(self, call: Call) -> Order:
        return Order(
            request=call.request,
            terms=call.terms,
            limit=self.settings.max_buzz if call.max_buzz is None else call.max_buzz,
            ledger=self.ledger,
            budget=self._budget(),
            account=self.account,
            purpose=call.purpose,
            again=call.again,
            notes=call.notes,
            joins=call.purpose not in PROGRAMS,
            sources=self._policy(call),
            tell=call.tell,
            keep=forget if self.ledger is not None else self._unsettled.__setitem__,
        )

    def _ruled(self, given: Rules) -> Order:
        """An order for a body, which says itself what it asks for."""
        odd = next((name for name in given if name not in Rules.__annotations__), None)
        if odd is not None:
            raise RequestInvalid(Problem(odd, None, ", ".join(Rules.__annotations__)))
        return self._order(Call("-", given))

    def _policy(self, call: Call) -> SourcePolicy:
        """The call's policy, which knows this client's service."""
        return replace(call.sources, service=self.settings.base_url)

    def _estimate(self, request: Asked, given: Pricing) -> Flow[Quote]:
        call, service = Call(request, given), self._service
        decided, opened = yield from pricing.decide(call.request, self._policy(call))
        decided = yield from pricing.placed(service, decided, opened)
        return (yield from pricing.quoted(service, decided, call.terms))

    def _submit(
        self, request: Asked, told: Told | None, out: Folder | None, given: Buying
    ) -> Flow[Workflow]:
        order = self._order(Call(request, given))
        buying = bought(self._service, order, None if out is None else Path(out))
        return (yield from generation.submitted_only(order, buying, told or unheard)).workflow

    def _submit_body(
        self, body: Mapping[str, Any], told: Told | None, out: Folder | None, given: Rules
    ) -> Flow[Workflow]:
        order = self._ruled(given)
        place = None if out is None else Path(out)
        buying = raw.bought_body(self._service, order, body, place)
        return (yield from generation.submitted_only(order, buying, told or unheard)).workflow

    def _generate_body(
        self, body: Mapping[str, Any], out: Folder, timeout: float, given: Rules
    ) -> Flow[Generation]:
        order, place = self._ruled(given), Path(out)
        buying = raw.bought_body(self._service, order, body, place)
        return generation.generated(self._service, order, buying, out=place, timeout=timeout)

    def _estimate_body(self, body: Mapping[str, Any]) -> Flow[Quote]:
        return raw.quoted_body(self._service, body)

    def _generate(
        self, request: Asked, out: Folder, timeout: float, given: Buying
    ) -> Flow[Generation]:
        order, place = self._order(Call(request, given)), Path(out)
        buying = bought(self._service, order, place)
        return generation.generated(self._service, order, buying, out=place, timeout=timeout)

    def _open_run(self, request: Asked, out: Folder | None, given: Buying) -> Flow[Run | None]:
        order = self._order(Call(request, given))
        return would_go_on(order, None if out is None else Path(out))

    def _open_body_run(
        self, body: Mapping[str, Any], out: Folder | None, given: Rules
    ) -> Flow[Run | None]:
        return raw.would_go_on(self._ruled(given), body, None if out is None else Path(out))

    def _get(self, workflow_id: str, wait: float) -> Flow[Workflow]:
        paid = yield from generation.paid(self.ledger, workflow_id)
        held = min(wait, LONGEST_WAIT)
        look = flows.get(self._service, workflow_id, wait=held, committed=paid)
        return (yield from generation.seen(self.ledger, (yield from look)))

    def _wait(self, workflow: Workflow | str, timeout: float, tell: Tell | None) -> Flow[Workflow]:
        end = flows.wait(self._service, workflow, timeout=timeout, tell=tell)
        return (yield from generation.seen(self.ledger, (yield from end)))

    def _page(self, cursor: str | None, filters: Filters) -> Flow[Page]:
        return flows.query(self._service, cursor=cursor, **filters)

    def _cancel(self, workflow_id: str) -> Flow[Canceled]:
        paid = yield from generation.paid(self.ledger, workflow_id)
        canceled = yield from flows.cancel(self._service, workflow_id, committed=paid)
        yield from generation.seen(self.ledger, canceled.workflow)
        return canceled

    def _download(
        self, workflow: Workflow | str, out: Folder, tell: Tell | None
    ) -> Flow[Generation]:
        service = self._service
        if isinstance(workflow, str):
            paid = yield from generation.paid(self.ledger, workflow)
            workflow = yield from flows.get(service, workflow, committed=paid)
        workflow = yield from generation.seen(self.ledger, workflow)
        if not workflow.done:
            error = flows.still_running(workflow, 0)
            error.result = looked_at(workflow)
            raise error
        told = tell or silent
        return (
            yield from generation.fetched(service, self.ledger, workflow, out=Path(out), tell=told)
        )

    def _settle(self, key: str) -> Flow[Workflow]:
        content = self._unsettled.get(key)
        run = self.ledger.run(key) if content is None and self.ledger is not None else None
        if run is not None and run.state != "dropped":
            check_account(self.account, run)
            content = run.body
        if content is None:
            raise RequestInvalid(Problem("key", key, "the key of a submit whose fate is open here"))
        workflow = yield from flows.submit(self._service, content, key)
        self._unsettled.pop(key, None)
        if self.ledger is not None:
            told = partial(self.ledger.submitted, key, workflow.id, workflow.cost.total)
            yield from noted(told)
        return workflow

    def _resume(
        self,
        run: Run,
        timeout: float,
        out: Folder | None,
        tell: Tell | None,
        max_buzz: int | None,
    ) -> Flow[Generation]:
        given: Buying = {"tell": tell, "purpose": "resume", "max_buzz": max_buzz}
        order = self._order(Call("-", given))
        folder = None if out is None else Path(out)
        return resumption.resumed(self._service, order, run, timeout=timeout, out=folder)


#: Names for sandboxes that live in memory, for as long as they live.
_UNWRITTEN: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def _account(settings: Settings, sandbox: Any) -> str:
    if not settings.sandbox:
        place = settings.base_url
    elif sandbox is None:
        place = f"sandbox:{uuid.uuid4().hex}"  # behind a transport of the caller's own
    elif sandbox.memory is None:
        place = _UNWRITTEN.setdefault(sandbox, f"sandbox:{uuid.uuid4().hex}")
    else:
        place = f"sandbox:{sandbox.memory}"
    mark = hashlib.sha256(settings.key.reveal().encode()).hexdigest()[:8]
    return f"{place}#{mark}"
