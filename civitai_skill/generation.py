"""Buying: decide, price, write down, submit once, wait, bring home.

Every door goes through these flows. A purchase is in the ledger before its first byte leaves, and
the same request goes on with what an earlier process left open instead of buying it anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from civitai_skill import download, flows
from civitai_skill.alive import is_mine
from civitai_skill.delivery import Generation, Picture, Place, brought_home, summary
from civitai_skill.engines.plan import Plan, with_seed
from civitai_skill.errors import (
    ApiError,
    ConfigError,
    NotFound,
    Problem,
    RequestInvalid,
    StillRunning,
    TransportFailed,
    WorkflowFailed,
)
from civitai_skill.exchange import Flow, Service, Work
from civitai_skill.identity import identity_of
from civitai_skill.ledger import Budget, Ledger, Run
from civitai_skill.pricing import Priced, Terms, decide, guarded, placed
from civitai_skill.request import ImageRequest
from civitai_skill.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.workflow import Progress, Workflow


@dataclass(frozen=True)
class Submitting:
    """Told right before the submit leaves, with its idempotency key."""

    key: str


@dataclass(frozen=True)
class Submitted:
    """Told when the service has taken the workflow: from here on Buzz is committed."""

    workflow: Workflow
    plan: Plan


@dataclass(frozen=True)
class Resumed:
    """Told when an earlier purchase is taken up again instead of buying anew."""

    run: Run

    def __str__(self) -> str:
        what = self.run.workflow or f"key {self.run.key}"
        return f"Going on with an earlier purchase ({what}); nothing is bought anew."


Event = Priced | Submitting | Submitted | Resumed | Progress | Picture
Tell = Callable[[Event], None]


def silent(event: Event) -> None:
    """Tell nobody."""


Keep = Callable[[str, bytes], None]


def _forget(key: str, content: bytes) -> None:
    """Keep nothing."""


@dataclass(frozen=True)
class Order:
    """A purchase and the rules for it.

    `limit` is Buzz for this call, `budget` for all calls together. `again` buys anew whatever is
    open. `joins` says what happens to the same request while this process itself is still making
    it: True reports it (a caller that repeats itself), False buys it too (a program that wants
    several). `unpriced` lets a price through that nobody tells; `sources` says which sources may
    be named. `purpose` is for the ledger's reader; `where` tells accounts and services apart;
    `keep` gets the key and bytes of a submit whose fate stayed unknown.
    """

    request: ImageRequest
    terms: Terms
    limit: int
    ledger: Ledger | None = None
    budget: Budget | None = None
    where: str = ""
    purpose: str = "python"
    again: bool = False
    joins: bool = False
    unpriced: bool = False
    sources: SourcePolicy = EVERY_SOURCE
    tell: Tell = silent
    keep: Keep = _forget


@dataclass(frozen=True)
class Bought:
    """What an order came to: the workflow, the plan, and the run it is written under."""

    workflow: Workflow
    plan: Plan | None
    run: Run | None
    resumed: bool = False


# -- buying ----------------------------------------------------------------------------
def bought(service: Service, order: Order, out: Path | None = None) -> Flow[Bought]:
    """Decide, price, write down and submit once; or go on with what is open.

    Raises StillRunning when another process is making the same right now.
    """
    decided, opened = yield from decide(order.request, order.sources)
    order.terms.body(decided, order.terms.external_id)  # refuse the surroundings before sending
    ledger = order.ledger
    # A key of the caller's own is the purchase's name, wherever its pictures go.
    place = out if order.terms.external_id is None else None
    identity = identity_of(order.request, decided, opened, order.terms, order.where, place)
    if ledger is not None:
        earlier = yield Work(partial(_earlier, ledger, order, identity))
        if earlier is not None:
            return (yield from _gone_on(service, order, earlier, decided))
    decided = yield from placed(service, decided, opened)
    price = yield from guarded(
        service, decided, order.terms, order.limit, order.tell, order.request, order.unpriced
    )
    key = order.terms.external_id or flows.fresh_key()
    run = Run(
        key=key,
        identity=identity,
        purpose=order.purpose,
        body=flows.encoded(order.terms.body(decided, key)),
        wanted=decided.quantity,
        reserved=price,
        engine=decided.family,
        variant=decided.variant,
        out=None if out is None else str(out.absolute()),
    )
    if ledger is not None:
        earlier = yield Work(partial(_begun, ledger, order, run))
        if earlier is not None:
            return (yield from _gone_on(service, order, earlier, decided))
    workflow = yield from sent(service, order, run, certain=True)
    order.tell(Submitted(workflow, decided))
    return Bought(workflow, decided, run)


def _earlier(ledger: Ledger, order: Order, identity: str) -> Run | None:
    """The run to go on with, looked for before anything is asked of the service."""
    key = order.terms.external_id
    if key is not None:
        named = ledger.run(key)
        if named is None or named.state == "dropped":
            return None  # the service never had it, so it is a purchase like any other
        if named.identity == identity:
            return named  # whatever became of it: the service answers with the same workflow
        raise RequestInvalid(
            Problem("external_id", key, "a key of its own for each request", None,
                    "this key was used for another request")
        )  # fmt: skip
    found = None if order.again else ledger.open_run(identity)
    return found if found is not None and _joinable(ledger, order, found) else None


def _begun(ledger: Ledger, order: Order, run: Run) -> Run | None:
    """Write the run down; gives the earlier one when another process was first."""
    own = order.terms.external_id is not None
    begun = ledger.begin(run, again=order.again or own, budget=order.budget)
    if begun.fresh:
        return None
    if begun.run.key == run.key or _joinable(ledger, order, begun.run):
        return begun.run
    ledger.begin(run, again=True, budget=order.budget)
    return None


def _joinable(ledger: Ledger, order: Order, run: Run) -> bool:
    """May an order go on with this run? Raises StillRunning while its process lives."""
    if not ledger.alive(run):
        return True
    if is_mine(run.owner) and not order.joins:
        return False
    name = f"workflow {run.workflow}" if run.workflow else f"key {run.key}"
    raise StillRunning(
        f"The same request is being made right now ({name}); nothing was bought.",
        workflow=Workflow(run.workflow, "unknown"),
        hint=(f"Look at it with: civitai-skill get {run.workflow} --wait. " if run.workflow else "")
        + "To buy it anew as well, say so (again=True, --again).",
    )


def _gone_on(service: Service, order: Order, run: Run, decided: Plan) -> Flow[Bought]:
    """Take up an earlier run: its recorded body and key, its own seed."""
    order.tell(Resumed(run))
    workflow, run = yield from taken_up(service, order, run)
    seed = workflow.input.get("seed")
    if isinstance(seed, int) and decided.seed is not None:
        decided = with_seed(decided, seed)
    return Bought(workflow, decided, run, resumed=True)


def taken_up(service: Service, order: Order, run: Run) -> Flow[tuple[Workflow, Run]]:
    assert order.ledger is not None, "only a ledger has runs to take up"
    mine: Run = yield Work(partial(order.ledger.take_up, run.key))
    if mine.workflow is not None:
        try:
            return (yield from flows.get(service, mine.workflow, committed=True)), mine
        except NotFound:
            # The service forgot it. Under its own key it is told again, or made for the first time.
            pass
    return (yield from sent(service, order, mine, certain=False)), mine


def sent(service: Service, order: Order, run: Run, *, certain: bool) -> Flow[Workflow]:
    """Send the recorded bytes. `certain` says that no earlier process may have sent them."""
    order.tell(Submitting(run.key))
    try:
        workflow = yield from flows.submit(service, run.body, run.key)
    except (TransportFailed, ApiError) as error:
        if not certain and error.spent == "no":
            error.spent = "unknown"
        if error.spent == "unknown":
            order.keep(run.key, run.body)
        elif order.ledger is not None:
            yield from noted(partial(order.ledger.dropped, run.key, error.message))
        raise
    if order.ledger is not None:
        told = partial(order.ledger.submitted, run.key, workflow.id, workflow.cost.total)
        yield from noted(told)
    return workflow


def noted(write: Callable[[], None]) -> Flow[None]:
    """Write to the ledger after the purchase.

    A ledger that fails now must not lose what was paid for: the run stays open there, and taking it
    up again sends the same key.
    """
    try:
        yield Work(write)
    except ConfigError:
        return


# -- the whole way ---------------------------------------------------------------------
def generated(
    service: Service,
    order: Order,
    *,
    out: Path,
    timeout: float,
    now: flows.Clock = time.monotonic,
) -> Flow[Generation]:
    """Buy, wait, bring home. WorkflowFailed carries what did come in `result`."""
    yield Work(partial(download.ready_folder, out))
    purchase = yield from bought(service, order, out)
    return (yield from finished(service, order, purchase, out=out, timeout=timeout, now=now))


def submitted_only(service: Service, order: Order) -> Flow[Bought]:
    """Buy and come back; with the id told, the ledger's part is done."""
    purchase = yield from bought(service, order)
    if order.ledger is not None and purchase.run is not None:
        yield from noted(partial(order.ledger.closed, purchase.run.key))
    return purchase


def finished(
    service: Service,
    order: Order,
    purchase: Bought,
    *,
    out: Path,
    timeout: float,
    now: flows.Clock = time.monotonic,
    place: Place | None = None,
) -> Flow[Generation]:
    """Wait for a purchase and bring it home, writing down how it went."""
    watched = None if order.tell is silent else order.tell
    try:
        workflow = yield from flows.wait(
            service, purchase.workflow, timeout=timeout, tell=watched, now=now
        )
    except StillRunning as error:
        latest = error.workflow or purchase.workflow
        error.result = replace(summary(latest, (), purchase.plan), resumed=purchase.resumed)
        raise
    ledger, run = order.ledger, purchase.run
    if ledger is None or run is None:
        home = brought_home(
            service, workflow, out=out, decided=purchase.plan, tell=order.tell,
            resumed=purchase.resumed, place=place,
        )  # fmt: skip
        return (yield from home)
    kept = sum(workflow.cost.by_currency.values()) if workflow.cost.paid else workflow.cost.total
    reason = "; ".join(workflow.reasons()) or None
    yield from noted(partial(ledger.finished, run.key, workflow.status, kept, reason))
    have = yield Work(partial(_on_disk, ledger, run.key, out))
    try:
        result = yield from brought_home(
            service,
            workflow,
            out=out,
            decided=purchase.plan,
            tell=order.tell,
            resumed=purchase.resumed,
            have=have,
            record=partial(_recorded, ledger, run.key),
            place=place,
        )
    except WorkflowFailed:
        yield from noted(partial(ledger.closed, run.key))
        raise
    yield from noted(partial(ledger.closed, run.key))
    return result


def _recorded(ledger: Ledger, key: str, n: int, path: Path, data: bytes) -> None:
    try:
        ledger.saved(key, n, path, len(data), hashlib.sha256(data).hexdigest())
    except ConfigError:
        return  # the picture is home; the next run would at most fetch it once more


def _on_disk(ledger: Ledger, key: str, out: Path) -> dict[int, Path]:
    """The pictures of a run that are in the folder already, whole."""
    try:
        rows = ledger.pictures(key)
    except ConfigError:
        return {}
    found = {}
    for row in rows:
        path = Path(row["path"])
        if path.absolute().parent != out.absolute():
            continue
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]:
                found[int(row["n"])] = path
        except OSError:
            continue
    return found


def fetched(
    service: Service, ledger: Ledger | None, workflow: Workflow, *, out: Path, tell: Tell
) -> Flow[Generation]:
    """Bring a finished workflow home, whoever bought it; the ledger's run of it is closed."""
    run: Run | None = None
    if ledger is not None and workflow.id:
        run = yield Work(partial(ledger.of_workflow, workflow.id))
    if ledger is None or run is None:
        return (yield from brought_home(service, workflow, out=out, tell=tell))
    try:
        record = partial(_recorded, ledger, run.key)
        result = yield from brought_home(service, workflow, out=out, tell=tell, record=record)
    except WorkflowFailed:
        yield from noted(partial(ledger.closed, run.key))
        raise
    yield from noted(partial(ledger.closed, run.key))
    return result
