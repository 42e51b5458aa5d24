"""What both clients do. Each method is written once, as the flow behind it; Civitai runs the flow
on the caller's thread, AsyncCivitai in the caller's task (see api/drivers.py).

Whatever buys takes an ImageRequest, or a prompt with the request's fields as keywords. Errors are
those of `civitai_skill.errors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from civitai_skill.api import wait as waiting
from civitai_skill.api import workflows
from civitai_skill.api.changes import Canceled, cancel
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Work
from civitai_skill.api.workflows import Health, Page, Quote
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.client.method import method
from civitai_skill.client.options import (
    AgainOptions,
    FinishOptions,
    PriceOptions,
    PurchaseOptions,
    QueryFilters,
    RemixOptions,
    RequestLike,
    SearchOptions,
    finishing,
)
from civitai_skill.client.refresh import Refreshed, refresh
from civitai_skill.config import Secret, expand_home
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE
from civitai_skill.ledger.ledger import Ledger, current_budget
from civitai_skill.ledger.run import Run
from civitai_skill.purchase import generate, price, release, resume
from civitai_skill.purchase.buy import Preview, preview
from civitai_skill.purchase.events import Releasing, Tell, ignore_event
from civitai_skill.purchase.finish import finish_pictures
from civitai_skill.purchase.generate import OnSubmitted
from civitai_skill.purchase.join import check_account, write_quietly
from civitai_skill.purchase.result import Generation, summarize_unsaved
from civitai_skill.resources.describe import ModelDescription, describe
from civitai_skill.resources.search import FoundModels, search
from civitai_skill.schema.request import ImageRequest

if TYPE_CHECKING:
    from civitai_skill.remix.remix import Remix

#: Seconds until waiting is given up. A step times out after 20 minutes on the service, and may
#: stand in the queue before (civitai-api facts; medians of upstream facts 1.4).
TIMEOUT = 1800.0
#: Seconds that one answer may be held (the service's own limit for a request is 100).
LONGEST_WAIT = 90.0


class Methods(BaseClient):
    """The methods of both clients."""

    # -- buying ------------------------------------------------------------------------------------
    @method
    def estimate(self, request: RequestLike, **given: Unpack[PriceOptions]) -> Flow[Quote]:
        """Ask the service for the price in Buzz. Spends nothing."""
        return price.estimate(self._service, self._order(request, given))

    @method
    def submit(
        self,
        request: RequestLike,
        *,
        told: OnSubmitted | None = None,
        out: Folder | None = None,
        **given: Unpack[PurchaseOptions],
    ) -> Flow[Workflow]:
        """Submit and come back at once; the price is checked first.

        `told` gets the workflow before the ledger takes it for handed over: where it raises, the
        same request goes on with this purchase. `out` is where its pictures will go: a `generate`
        into that folder goes on with it, and so does `resume`. Raises OverBudget above `max_buzz`,
        TransportFailed with the key when it is not known whether the service took it.
        """
        order = self._order(request, given, out)
        bought = (yield from generate.submit(self._service, order, told)).workflow
        self._note_bought(bought.id or "")
        return bought

    @method
    def generate(
        self,
        request: RequestLike,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[PurchaseOptions],
    ) -> Flow[Generation]:
        """Price, submit, wait up to `timeout` seconds, and save the pictures in the folder `out`.

        Raises WorkflowFailed when fewer pictures came than were asked for (those that came are
        saved and stand in `error.result`), StillRunning at the deadline; giving up never cancels.
        """
        order = self._order(request, given, out)
        return generate.generate(self._service, order, timeout=timeout)

    @method
    def finish(
        self,
        pictures: Any,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[FinishOptions],
    ) -> Flow[Generation]:
        """Finish pictures that are there: upscale, cut out, as SVG, in exact pixels, described.

        `pictures` is one or several, each as a source of a request is named, or a FinishRequest;
        `given` are its fields and what surrounds a purchase. What needs no service is done on this
        machine and costs nothing; the rest is one workflow, priced first. Errors as for `generate`.
        """
        order = self._order(*finishing(pictures, given), out)
        return finish_pictures(self._public, lambda: self._service, order, timeout=timeout)

    @method
    def again(
        self,
        picture: Folder,
        *,
        out: Folder = ".",
        timeout: float = TIMEOUT,
        **given: Unpack[AgainOptions],
    ) -> Flow[Generation]:
        """Make a picture of ours once more, with what is said otherwise.

        `picture` is its file: found by the NAME.json beside it, by the ledger however it is called
        now, or by what stands in it. Engine, prompt and seed stay. Raises RequestInvalid for a
        picture that nobody knows here; else as `generate`.
        """
        from civitai_skill.client.again import same_again, vary_picture

        more: dict[str, Any] = {"notes": True, **given}
        said = {name: more.pop(name) for name in given if name in ImageRequest.model_fields}
        request = yield Work(partial(vary_picture, expand_home(picture), said, self.ledger))
        order = self._order(request, more, out)
        if not said:
            order = replace(order, told=same_again(request))
        return (yield from generate.generate(self._service, order, timeout=timeout))

    @method
    def preview(
        self, request: RequestLike, *, out: Folder | None = None, **given: Unpack[PurchaseOptions]
    ) -> Flow[Preview]:
        """Say what buying this would do; sends nothing.

        `out` is the folder that `generate` would be given, None for `submit`. Raises StillRunning
        while another call is making the same.
        """
        return preview(self._public, self._order(request, given, out))

    @method
    def buzz_left(self) -> Flow[int | None]:
        """Buzz that the budget still allows; None where there is none."""
        ledger, text = self.ledger, self.settings.budget
        if ledger is None:
            return None
        left: int | None = yield Work(lambda: ledger.left_buzz(current_budget(text, ledger)))
        return left

    # -- what was bought ---------------------------------------------------------------------------
    @method
    def get(self, workflow_id: str, *, wait: float = 0.0) -> Flow[Workflow]:
        """Read a workflow; with `wait` (seconds, at most 90) the service may hold the answer."""
        if self._unconfirmed:
            yield Work(self.confirm)
        seen = yield from self._look(workflow_id, min(wait, LONGEST_WAIT))
        return (yield from generate.record_end(self.ledger, seen))

    @method
    def wait(
        self, workflow: Workflow | str, *, timeout: float = TIMEOUT, tell: Tell | None = None
    ) -> Flow[Workflow]:
        """Wait until a workflow ends. Raises StillRunning after `timeout` seconds."""
        if self._unconfirmed:
            yield Work(self.confirm)
        lately = yield from self._is_just_bought(
            workflow if isinstance(workflow, str) else workflow.id or ""
        )
        end = waiting.wait(self._service, workflow, timeout=timeout, tell=tell, just_bought=lately)
        return (yield from generate.record_end(self.ledger, (yield from end)))

    @method
    def page(self, cursor: str | None = None, **filters: Unpack[QueryFilters]) -> Flow[Page]:
        """One page of past workflows, newest first; `Page.next` is the next one's cursor."""
        if self._unconfirmed:
            yield Work(self.confirm)
        return (yield from workflows.query(self._service, cursor=cursor, **filters))

    @method
    def saved_paths(self, page: Page) -> Flow[dict[str, list[str]]]:
        """{workflow's id: where its pictures were saved}, as far as this machine's ledger knows."""
        ids = [workflow.id for workflow in page.items if workflow.id is not None]
        if self.ledger is None:
            return {}
        paths: dict[str, list[str]] = yield Work(partial(self.ledger.saved_paths, ids))
        return paths

    @method
    def cancel(self, workflow_id: str) -> Flow[Canceled]:
        """Cancel a workflow; says what was refunded. One that has ended is left as it is."""
        if self._unconfirmed:
            yield Work(self.confirm)
        paid = yield from generate.ask(self.ledger, Ledger.is_paid, workflow_id)
        canceled = yield from cancel(self._service, workflow_id, committed=paid)
        yield from generate.record_end(self.ledger, canceled.workflow)
        return canceled

    @method
    def download(
        self, workflow: Workflow | str, out: Folder = ".", *, tell: Tell | None = None
    ) -> Flow[Generation]:
        """Save the pictures of a finished workflow in the folder `out`.

        Raises StillRunning when it has not ended, WorkflowFailed when pictures are missing.
        """
        if self._unconfirmed:
            yield Work(self.confirm)
        service = self._service
        if isinstance(workflow, str):
            workflow = yield from self._look(workflow)
        workflow = yield from generate.record_end(self.ledger, workflow)
        if not workflow.done:
            error = waiting.still_running_error(workflow, 0)
            raise error.replace(result=summarize_unsaved(workflow))
        home, hear = expand_home(out), tell or ignore_event
        return (yield from generate.download(service, self.ledger, workflow, out=home, tell=hear))

    @method
    def settle(self, key: str) -> Flow[Workflow]:
        """Send a submit of unknown fate again, the same bytes and key: it can't pay twice."""
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

    @method
    def resume(
        self,
        run: Run,
        *,
        timeout: float = TIMEOUT,
        out: Folder | None = None,
        tell: Tell | None = None,
        max_buzz: int | None = None,
    ) -> Flow[Generation]:
        """Finish an open run of the ledger (`ledger.unfinished()`), which is never bought anew; or
        buy one of `ledger.failed()` once more."""
        given = {"tell": tell, "purpose": "resume", "max_buzz": max_buzz}
        order = self._order("-", given, out)
        return resume.resume(self._service, order, run, timeout=timeout)

    @method
    def release(
        self,
        workflow_id: str,
        *,
        max_buzz: int | None = None,
        tell: Callable[[Releasing], None] | None = None,
    ) -> Flow[Workflow]:
        """Accept a mature result that is held back; `tell` hears the price (yellow Buzz) first."""
        seen = yield from release.release(
            self._service,
            workflow_id,
            limit=self.settings.max_buzz if max_buzz is None else max_buzz,
            ledger=self.ledger,
            budget=self._budget,
            account=self.account,
            tell=tell,
        )
        return (yield from generate.record_end(self.ledger, seen))

    # -- what needs no key -------------------------------------------------------------------------
    @method
    def remix(self, source: Any, **changes: Unpack[RemixOptions]) -> Flow[Remix]:
        """Make a request of a picture's generation data; spends nothing.

        `source` is a picture's file (path or bytes), a text, or the address of a picture's page on
        Civitai; `changes` are fields of a request, and win. `Remix.request` is what to generate: of
        a picture of ours, however it is called now, exactly what made it.
        """
        from civitai_skill.client.again import find_own
        from civitai_skill.remix.remix import remix

        said: dict[str, Any] = dict(changes)
        sources = replace(said.pop("sources", EVERY_SOURCE), service=self.settings.base_url)
        own = yield Work(partial(find_own, source, sources, self.ledger))
        return (yield from remix(self._site, source, said, sources, own))

    @method
    def search_models(self, query: str = "", **given: Unpack[SearchOptions]) -> Flow[FoundModels]:
        """Search the site for checkpoints, LoRAs, embeddings and VAEs that can be generated with.

        Raises RequestInvalid for what can't be searched for; TransportFailed and ApiError where the
        site gives no usable answer.
        """
        return search(self._site, query, **given)

    @method
    def describe_model(self, named: str, *, mature: bool = False) -> Flow[ModelDescription]:
        """All about one model, named by its AIR, its page's address, a file hash or name:TEXT;
        `mature` lets a name mean a mature one. Raises like search_models."""
        return describe(self._site, named, mature=mature)

    @method
    def health(self) -> Flow[Health]:
        """Does the service answer, and does it take the key? Spends nothing, raises nothing."""
        return workflows.health(self._public)

    @method
    def refresh_engines(self) -> Flow[Refreshed]:
        """Fetch the service's published document and its catalogue, without the key.

        What they have beyond our files works from then on: new engines by their names, new fields
        and values with a warning; the catalogue's times replace ours while they are fresh. Raises
        TransportFailed or ApiError where neither could be had; what was kept before holds on.
        """
        public = replace(self._public, key=Secret(""))
        owner = "the sandbox" if self.settings.sandbox else "the service"
        return refresh(public, self.settings.engines_file, owner)
