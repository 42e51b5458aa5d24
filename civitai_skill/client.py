"""Civitai and AsyncCivitai: the same methods over the same flows.

    with Civitai() as client:
        result = client.generate("a red fox in the snow", engine="z-image", out="pictures")
        print(result.paths, result.workflow.cost.total)

Whatever buys takes an ImageRequest, or a prompt with the request's fields as keywords. Errors are
those of `civitai_skill.errors`.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import httpx

from civitai_skill import __version__, flows, generation, pricing
from civitai_skill.config import Secret, Settings
from civitai_skill.delivery import Generation
from civitai_skill.drivers import adrive, drive
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.exchange import Flow, Retry, Service
from civitai_skill.flows import Canceled, Health, Page, Quote, Releasing
from civitai_skill.generation import Tell
from civitai_skill.ledger import Ledger, Run, budget_of
from civitai_skill.options import Asked, Buying, Call, Filters, Pricing
from civitai_skill.pool import divided
from civitai_skill.workflow import Workflow

if TYPE_CHECKING:
    from civitai_skill.verify import Row

#: Seconds until waiting is given up. Steps time out after 20 minutes on the service.
TIMEOUT = 1200.0
#: Seconds that one answer may be held (the service's own limit for a request is 100).
LONGEST_WAIT = 90.0

Folder = str | os.PathLike[str]


class _Client:
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
        self._where = _account(self.settings, own)

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
        return flows.release(self._service, workflow_id, limit=limit, tell=tell)

    def _verify(self, only: str | None, tell: Callable[[Row], None] | None) -> Flow[list[Row]]:
        from civitai_skill.verify import verify

        return verify(self._service, only, tell)

    def _health(self) -> Flow[Health]:
        if self.settings.sandbox or self.settings.key:
            return flows.health(self._service)
        return flows.health(Service(self.settings.base_url, Secret(""), "civitai-skill"))

    def _order(self, call: Call) -> generation.Order:
        return generation.Order(
            request=call.request,
            terms=call.terms,
            limit=self.settings.max_buzz if call.max_buzz is None else call.max_buzz,
            ledger=self.ledger,
            budget=None if self.ledger is None else budget_of(self.settings.budget, self.ledger),
            where=self._where,
            purpose=call.purpose,
            again=call.again,
            joins=call.purpose != "python",
            tell=call.tell,
            keep=self._unsettled.__setitem__,
        )

    def _estimate(self, request: Asked, given: Pricing) -> Flow[Quote]:
        call, service = Call(request, given), self._service
        decided, opened = yield from pricing.decide(call.request)
        decided = yield from pricing.placed(service, decided, opened)
        return (yield from pricing.quoted(service, decided, call.terms))

    def _submit(self, request: Asked, given: Buying) -> Flow[Workflow]:
        order = self._order(Call(request, given))
        return (yield from generation.submitted_only(self._service, order)).workflow

    def _generate(
        self, request: Asked, out: Folder, timeout: float, given: Buying
    ) -> Flow[Generation]:
        order = self._order(Call(request, given))
        return generation.generated(self._service, order, out=Path(out), timeout=timeout)

    def _get(self, workflow_id: str, wait: float) -> Flow[Workflow]:
        return flows.get(self._service, workflow_id, wait=min(wait, LONGEST_WAIT))

    def _wait(self, workflow: Workflow | str, timeout: float, tell: Tell | None) -> Flow[Workflow]:
        return flows.wait(self._service, workflow, timeout=timeout, tell=tell)

    def _page(self, cursor: str | None, filters: Filters) -> Flow[Page]:
        return flows.query(self._service, cursor=cursor, **filters)

    def _cancel(self, workflow_id: str) -> Flow[Canceled]:
        return flows.cancel(self._service, workflow_id)

    def _download(
        self, workflow: Workflow | str, out: Folder, tell: Tell | None
    ) -> Flow[Generation]:
        service = self._service
        if isinstance(workflow, str):
            workflow = yield from flows.get(service, workflow)
        if not workflow.done:
            raise flows.still_running(workflow, 0)
        told = tell or generation.silent
        return (
            yield from generation.fetched(service, self.ledger, workflow, out=Path(out), tell=told)
        )

    def _settle(self, key: str) -> Flow[Workflow]:
        content = self._unsettled.get(key)
        run = self.ledger.run(key) if content is None and self.ledger is not None else None
        if run is not None:
            content = run.body
        if content is None:
            raise RequestInvalid(
                Problem("key", key, "the key of a submit that this client or its ledger knows")
            )
        workflow = yield from flows.submit(self._service, content, key)
        self._unsettled.pop(key, None)
        if self.ledger is not None:
            self.ledger.submitted(key, workflow.id, workflow.cost.total)
        return workflow

    def _resume(
        self, run: Run, timeout: float, out: Folder | None, tell: Tell | None
    ) -> Flow[Generation]:
        order = self._order(Call("-", {"tell": tell, "purpose": "resume"}))
        folder = None if out is None else Path(out)
        return generation.resumed(self._service, order, run, timeout=timeout, out=folder)


def _account(settings: Settings, sandbox: Any) -> str:
    """Names the service and the account, so that no run of another one is ever joined."""
    if not settings.sandbox:
        place = settings.base_url
    elif sandbox is None or sandbox.memory is None:
        place = f"sandbox:{uuid.uuid4().hex}"
    else:
        place = f"sandbox:{sandbox.memory}"
    mark = hashlib.sha256(settings.key.reveal().encode()).hexdigest()[:8]
    return f"{place}#{mark}"


class Civitai(_Client):
    __doc__ = f"The synchronous client.\n\n{_Client.__doc__}"

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.Client(transport=self._transport)

    def close(self) -> None:
        """Close the connections. Work that was submitted goes on."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def estimate(self, request: Asked, **given: Unpack[Pricing]) -> Quote:
        """Ask the service for the price in Buzz. Spends nothing."""
        return drive(self._estimate(request, given), self._http)

    def submit(self, request: Asked, **given: Unpack[Buying]) -> Workflow:
        """Submit and come back at once; the price is checked first.

        Raises OverBudget above `max_buzz`, TransportFailed with the key when it is not known
        whether the service took it.
        """
        return drive(self._submit(request, given), self._http)

    def generate(
        self,
        request: Asked,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[Buying],
    ) -> Generation:
        """Price, submit, wait up to `timeout` seconds, and save the pictures in the folder `out`.

        Raises WorkflowFailed when fewer pictures came than were asked for (those that came are
        saved and stand in `error.result`), StillRunning at the deadline; giving up never cancels.
        """
        return drive(self._generate(request, out, timeout, given), self._http)

    def get(self, workflow_id: str, *, wait: float = 0.0) -> Workflow:
        """Read a workflow; with `wait` (seconds, at most 90) the service may hold the answer."""
        return drive(self._get(workflow_id, wait), self._http)

    def wait(
        self, workflow: Workflow | str, *, timeout: float = TIMEOUT, tell: Tell | None = None
    ) -> Workflow:
        """Wait until a workflow ends. Raises StillRunning after `timeout` seconds."""
        return drive(self._wait(workflow, timeout, tell), self._http)

    def page(self, cursor: str | None = None, **filters: Unpack[Filters]) -> Page:
        """One page of past workflows, newest first; `Page.next` is the next one's cursor."""
        return drive(self._page(cursor, filters), self._http)

    def query(self, **filters: Unpack[Filters]) -> Iterator[Workflow]:
        """Every matching workflow; pages are read as they are wanted."""
        cursor: str | None = None
        while True:
            page = self.page(cursor, **filters)
            yield from page.items
            if page.next is None or page.next == cursor:
                return
            cursor = page.next

    def cancel(self, workflow_id: str) -> Canceled:
        """Cancel a workflow; says what was refunded. One that has ended is left as it is."""
        return drive(self._cancel(workflow_id), self._http)

    def download(
        self, workflow: Workflow | str, out: Folder = ".", *, tell: Tell | None = None
    ) -> Generation:
        """Save the pictures of a finished workflow in the folder `out`.

        Raises StillRunning when it has not ended, WorkflowFailed when pictures are missing.
        """
        return drive(self._download(workflow, out, tell), self._http)

    def settle(self, key: str) -> Workflow:
        """Send a submit of unknown fate again, the same bytes and key: it can't pay twice."""
        return drive(self._settle(key), self._http)

    def resume(
        self,
        run: Run,
        *,
        timeout: float = TIMEOUT,
        out: Folder | None = None,
        tell: Tell | None = None,
    ) -> Generation:
        """Finish an open run of the ledger (see `ledger.unfinished`); it is never bought anew."""
        return drive(self._resume(run, timeout, out, tell), self._http)

    def release(
        self,
        workflow_id: str,
        *,
        max_buzz: int | None = None,
        tell: Callable[[Releasing], None] | None = None,
    ) -> Workflow:
        """Accept a mature result that is held back; `tell` hears the price (yellow Buzz) first."""
        return drive(self._release(workflow_id, max_buzz, tell), self._http)

    def verify(
        self, only: str | None = None, *, tell: Callable[[Row], None] | None = None
    ) -> list[Row]:
        """Price one body of every wire form, and compare with our own rules. Spends nothing."""
        return drive(self._verify(only, tell), self._http)

    def health(self) -> Health:
        """Does the service answer, and does it take the key? Spends nothing, raises nothing."""
        return drive(self._health(), self._http)


class AsyncCivitai(_Client):
    __doc__ = f"The asynchronous client.\n\n{_Client.__doc__}"

    def __init__(self, key: Any = None, **settings: Any) -> None:
        super().__init__(key, **settings)
        self._http = httpx.AsyncClient(transport=self._transport or divided())

    async def close(self) -> None:
        """Close the connections. Work that was submitted goes on."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def estimate(self, request: Asked, **given: Unpack[Pricing]) -> Quote:
        """See Civitai.estimate."""
        return await adrive(self._estimate(request, given), self._http)

    async def submit(self, request: Asked, **given: Unpack[Buying]) -> Workflow:
        """See Civitai.submit."""
        return await adrive(self._submit(request, given), self._http)

    async def generate(
        self,
        request: Asked,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[Buying],
    ) -> Generation:
        """See Civitai.generate."""
        return await adrive(self._generate(request, out, timeout, given), self._http)

    async def get(self, workflow_id: str, *, wait: float = 0.0) -> Workflow:
        """See Civitai.get."""
        return await adrive(self._get(workflow_id, wait), self._http)

    async def wait(
        self, workflow: Workflow | str, *, timeout: float = TIMEOUT, tell: Tell | None = None
    ) -> Workflow:
        """See Civitai.wait."""
        return await adrive(self._wait(workflow, timeout, tell), self._http)

    async def page(self, cursor: str | None = None, **filters: Unpack[Filters]) -> Page:
        """See Civitai.page."""
        return await adrive(self._page(cursor, filters), self._http)

    async def query(self, **filters: Unpack[Filters]) -> AsyncIterator[Workflow]:
        """See Civitai.query."""
        cursor: str | None = None
        while True:
            page = await self.page(cursor, **filters)
            for workflow in page.items:
                yield workflow
            if page.next is None or page.next == cursor:
                return
            cursor = page.next

    async def cancel(self, workflow_id: str) -> Canceled:
        """See Civitai.cancel."""
        return await adrive(self._cancel(workflow_id), self._http)

    async def download(
        self, workflow: Workflow | str, out: Folder = ".", *, tell: Tell | None = None
    ) -> Generation:
        """See Civitai.download."""
        return await adrive(self._download(workflow, out, tell), self._http)

    async def settle(self, key: str) -> Workflow:
        """See Civitai.settle."""
        return await adrive(self._settle(key), self._http)

    async def resume(
        self,
        run: Run,
        *,
        timeout: float = TIMEOUT,
        out: Folder | None = None,
        tell: Tell | None = None,
    ) -> Generation:
        """See Civitai.resume."""
        return await adrive(self._resume(run, timeout, out, tell), self._http)

    async def release(
        self,
        workflow_id: str,
        *,
        max_buzz: int | None = None,
        tell: Callable[[Releasing], None] | None = None,
    ) -> Workflow:
        """See Civitai.release."""
        return await adrive(self._release(workflow_id, max_buzz, tell), self._http)

    async def verify(
        self, only: str | None = None, *, tell: Callable[[Row], None] | None = None
    ) -> list[Row]:
        """See Civitai.verify."""
        return await adrive(self._verify(only, tell), self._http)

    async def health(self) -> Health:
        """See Civitai.health."""
        return await adrive(self._health(), self._http)
