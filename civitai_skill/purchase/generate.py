"""The whole way: buy, wait, bring home, write down how it went."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import ConfigError, RequestInvalid, StillRunning, WorkflowFailed
from civitai_skill.images.save import Label, Place, prepare_folder
from civitai_skill.ledger.ledger import LOOK_PATIENCE, Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import (
    Order,
    Purchase,
    make_label,
    release_on_failure,
    write_quietly,
)
from civitai_skill.purchase.deliver import (
    Generation,
    bring_home,
    folder_gone_error,
    summarize,
)
from civitai_skill.purchase.events import Tell, ignore_event


def generate(
    service: Service,
    order: Order,
    buying: Flow[Purchase],
    *,
    out: Path,
    timeout: float,
    now: workflows.Clock = time.monotonic,
) -> Flow[Generation]:
    """Buy, wait, bring home. WorkflowFailed carries what did come in `result`."""
    yield Work(partial(prepare_folder, out))
    purchase = yield from buying
    return (yield from finish(service, order, purchase, out=out, timeout=timeout, now=now))


OnSubmitted = Callable[[Workflow], None]


def ignore_workflow(workflow: Workflow) -> None:
    """Tell nobody."""


def submit(
    order: Order, buying: Flow[Purchase], told: OnSubmitted = ignore_workflow
) -> Flow[Purchase]:
    """Buy and come back; with the id told, the ledger's part is done.

    Where `told` raises, the same request goes on with the purchase.
    """
    purchase = yield from buying
    if order.ledger is None or purchase.run is None:
        told(purchase.workflow)
    else:
        yield from release_on_failure(
            order.ledger, purchase.run, _hand_over(order.ledger, purchase, told)
        )
    return purchase


def _hand_over(ledger: Ledger, purchase: Purchase, told: OnSubmitted) -> Flow[None]:
    assert purchase.run is not None, "see submitted_only"
    told(purchase.workflow)
    yield from write_quietly(partial(ledger.close_run, purchase.run.key))


def finish(
    service: Service,
    order: Order,
    purchase: Purchase,
    *,
    out: Path,
    timeout: float,
    now: workflows.Clock = time.monotonic,
    place: Place | None = None,
) -> Flow[Generation]:
    """Wait for a purchase and bring it home, writing down how it went."""
    ended = _wait_for_end(service, order, purchase, timeout, now)
    home = partial(
        _bring_home,
        service,
        out=out,
        decided=purchase.plan,
        tell=order.tell,
        resumed=purchase.resumed,
        place=place or _choose_place(order, purchase, out),
    )
    if order.ledger is None or purchase.run is None:
        return (yield from home((yield from ended)))
    return (
        yield from release_on_failure(
            order.ledger, purchase.run, _finish_run(order.ledger, purchase.run, ended, home, out)
        )
    )


def _bring_home(
    service: Service, workflow: Workflow, *, out: Path, **more: Any
) -> Flow[Generation]:
    try:
        return (yield from bring_home(service, workflow, out=out, **more))
    except RequestInvalid as refused:
        raise folder_gone_error(workflow, out, refused) from None


def _choose_place(order: Order, purchase: Purchase, out: Path) -> Place | None:
    own = _recorded_place(purchase.run, purchase.workflow, out)
    if own is not None or purchase.plan is None:
        return own
    label = make_label(order, purchase.plan)
    if label is None:
        return None
    key = purchase.run.key if purchase.run else purchase.workflow.external_id
    return label.places(key or "", purchase.workflow.id, out)


def _recorded_place(run: Run | None, workflow: Workflow, out: Path) -> Place | None:
    if run is None or run.label is None:
        return None
    return Label.from_json(run.label).places(run.key, workflow.id, out)


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
        error.result = replace(summarize(latest, (), purchase.plan), resumed=purchase.resumed)
        raise


def _finish_run(
    ledger: Ledger,
    run: Run,
    ended: Flow[Workflow],
    home: Callable[..., Flow[Generation]],
    out: Path,
) -> Flow[Generation]:
    workflow = yield from ended
    yield from _record_finished(ledger, run, workflow)
    have = yield Work(partial(_find_saved, ledger, run.key, out))
    try:
        result = yield from home(
            workflow, have=have, record=partial(_record_picture, ledger, run.key)
        )
    except WorkflowFailed:
        yield from write_quietly(partial(ledger.close_run, run.key))
        raise
    yield from write_quietly(partial(ledger.close_run, run.key))
    return result


def _record_finished(ledger: Ledger, run: Run, workflow: Workflow, **how: Any) -> Flow[None]:
    reason = "; ".join(workflow.reasons()) or None
    told = (run.key, workflow.status, workflow.cost.kept, reason)
    yield from write_quietly(partial(ledger.record_finished, *told, **how))


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
    if ledger is not None and workflow.done and workflow.id:
        try:
            run: Run | None = yield Work(partial(ledger.find_by_workflow, workflow.id))
        except ConfigError:
            return workflow
        kept = workflow.cost.kept
        if run is not None and (run.status != workflow.status or kept not in (None, run.cost)):
            there = any(i.deliverable or i.available for i in workflow.images)
            yield from _record_finished(
                ledger,
                run,
                workflow,
                close=run.state == "open" and not there,
                patience=LOOK_PATIENCE,
            )
    return workflow


def _record_picture(ledger: Ledger, key: str, n: int, path: Path, data: bytes) -> None:
    try:
        ledger.record_picture(key, n, path, len(data), hashlib.sha256(data).hexdigest())
    except ConfigError:
        return  # the picture is home; the next run would at most fetch it once more


def _find_saved(ledger: Ledger, key: str, out: Path) -> dict[int, Path]:
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


def fetch(
    service: Service, ledger: Ledger | None, workflow: Workflow, *, out: Path, tell: Tell
) -> Flow[Generation]:
    """Bring a finished workflow home, whoever bought it; the ledger's run of it is closed."""
    run: Run | None = None
    if ledger is not None and workflow.id:
        run = yield Work(partial(ledger.find_by_workflow, workflow.id))
    if ledger is None or run is None:
        return (yield from bring_home(service, workflow, out=out, tell=tell))
    try:
        record = partial(_record_picture, ledger, run.key)
        place = _recorded_place(run, workflow, out)
        result = yield from bring_home(
            service, workflow, out=out, tell=tell, record=record, place=place
        )
    except WorkflowFailed:
        yield from write_quietly(partial(ledger.close_run, run.key))
        raise
    yield from write_quietly(partial(ledger.close_run, run.key))
    return result
