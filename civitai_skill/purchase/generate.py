"""The whole way: buy, wait, bring home, write down how it went."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from civitai_skill.images.save import Label, Place, prepare_folder
from civitai_skill.ledger.ledger import LOOK_PATIENCE, Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import buy, make_label
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
    began, order = time.monotonic(), begin_clock(order, timeout)
    assert order.out is not None, "pictures that come home need a folder"
    yield Work(partial(prepare_folder, order.out))
    order = yield from resolve(service, order)
    purchase = yield from buy(service, order)
    return (yield from finish(service, order, purchase, timeout=timeout, began=began))


def begin_clock(order: Order, timeout: float) -> Order:
    """The order with the time until which it may be bought."""
    return replace(order, deadline=time.monotonic() + max(timeout, _LEAST))


def submit(service: Service, order: Order, told: OnSubmitted | None = None) -> Flow[Purchase]:
    """Buy and come back; with the id told, the ledger's part is done.

    Where `told` raises, the same request goes on with the purchase. Raises OverBudget where the
    service charged more than is allowed, and the workflow is canceled.
    """
    order = yield from resolve(service, replace(order, asked=for_the_service(order.asked)))
    purchase = yield from buy(service, order)
    if _is_overcharged(order, purchase, purchase.workflow):
        workflow = yield from _stop(service, purchase.workflow)
        error = _overcharged_error(order, summarize(workflow, (), purchase.plan))
        yield from _end(order, purchase.run, workflow)
        raise error
    if order.ledger is None or purchase.run is None:
        if told is not None:
            told(purchase.workflow)
    else:
        handed = _hand_over(order, purchase.run, purchase.workflow, told)
        yield from release_on_failure(order.ledger, purchase.run, handed)
    return purchase


def _hand_over(order: Order, run: Run, workflow: Workflow, told: OnSubmitted | None) -> Flow[None]:
    if told is not None:
        told(workflow)
    yield from _end(order, run)


def _end(
    order: Order, run: Run | None, ended: Workflow | None = None, *, empty: bool = False
) -> Flow[None]:
    """A purchase came to its end; it is over when its caller has the answer. One that gave nothing
    (`empty`) is over at once: there is nothing to hand over once more."""
    if order.ledger is None or run is None:
        return
    if ended is not None and ended.done:
        yield from _record_finished(order.ledger, run, ended)
    if order.unconfirmed is not None and not empty:
        order.unconfirmed.append((order.ledger, run.key))
    else:
        yield from write_quietly(partial(order.ledger.close_run, run.key, empty=empty))


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
    if run is not None and run.label is not None:
        label: Label | None = Label.from_json(run.label)
    else:
        label = make_label(order, purchase.plan)
    if place is None and label is not None:
        key = purchase.workflow.external_id or "" if run is None else run.key
        place = label.places(key, purchase.workflow.id, order.out)
    delivery = Delivery(order.out, order.tell, purchase.plan, purchase.resumed, place=place)
    delivery = _labelled(delivery, label)
    if ledger is not None and run is not None:
        delivery = replace(delivery, record=partial(_record_picture, ledger, run.key))
        if purchase.resumed:
            have = yield Work(partial(_find_saved, ledger, run.key, order.out))
            delivery = replace(delivery, have=have)
        work = _finish(service, order, purchase, delivery, timeout, began)
        return (yield from release_on_failure(ledger, run, work))
    return (yield from _finish(service, order, purchase, delivery, timeout, began))


def _labelled(delivery: Delivery, label: Label | None) -> Delivery:
    if label is None:
        return delivery
    kept = delivery.keep_all or label.keep_all
    return replace(delivery, conversion=label.conversion, keep_all=kept)


def _finish(
    service: Service,
    order: Order,
    purchase: Purchase,
    delivery: Delivery,
    timeout: float,
    began: float | None,
) -> Flow[Generation]:
    watched = None if order.tell is ignore_event else order.tell
    too_much = partial(_is_overcharged, order, purchase)
    try:
        workflow = yield from wait(
            service,
            purchase.workflow,
            timeout=timeout,
            tell=watched,
            started=began,
            just_bought=True,
            wanted=purchase.plan.quantity if purchase.plan else 0,
            until=too_much,
        )
    except StillRunning as error:
        latest = error.workflow or purchase.workflow
        result = summarize(latest, (), purchase.plan, resumed=purchase.resumed)
        raise error.replace(result=result) from None
    overcharged = too_much(workflow)
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
        if order.ledger is not None and purchase.run is not None:
            yield from _record_finished(order.ledger, purchase.run, workflow)
        raise
    yield from _end(order, purchase.run, workflow)
    if overcharged:
        raise _overcharged_error(order, result)
    return result


# -- more than was allowed -------------------------------------------------------------------------
def _is_overcharged(order: Order, purchase: Purchase, workflow: Workflow) -> bool:
    """Did the service charge more for a new purchase than its call may cost?"""
    return not purchase.resumed and (workflow.cost.total or 0) > order.ceiling


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
    return OverBudget(
        f"The service charged {charged} Buzz for workflow {workflow.id}, which is more than the "
        f"{order.ceiling} that were allowed: {stopped}{refund}.",
        price=charged,
        limit=order.ceiling,
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
    delivery = Delivery(out, tell)
    run: Run | None = None
    if ledger is not None and workflow.id:
        run = yield Work(partial(ledger.find_by_workflow, workflow.id))
    if ledger is None or run is None:
        return (yield from bring_home(service, workflow, delivery))
    delivery = replace(delivery, record=partial(_record_picture, ledger, run.key))
    if run.label is not None:
        label = Label.from_json(run.label)
        delivery = replace(delivery, place=label.places(run.key, workflow.id, out))
        delivery = _labelled(delivery, label)
    try:
        result = yield from bring_home(service, workflow, delivery)
    except WorkflowFailed:
        yield from write_quietly(partial(ledger.close_run, run.key))
        raise
    yield from write_quietly(partial(ledger.close_run, run.key))
    return result


# -- what the ledger learns ------------------------------------------------------------------------
def is_paid(ledger: Ledger | None, workflow_id: str) -> Flow[bool]:
    """Does the ledger know that Buzz is committed for a workflow?"""
    return (yield from _ask(None if ledger is None else partial(ledger.is_paid, workflow_id)))


def is_just_bought(ledger: Ledger | None, workflow_id: str) -> Flow[bool]:
    """Was a workflow bought so lately that no look is believed that does not show it?"""
    lately = None if ledger is None else partial(ledger.is_just_bought, workflow_id)
    return (yield from _ask(lately))


def _ask(ledger: Callable[[], bool] | None) -> Flow[bool]:
    """Ask a ledger; what it can't tell is not so."""
    if ledger is None:
        return False
    try:
        known: bool = yield Work(ledger)
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
        nothing_comes = not any(i.deliverable or i.available for i in workflow.images)
        close = run.state == "open" and nothing_comes
        looking = {"close": close, "patience": LOOK_PATIENCE}
        yield from _record_finished(ledger, run, workflow, **looking)
    return workflow


def _record_finished(ledger: Ledger, run: Run, workflow: Workflow, **how: Any) -> Flow[None]:
    reason = "; ".join(workflow.reasons()) or None
    told = (run.key, workflow.status, workflow.cost.kept, reason)
    yield from write_quietly(partial(ledger.record_finished, *told, **how))


def _record_picture(ledger: Ledger, key: str, n: int, path: Path, data: bytes) -> None:
    # Where it fails the picture is home; the next run would at most fetch it once more.
    with suppress(ConfigError):
        ledger.record_picture(key, n, path, len(data), hashlib.sha256(data).hexdigest())


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
