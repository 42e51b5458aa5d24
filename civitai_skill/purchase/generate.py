"""The whole way: buy, wait, bring home, write down how it went."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import ConfigError, StillRunning, WorkflowFailed
from civitai_skill.images.save import Label, Place, prepare_folder
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import buy, make_label
from civitai_skill.purchase.deliver import Delivery, bring_home
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.join import release_on_failure, write_quietly
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.result import Generation, summarize

#: Hears of a workflow that was submitted only, before the ledger takes it for handed over.
OnSubmitted = Callable[[Workflow], None]


def generate(
    service: Service, order: Order, *, timeout: float, now: workflows.Clock = time.monotonic
) -> Flow[Generation]:
    """Buy, wait, bring home. WorkflowFailed carries what did come in `result`."""
    assert order.out is not None, "pictures that come home need a folder"
    yield Work(partial(prepare_folder, order.out))
    purchase = yield from buy(service, order)
    return (yield from finish(service, order, purchase, timeout=timeout, now=now))


def submit(service: Service, order: Order, told: OnSubmitted | None = None) -> Flow[Purchase]:
    """Buy and come back; with the id told, the ledger's part is done.

    Where `told` raises, the same request goes on with the purchase.
    """
    purchase = yield from buy(service, order)
    if order.ledger is None or purchase.run is None:
        if told is not None:
            told(purchase.workflow)
    else:
        handed = _hand_over(order.ledger, purchase.run, purchase.workflow, told)
        yield from release_on_failure(order.ledger, purchase.run, handed)
    return purchase


def _hand_over(
    ledger: Ledger, run: Run, workflow: Workflow, told: OnSubmitted | None
) -> Flow[None]:
    if told is not None:
        told(workflow)
    yield from write_quietly(partial(ledger.close_run, run.key))


def finish(
    service: Service,
    order: Order,
    purchase: Purchase,
    *,
    timeout: float,
    now: workflows.Clock = time.monotonic,
    place: Place | None = None,
) -> Flow[Generation]:
    """Wait for a purchase and bring it home, writing down how it went."""
    assert order.out is not None, "pictures that come home need a folder"
    run = purchase.run
    label = _recorded_label(run) or make_label(order, purchase.plan)
    if place is None and label is not None:
        key = purchase.workflow.external_id or "" if run is None else run.key
        place = label.places(key, purchase.workflow.id, order.out)
    delivery = Delivery(order.out, order.tell, purchase.plan, purchase.resumed, place=place)
    ended = _wait_for_end(service, order, purchase, timeout, now)
    if order.ledger is None or run is None:
        return (yield from bring_home(service, (yield from ended), delivery))
    work = _finish(service, order.ledger, run, ended, delivery)
    return (yield from release_on_failure(order.ledger, run, work))


def _recorded_label(run: Run | None) -> Label | None:
    return None if run is None or run.label is None else Label.from_json(run.label)


def _finish(
    service: Service,
    ledger: Ledger,
    run: Run,
    ended: Flow[Workflow],
    delivery: Delivery,
) -> Flow[Generation]:
    workflow = yield from ended
    yield from _record_finished(ledger, run, workflow)
    if delivery.resumed:
        have = yield Work(partial(_find_saved, ledger, run.key, delivery.out))
        delivery = replace(delivery, have=have)
    return (yield from _bring_home(service, ledger, run, workflow, delivery))


def _bring_home(
    service: Service, ledger: Ledger, run: Run, workflow: Workflow, delivery: Delivery
) -> Flow[Generation]:
    """Bring home a purchase of the ledger and close it."""
    delivery = replace(delivery, record=partial(_record_picture, ledger, run.key))
    try:
        result = yield from bring_home(service, workflow, delivery)
    except WorkflowFailed:
        yield from write_quietly(partial(ledger.close_run, run.key))
        raise
    yield from write_quietly(partial(ledger.close_run, run.key))
    return result


def _wait_for_end(
    service: Service, order: Order, purchase: Purchase, timeout: float, now: workflows.Clock
) -> Flow[Workflow]:
    watched = None if order.tell is ignore_event else order.tell
    try:
        return (
            yield from workflows.wait(
                service, purchase.workflow, timeout=timeout, tell=watched, now=now
            )
        )
    except StillRunning as error:
        latest = error.workflow or purchase.workflow
        result = summarize(latest, (), purchase.plan, resumed=purchase.resumed)
        raise error.replace(result=result) from None


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
    label = _recorded_label(run)
    if label is not None:
        delivery = replace(delivery, place=label.places(run.key, workflow.id, out))
    return (yield from _bring_home(service, ledger, run, workflow, delivery))


# -- what the ledger learns ------------------------------------------------------------------------
def is_paid(ledger: Ledger | None, workflow_id: str) -> Flow[bool]:
    """Does the ledger know that Buzz is committed for a workflow?"""
    if ledger is None:
        return False
    try:
        known: bool = yield Work(partial(ledger.is_paid, workflow_id))
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
    if run is not None and (run.status != workflow.status or kept not in (None, run.cost)):
        yield from _record_finished(ledger, run, workflow)
        nothing_comes = not any(i.deliverable or i.available for i in workflow.images)
        if run.state == "open" and nothing_comes:
            yield from write_quietly(partial(ledger.close_run, run.key))
    return workflow


def _record_finished(ledger: Ledger, run: Run, workflow: Workflow) -> Flow[None]:
    reason = "; ".join(workflow.reasons()) or None
    cost = workflow.cost.kept
    yield from write_quietly(
        partial(ledger.record_finished, run.key, workflow.status, cost, reason)
    )


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
                    found[int(row["n"])] = path
    return found
