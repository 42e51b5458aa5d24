"""What both clients share: settings, the service, the ledger, and the flow behind each method."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Self

from civitai_skill._version import __version__
from civitai_skill.api import wait as waiting
from civitai_skill.api import workflows
from civitai_skill.api.changes import Canceled, cancel
from civitai_skill.api.drivers import refuse_closed
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Retry, Service, Work
from civitai_skill.api.workflows import Health, Page, Quote
from civitai_skill.client.account import name_account
from civitai_skill.client.lately import Lately
from civitai_skill.client.options import (
    Call,
    PriceOptions,
    PurchaseOptions,
    QueryFilters,
    RequestLike,
)
from civitai_skill.client.refresh import Refreshed, refresh
from civitai_skill.config import SITE_PATH, Secret, Settings, expand_home
from civitai_skill.engines.published.kept import followed
from civitai_skill.errors import ConfigError, Problem, RequestInvalid
from civitai_skill.ledger.budget import Budget, read_budget
from civitai_skill.ledger.ledger import LOOK_PATIENCE, Ledger, current_budget
from civitai_skill.ledger.run import Run
from civitai_skill.purchase import generate, resume
from civitai_skill.purchase.buy import Preview, preview
from civitai_skill.purchase.events import Releasing, Tell, ignore_event
from civitai_skill.purchase.generate import OnSubmitted
from civitai_skill.purchase.join import check_account, close_answered, write_quietly
from civitai_skill.purchase.order import Order, Unconfirmed, keep_nothing
from civitai_skill.purchase.price import estimate
from civitai_skill.purchase.release import release
from civitai_skill.purchase.result import Generation, summarize_unsaved
from civitai_skill.resources.site import A_DAY
from civitai_skill.storage.cache import Cache

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
            self.ledger = Ledger(expand_home(named) if named else self.settings.ledger)
        self._retry = retry or Retry()
        self._models = Cache(self.settings.home / "models.sqlite3", A_DAY)
        self._unsettled: dict[str, bytes] = {}
        self._lately = Lately()
        #: Does a purchase stay open until its caller surely has the answer: until the next call,
        #: `confirm`, `close`, or the end of the program? A server decides that itself.
        self.confirms = True
        self._unconfirmed: Unconfirmed = []
        weakref.finalize(self, close_answered, self._unconfirmed)
        #: Does it reach the service in a way that only this process knows?
        self.has_own_transport = transport is not None and not self.settings.sandbox
        if transport is None and self.settings.sandbox:
            from civitai_skill.sandbox import Sandbox, SandboxTransport

            memory = self.settings.home / "sandbox.sqlite3"
            own = Sandbox(memory) if own is None else own
            transport = SandboxTransport(own)
        self._transport = transport
        followed.set(self.settings.engines_file)
        #: Names the service and the account, so that no run of another one is ever joined.
        self.account = name_account(self.settings, own)

    @classmethod
    def like(cls, other: BaseClient) -> Self:
        """A client of this kind with another's settings, ledger, way to the service and account."""
        if other.is_closed:
            refuse_closed()
        made = cls(
            settings=other.settings, retry=other._retry, ledger=False, transport=other._transport
        )
        made.confirms = other.confirms
        made.ledger, made.account, made._lately = other.ledger, other.account, other._lately
        made._unsettled, made._models = other._unsettled, other._models
        return made

    @property
    def is_closed(self) -> bool:
        """Was it closed? Then every call is refused."""
        raise NotImplementedError

    def confirm(self) -> None:
        """Say that the answers of all calls so far have arrived: their purchases are over.

        Until then the same request goes on with such a purchase when this program has died.
        """
        close_answered(self._unconfirmed, LOOK_PATIENCE)

    def keep_open(self) -> None:
        """Say that the answers since the last `confirm` did not arrive: the same request goes on
        with their purchases."""
        while self._unconfirmed:
            ledger, key = self._unconfirmed.pop()
            with suppress(ConfigError):
                ledger.release(key)

    def __repr__(self) -> str:
        where = "the sandbox" if self.settings.sandbox else self.settings.base_url
        return f"{type(self).__name__}({where})"

    @property
    def _service(self) -> Service:
        if not self.settings.sandbox:
            self.settings.require_key()
        return self._public

    @cached_property
    def _public(self) -> Service:
        """The service and the site, for what needs no key; where there is one, it is sent."""
        agent, settings = f"civitai-skill/{__version__}", self.settings
        if not settings.sandbox:
            where = settings.base_url, settings.key
            return Service(*where, agent, self._retry, settings.site_url)
        from civitai_skill.sandbox import BASE_URL, KEY

        key, site = settings.key or Secret(KEY), BASE_URL + SITE_PATH
        return Service(BASE_URL, key, agent, self._retry, site, simulated=True)

    # -- orders ------------------------------------------------------------------------------------
    def _order(self, call: Call, out: Folder | None = None) -> Order:
        """What a call asks for, under this client's rules."""
        followed.set(self.settings.engines_file)
        return Order(
            asked=call.asked,
            terms=call.terms,
            limit=self.settings.max_buzz if call.max_buzz is None else call.max_buzz,
            out=None if out is None else expand_home(out),
            ledger=self.ledger,
            budget=self._budget,
            account=self.account,
            purpose=call.purpose,
            again=call.again,
            notes=call.notes,
            keep_all=call.keep_all,
            joins=call.purpose not in PROGRAMS,
            sources=replace(call.sources, service=self.settings.base_url),
            tell=call.tell,
            keep=keep_nothing if self.ledger is not None else self._unsettled.__setitem__,
            unconfirmed=self._unconfirmed if self.confirms else None,
            models=self._models,
        )

    @cached_property
    def _budget(self) -> Budget | None:
        """The budget that the environment sets; else the ledger's own counts, where it has one."""
        text = None if self.ledger is None else self.settings.budget
        return read_budget(text, "CIVITAI_BUDGET") if text else None

    def _left_buzz(self) -> Flow[int | None]:
        ledger = self.ledger
        if ledger is None:
            return None
        text = self.settings.budget
        left: int | None = yield Work(lambda: ledger.left_buzz(current_budget(text, ledger)))
        return left

    # -- the flow behind each method ---------------------------------------------------------------
    def _estimate(self, request: RequestLike, given: PriceOptions) -> Flow[Quote]:
        return estimate(self._service, self._order(Call(request, given)))

    def _preview(
        self, request: RequestLike, out: Folder | None, given: PurchaseOptions
    ) -> Flow[Preview]:
        return preview(self._public, self._order(Call(request, given), out))

    def _submit(
        self,
        request: RequestLike,
        told: OnSubmitted | None,
        out: Folder | None,
        given: PurchaseOptions,
    ) -> Flow[Workflow]:
        order = self._order(Call(request, given), out)
        bought = (yield from generate.submit(self._service, order, told)).workflow
        self._lately.note(bought.id or "")
        return bought

    def _generate(
        self, request: RequestLike, out: Folder, timeout: float, given: PurchaseOptions
    ) -> Flow[Generation]:
        order = self._order(Call(request, given), out)
        return generate.generate(self._service, order, timeout=timeout)

    def _get(self, workflow_id: str, wait: float) -> Flow[Workflow]:
        if self._unconfirmed:
            yield Work(self.confirm)
        held = min(wait, LONGEST_WAIT)
        look = self._lately.look(self._service, self.ledger, workflow_id, held)
        return (yield from generate.record_end(self.ledger, (yield from look)))

    def _wait(self, workflow: Workflow | str, timeout: float, tell: Tell | None) -> Flow[Workflow]:
        if self._unconfirmed:
            yield Work(self.confirm)
        id = workflow if isinstance(workflow, str) else workflow.id or ""
        lately = yield from self._lately.knows(self.ledger, id)
        end = waiting.wait(self._service, workflow, timeout=timeout, tell=tell, just_bought=lately)
        return (yield from generate.record_end(self.ledger, (yield from end)))

    def _page(self, cursor: str | None, filters: QueryFilters) -> Flow[Page]:
        if self._unconfirmed:
            yield Work(self.confirm)
        return (yield from workflows.query(self._service, cursor=cursor, **filters))

    def _saved_paths(self, page: Page) -> Flow[dict[str, list[str]]]:
        ledger, ids = self.ledger, [w.id for w in page.items if w.id is not None]
        if ledger is None:
            return {}
        paths: dict[str, list[str]] = yield Work(lambda: ledger.saved_paths(ids))
        return paths

    def _cancel(self, workflow_id: str) -> Flow[Canceled]:
        if self._unconfirmed:
            yield Work(self.confirm)
        paid = yield from generate.ask(self.ledger, Ledger.is_paid, workflow_id)
        canceled = yield from cancel(self._service, workflow_id, committed=paid)
        yield from generate.record_end(self.ledger, canceled.workflow)
        return canceled

    def _download(
        self, workflow: Workflow | str, out: Folder, tell: Tell | None
    ) -> Flow[Generation]:
        if self._unconfirmed:
            yield Work(self.confirm)
        service = self._service
        if isinstance(workflow, str):
            workflow = yield from self._lately.look(service, self.ledger, workflow)
        workflow = yield from generate.record_end(self.ledger, workflow)
        if not workflow.done:
            error = waiting.still_running_error(workflow, 0)
            raise error.replace(result=summarize_unsaved(workflow))
        hear = tell or ignore_event
        return (
            yield from generate.download(
                service, self.ledger, workflow, out=expand_home(out), tell=hear
            )
        )

    def _settle(self, key: str) -> Flow[Workflow]:
        content = self._unsettled.get(key)
        run = self.ledger.run(key) if content is None and self.ledger is not None else None
        if run is not None and run.state != "dropped":
            check_account(self.account, run)
            if run.workflow is not None:
                return (yield from workflows.get(self._service, run.workflow, committed=True))
            content = run.body
        if content is None:
            raise RequestInvalid(Problem("key", key, "the key of a submit whose fate is open here"))
        workflow = yield from workflows.submit(self._service, content, key)
        self._unsettled.pop(key, None)
        if self.ledger is not None:
            record = self.ledger.record_submitted
            yield from write_quietly(partial(record, key, workflow.id, workflow.cost.total))
        return workflow

    def _resume(
        self,
        run: Run,
        timeout: float,
        out: Folder | None,
        tell: Tell | None,
        max_buzz: int | None,
    ) -> Flow[Generation]:
        given: PurchaseOptions = {"tell": tell, "purpose": "resume", "max_buzz": max_buzz}
        order = self._order(Call("-", given), out)
        return resume.resume(self._service, order, run, timeout=timeout)

    def _release(
        self, workflow_id: str, max_buzz: int | None, tell: Callable[[Releasing], None] | None
    ) -> Flow[Workflow]:
        flow = release(
            self._service,
            workflow_id,
            limit=self.settings.max_buzz if max_buzz is None else max_buzz,
            ledger=self.ledger,
            budget=self._budget,
            account=self.account,
            tell=tell,
        )
        return (yield from generate.record_end(self.ledger, (yield from flow)))

    def _refresh_engines(self) -> Flow[Refreshed]:
        public = replace(self._public, key=Secret(""))
        owner = "the sandbox" if self.settings.sandbox else "the service"
        return refresh(public, self.settings.engines_file, owner)

    def _health(self) -> Flow[Health]:
        return workflows.health(self._public)
