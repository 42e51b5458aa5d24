"""The whole way: buy, wait, bring home, write down how it went."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from civitai_skill.api.changes import cancel
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.api.wait import wait
from civitai_skill.errors import (
    ApiError,
    ConfigError,
    OverBudget,
    StillRunning,
    TransportFailed,
    WorkflowFailed,
)
from civitai_skill.errors.next_steps import Look
from civitai_skill.images.save import Place, prepare_folder
from civitai_skill.ledger.ledger import LOOK_PATIENCE, Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import buy
from civitai_skill.purchase.deliver import Delivery, bring_home
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.join import release_on_failure, write_quietly
from civitai_skill.purchase.local import for_the_service
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.prepare import resolve
from civitai_skill.purchase.result import Generation, summarize

# Seconds that buying may take at least, however soon its caller gives up: its end must be known.
_LEAST = 5.0

#: Hears of a workflow that was submitted only, before the ledger takes it for handed over.
OnSubmitted = Callable[[Workflow], None]


def generate(service: Service, order: Order, *, timeout: float) -> Flow[Generation]:
    """Buy, wait, bring home, all within `timeout` seconds. WorkflowFailed carries what did come in
    `result`."""
    out = order.out
    assert out is not None, "pictures that come home need a folder"
    began, order = begin_clock(order, timeout)
    yield Work(partial(prepare_folder, out))
    order = yield from resolve(service, order)
    purchase = yield from buy(service, order)
    return (yield from finish(service, order, purchase, timeout=timeout, began=began))


def begin_clock(order: Order, timeout: float) -> tuple[float, Order]:
    """Now (time.monotonic), and the order with the time until which it may be bought."""
    began = time.monotonic()
    return began, replace(order, deadline=began + max(timeout, _LEAST))


def finish(
    service: Service,
    order: Order,
    purchase: Purchase,
    *,
    timeout: float,
    began: float | None = None,
    place: Place | None = None,
) -> Flow[Generation]:
    """Wait for a purchase and bring it home, writing down how it went; `timeout` counts from
    `began` (time.monotonic; now, when left out).

    Raises OverBudget (Buzz was spent; the pictures that came stand in `result`) where the service
    charged more than is allowed.
    """
    assert order.out is not None, "pictures that come home need a folder"
    run, ledger = purchase.run, order.ledger
    delivery = Delivery(
        order.out, order.tell, purchase.plan, purchase.resumed, ledger, run, place=place
    )
    if purchase.resumed and ledger is not None:
        have = yield Work(partial(_find_saved, ledger, run.key, order.out))
        delivery = replace(delivery, have=have)
    work = _finish(service, order, purchase, delivery, timeout, began)
    return (yield from release_on_failure(ledger, run, work))


def _finish(
    service: Service,
    order: Order,
    purchase: Purchase,
    delivery: Delivery,
    timeout: float,
    began: float | None,
) -> Flow[Generation]:
    plan, resumed = purchase.plan, purchase.resumed
    try:
        workflow = yield from wait(
            service,
            purchase.workflow,
            timeout=timeout,
            tell=None if order.tell is ignore_event else order.tell,
            started=began,
            just_bought=True,
            wanted=plan.quantity if plan else 0,
            until=partial(order.is_overcharged, purchase),
        )
    except StillRunning as error:
        latest = error.workflow or purchase.workflow
        result = summarize(latest, (), plan, resumed=resumed)
        raise error.replace(result=result) from None
    overcharged = order.is_overcharged(purchase, workflow)
    if overcharged and not workflow.done:
        workflow = yield from _stop(service, workflow)
    try:
        result = yield from bring_home(service, workflow, delivery)
    except WorkflowFailed as error:
        yield from _end(order, purchase.run, workflow, empty=not error.result.paths)
        if overcharged:
            raise _overcharged_error(order, error.result) from None
        raise
    except TransportFailed:
        yield from _end(order, purchase.run, workflow, over=False)
        raise
    yield from _end(order, purchase.run, workflow)
    if overcharged:
        raise _overcharged_error(order, result)
    return result


def submit(service: Service, order: Order, told: OnSubmitted | None = None) -> Flow[Purchase]:
    """Buy and come back; with the id told, the ledger's part is done.

    Where `told` raises, the same request goes on with the purchase. Raises OverBudget where the
    service charged more than is allowed, and the workflow is canceled.
    """
    order = yield from resolve(service, replace(order, asked=for_the_service(order.asked)))
    purchase = yield from buy(service, order)
    if order.is_overcharged(purchase, purchase.workflow):
        workflow = yield from _stop(service, purchase.workflow)
        error = _overcharged_error(order, summarize(workflow, (), purchase.plan))
        yield from _end(order, purchase.run, workflow)
        raise error
    handed = _hand_over(order, purchase, told)
    yield from release_on_failure(order.ledger, purchase.run, handed)
    return purchase


def _hand_over(order: Order, purchase: Purchase, told: OnSubmitted | None) -> Flow[None]:
    if told is not None:
        told(purchase.workflow)
    yield from _end(order, purchase.run)


def _end(
    order: Order,
    run: Run,
    ended: Workflow | None = None,
    *,
    over: bool = True,
    empty: bool = False,
) -> Flow[None]:
    """Write down how a purchase ended, where it has. It is over when its caller has the answer.

    One that gave nothing (`empty`) is over at once: there is nothing to hand over once more. One
    whose pictures did not come home is not `over`.
    """
    ledger = order.ledger
    if ledger is None:
        return
    if ended is not None and ended.done:
        reason = "; ".join(ended.reasons()) or None
        told = (run.key, ended.status, ended.cost.kept, reason)
        yield from write_quietly(partial(ledger.record_finished, *told))
    elif ended is not None and ended.cost.kept:  # what was charged counts, whatever becomes of it
        charged = (run.key, ended.id, ended.cost.kept)
        yield from write_quietly(partial(ledger.record_submitted, *charged))
    if over and order.unconfirmed is not None and not empty:
        order.unconfirmed.append((ledger, run.key))
    elif over:
        yield from write_quietly(partial(ledger.close_run, run.key, empty=empty))


# -- more than was allowed -------------------------------------------------------------------------
def _stop(service: Service, workflow: Workflow) -> Flow[Workflow]:
    """Cancel what was charged too high, unless it has ended; gives how it stands then."""
    try:
        return (yield from cancel(service, workflow.id or "", committed=True)).workflow
    except (TransportFailed, ApiError):
        return workflow


def _overcharged_error(order: Order, result: Generation) -> OverBudget:
    workflow = result.workflow
    cost = workflow.cost  # whose total drops to 0 after a refund
    charged = max(cost.total or 0, sum(cost.paid.values()))
    stopped = "it was canceled" if workflow.status == "canceled" else "it had ended already"
    if not workflow.done:
        stopped = "it could not be canceled"
    back = sum(cost.refunded.values())
    refund = f"; {back} Buzz came back" if back else ""
    most = order.limit if order.most is None else order.most
    return OverBudget(
        f"The service charged {charged} Buzz for workflow {workflow.id}, which is more than the "
        f"{most} that were allowed: {stopped}{refund}.",
        price=charged,
        limit=most,
        spent="yes",
        advice="Nothing further is bought at this price.",
        next=[Look(workflow.id)],
        result=result,
    )


def download(
    service: Service, ledger: Ledger | None, workflow: Workflow, *, out: Path, tell: Tell
) -> Flow[Generation]:
    """Bring a finished workflow home, whoever bought it; the ledger's run of it is closed."""
    yield Work(partial(prepare_folder, out))
    run: Run | None = None
    if ledger is not None and workflow.id:
        run = yield Work(partial(ledger.find_by_workflow, workflow.id))
    home = bring_home(service, workflow, Delivery(out, tell, ledger=ledger, run=run))
    if ledger is None or run is None:
        return (yield from home)
    close = partial(ledger.close_run, run.key)
    try:
        result = yield from home
    except WorkflowFailed:
        yield from write_quietly(close)
        raise
    yield from write_quietly(close)
    return result


# -- what the ledger learns ------------------------------------------------------------------------
def ask(
    ledger: Ledger | None, question: Callable[[Ledger, str], bool], workflow_id: str
) -> Flow[bool]:
    """Ask a ledger about a workflow; what it can't tell is not so."""
    if ledger is None:
        return False
    try:
        known: bool = yield Work(partial(question, ledger, workflow_id))
    except ConfigError:
        return False
    return known


def record_end(ledger: Ledger | None, workflow: Workflow) -> Flow[Workflow]:
    """Write down the end of a workflow, whoever looks at it: then what came back is free again,
    also what came back only after the end was written down.

    A run with nothing to bring home is closed.
    """
    if ledger is None or not workflow.done or not workflow.id:
        return workflow
    try:
        run: Run | None = yield Work(partial(ledger.find_by_workflow, workflow.id))
    except ConfigError:
        return workflow
    kept = workflow.cost.kept
    if run is None or (run.state == "open" and ledger.is_worked_on(run)):
        return workflow  # whoever works on it writes down its end after its pictures
    if run.status != workflow.status or kept not in (None, run.cost):
        comes = any(image.deliverable or image.available for image in workflow.images)
        told = (run.key, workflow.status, kept, "; ".join(workflow.reasons()) or None)
        close = run.state == "open" and not comes
        record = partial(ledger.record_finished, *told, close=close, patience=LOOK_PATIENCE)
        yield from write_quietly(record)
    return workflow


def _find_saved(ledger: Ledger, key: str, out: Path) -> dict[int, Path]:
    """The pictures of a run that are in the folder already, whole."""
    found = {}
    with suppress(ConfigError):
        for row in ledger.pictures(key):
            path = Path(row["path"])
            if path.absolute().parent != out.absolute():
                continue
            with suppress(OSError):
                if hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]:
                    found[int(row["n"])] = out / path.name  # as the caller spells the folder
    return found
