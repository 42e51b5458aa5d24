"""What both clients share: settings, the service, the ledger, and the rules of an order."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import httpx

from civitai_skill._version import __version__
from civitai_skill.api import wait as waiting
from civitai_skill.api import workflows
from civitai_skill.api.drivers import refuse_closed
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Retry, Service
from civitai_skill.client.options import PurchaseRules, RequestLike
from civitai_skill.config import SITE_PATH, Secret, Settings, expand_home
from civitai_skill.engines.published.kept import followed
from civitai_skill.errors import ApiError, ConfigError, Problem, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE
from civitai_skill.ledger.budget import Budget, read_budget
from civitai_skill.ledger.ledger import LOOK_PATIENCE, Ledger
from civitai_skill.ledger.reports import JUST_BOUGHT
from civitai_skill.purchase import generate
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.events import ignore_event
from civitai_skill.purchase.join import close_answered
from civitai_skill.purchase.order import Order, Unconfirmed, WorkflowBody, keep_nothing
from civitai_skill.resources.site import A_DAY, ModelSite
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.storage.cache import Cache

#: Doors whose caller is a program: the same request twice at once means two. What a dead process
#: left open is taken up here as everywhere.
PROGRAMS = frozenset({"python", "rest"})

Folder = str | os.PathLike[str]


class BaseClient:
    """What both clients share.

    `key` falls back to CIVITAI_API_KEY and CIVITAI_API_TOKEN, `base_url` to CIVITAI_BASE_URL.
    `sandbox` is True, or a Sandbox of one's own. `max_buzz` is the most one call may cost (Buzz);
    CIVITAI_MAX_BUZZ, or 300, when left out. `ledger` names another file, or turns it off (False).
    `settings` replaces all but the last.
    """

    #: Are its methods coroutine functions?
    asynchronous: ClassVar[bool] = False
    _http: httpx.Client | httpx.AsyncClient

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
        self._models = Cache(self.settings.home / "models.sqlite3", A_DAY)
        self._unsettled: dict[str, bytes] = {}
        #: When it bought workflows, by id (time.monotonic).
        self._bought: dict[str, float] = {}
        #: Does a purchase stay open until its caller surely has the answer: until the next call,
        #: `confirm`, `close`, or the end of the program? A server decides that itself.
        self.confirms = True
        self._unconfirmed: Unconfirmed = []
        weakref.finalize(self, close_answered, self._unconfirmed)
        #: Does it reach the service in a way that only this process knows?
        self.has_own_transport = transport is not None and not self.settings.sandbox
        where, site = self.settings.base_url, self.settings.site_url
        sent, simulated = self.settings.key, self.settings.sandbox
        if simulated:
            from civitai_skill.sandbox import BASE_URL, KEY, Sandbox, SandboxTransport

            where, site, sent = BASE_URL, BASE_URL + SITE_PATH, sent or Secret(KEY)
            if transport is None:
                own = own or Sandbox(self.settings.home / "sandbox.sqlite3")
                transport = SandboxTransport(own)
        self._transport = transport
        agent = f"civitai-skill/{__version__}"
        #: The service and the site, for what needs no key; where there is one, it is sent.
        self._public = Service(where, sent, agent, retry or Retry(), site, simulated=simulated)
        followed.set(self.settings.engines_file)
        #: Names the service and the account, so that no run of another one is ever joined.
        self.account = _name_account(self.settings, own)

    @classmethod
    def like(cls, other: BaseClient) -> Self:
        """A client of this kind with another's settings, ledger, way to the service and account."""
        if other.is_closed:
            refuse_closed()
        made = cls(
            settings=other.settings,
            retry=other._public.retry,
            ledger=False,
            transport=other._transport,
        )
        made.confirms = other.confirms
        made.ledger, made.account, made._bought = other.ledger, other.account, other._bought
        made._unsettled, made._models = other._unsettled, other._models
        return made

    @property
    def is_closed(self) -> bool:
        """Was it closed? Then every call is refused."""
        return self._http.is_closed

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

    @property
    def _site(self) -> ModelSite:
        """The site of the models; what it was asked of one is kept for a day."""
        return ModelSite(self._public, self._models, self.account)

    # -- orders ------------------------------------------------------------------------------------
    def _order(
        self, asked: RequestLike, given: Mapping[str, Any], out: Folder | None = None
    ) -> Order:
        """What a call asks for by its keywords, under our rules. Raises RequestInvalid."""
        followed.set(self.settings.engines_file)
        fields = dict(given)
        rules = {name: fields.pop(name) for name in PurchaseRules.__annotations__ if name in fields}
        limit, purpose = rules.get("max_buzz"), rules.get("purpose", "python")
        terms, notes, keep_all, sources = Terms(), False, False, EVERY_SOURCE
        if isinstance(asked, WorkflowBody):
            if fields:
                known = ", ".join(PurchaseRules.__annotations__)
                raise RequestInvalid(Problem(next(iter(fields)), None, known))
        else:
            notes, keep_all = fields.pop("notes", False), fields.pop("keep_all", False)
            sources = fields.pop("sources", EVERY_SOURCE)
            own = [name for name in Terms.__dataclass_fields__ if name in fields]
            terms = Terms(**{name: fields.pop(name) for name in own})
            if isinstance(asked, FinishRequest):
                asked = FinishRequest.of(asked, **fields)
            else:
                asked = ImageRequest.of(asked, **fields)
        return Order(
            asked=asked,
            terms=terms,
            limit=self.settings.max_buzz if limit is None else limit,
            out=None if out is None else expand_home(out),
            ledger=self.ledger,
            budget=self._budget,
            account=self.account,
            purpose=purpose,
            again=rules.get("again", False),
            notes=notes,
            keep_all=keep_all,
            joins=purpose not in PROGRAMS,
            sources=replace(sources, service=self.settings.base_url),
            tell=rules.get("tell") or ignore_event,
            keep=keep_nothing if self.ledger is not None else self._unsettled.__setitem__,
            unconfirmed=self._unconfirmed if self.confirms else None,
            models=self._models,
        )

    @cached_property
    def _budget(self) -> Budget | None:
        """The budget that the environment sets; else the ledger's own counts, where it has one."""
        text = None if self.ledger is None else self.settings.budget
        return read_budget(text, "CIVITAI_BUDGET") if text else None

    # -- what was bought a moment ago: the service has it, whatever a look answers -----------------
    def _note_bought(self, workflow_id: str) -> None:
        """It was bought just now."""
        now = time.monotonic()
        self._bought[workflow_id] = now
        while (oldest := next(iter(self._bought))) and now - self._bought[oldest] > JUST_BOUGHT:
            del self._bought[oldest]

    def _is_just_bought(self, workflow_id: str) -> Flow[bool]:
        """Was it just bought, by this client or, as the ledger knows, by another?"""
        if time.monotonic() - self._bought.get(workflow_id, -JUST_BOUGHT) < JUST_BOUGHT:
            return True
        return (yield from generate.ask(self.ledger, Ledger.is_just_bought, workflow_id))

    def _look(self, workflow_id: str, held: float = 0.0) -> Flow[Workflow]:
        """Read a workflow; one that was just bought is looked for again where a look fails."""
        service = self._service
        paid = yield from generate.ask(self.ledger, Ledger.is_paid, workflow_id)
        try:
            return (yield from workflows.get(service, workflow_id, wait=held, committed=paid))
        except ApiError:
            if not (yield from self._is_just_bought(workflow_id)):
                raise
            unseen, until = Workflow(workflow_id, "unknown"), time.monotonic() + waiting.LAG
            seen = yield from waiting.look_until(
                service, unseen, lambda seen: seen is not unseen, until=until
            )
            if seen is unseen:
                raise
            return seen


#: Names for sandboxes that live in memory, for as long as they live.
_UNWRITTEN: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _name_account(settings: Settings, sandbox: Any) -> str:
    """A name that tells accounts and services apart, so that no run of another one is joined."""
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
