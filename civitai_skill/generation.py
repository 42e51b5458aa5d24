"""The whole way: buy, wait, bring home, write down how it went."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill import download, flows
from civitai_skill.delivery import Generation, Place, brought_home, folder_gone, summary
from civitai_skill.errors import ConfigError, RequestInvalid, StillRunning, WorkflowFailed
from civitai_skill.events import Tell, silent
from civitai_skill.exchange import Flow, Service, Work
from civitai_skill.ledger import Ledger
from civitai_skill.placing import Label
from civitai_skill.purchase import Bought, Order, held, label_of, noted
from civitai_skill.runs import Run
from civitai_skill.workflow import Workflow


def generated(
    service: Service,
    order: Order,
    buying: Flow[Bought],
    *,
    out: Path,
    timeout: float,
    now: flows.Clock = time.monotonic,
) -> Flow[Generation]:
    """Buy, wait, bring home. WorkflowFailed carries what did come in `result`."""
    yield Work(partial(download.ready_folder, out))
    purchase = yield from buying
    return (yield from finished(service, order, purchase, out=out, timeout=timeout, now=now))


Told = Callable[[Workflow], None]


def unheard(workflow: Workflow) -> None:
    """Tell nobody."""


def submitted_only(order: Order, buying: Flow[Bought], told: Told = unheard) -> Flow[Bought]:
    """Buy and come back; with the id told, the ledger's part is done.

    Where `told` raises, the same request goes on with the purchase.
    """
    purchase = yield from buying
    if order.ledger is None or purchase.run is None:
        told(purchase.workflow)
    else:
        yield from held(order.ledger, purchase.run, _handed(order.ledger, purchase, told))
    return purchase


def _handed(ledger: Ledger, purchase: Bought, told: Told) -> Flow[None]:
    assert purchase.run is not None, "see submitted_only"
    told(purchase.workflow)
    yield from noted(partial(ledger.closed, purchase.run.key))


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
    ended = _ended(service, order, purchase, timeout, now)
    home = partial(
        _brought_home,
        service,
        out=out,
        decided=purchase.plan,
        tell=order.tell,
        resumed=purchase.resumed,
        place=place or _place(order, purchase, out),
    )
    if order.ledger is None or purchase.run is None:
        return (yield from home((yield from ended)))
    return (
        yield from held(
            order.ledger, purchase.run, _written_down(order.ledger, purchase.run, ended, home, out)
        )
    )


def _brought_home(
    service: Service, workflow: Workflow, *, out: Path, **more: Any
) -> Flow[Generation]:
    try:
        return (yield from brought_home(service, workflow, out=out, **more))
    except RequestInvalid as refused:
        raise folder_gone(workflow, out, refused) from None


def _place(order: Order, purchase: Bought, out: Path) -> Place | None:
    own = _own_place(purchase.run, purchase.workflow, out)
    if own is not None or purchase.plan is None:
        return own
    label = label_of(order, purchase.plan)
    if label is None:
        return None
    key = purchase.run.key if purchase.run else purchase.workflow.external_id
    return label.places(key or "", purchase.workflow.id, out)


def _own_place(run: Run | None, workflow: Workflow, out: Path) -> Place | None:
    if run is None or run.label is None:
        return None
    return Label.read(run.label).places(run.key, workflow.id, out)


def _ended(
    service: Service, order: Order, purchase: Bought, timeout: float, now: flows.Clock
) -> Flow[Workflow]:
    watched = None if order.tell is silent else order.tell
    try:
        return (
            yield from flows.wait(
                service, purchase.workflow, timeout=timeout, tell=watched, now=now
            )
        )
    except StillRunning as error:
        latest = error.workflow or purchase.workflow
        error.result = replace(summary(latest, (), purchase.plan), resumed=purchase.resumed)
        raise


def _written_down(
    ledger: Ledger,
    run: Run,
    ended: Flow[Workflow],
    home: Callable[..., Flow[Generation]],
    out: Path,
) -> Flow[Generation]:
    workflow = yield from ended
    yield from _finished(ledger, run, workflow)
    have = yield Work(partial(_on_disk, ledger, run.key, out))
    try:
        result = yield from home(workflow, have=have, record=partial(_recorded, ledger, run.key))
    except WorkflowFailed:
        yield from noted(partial(ledger.closed, run.key))
        raise
    yield from noted(partial(ledger.closed, run.key))
    return result


def _finished(ledger: Ledger, run: Run, workflow: Workflow) -> Flow[None]:
    reason = "; ".join(workflow.reasons()) or None
    yield from noted(partial(ledger.finished, run.key, workflow.status, workflow.cost.kept, reason))


def paid(ledger: Ledger | None, workflow_id: str) -> Flow[bool]:
    """Does the ledger know that Buzz is committed for a workflow?"""
    if ledger is None:
        return False
    try:
        known: bool = yield Work(partial(ledger.paid, workflow_id))
    except ConfigError:
        return False
    return known


def seen(ledger: Ledger | None, workflow: Workflow) -> Flow[Workflow]:
    """Write down the end of a workflow, whoever looks at it: then what came back is free again,
    also what came back only after the end was written down.

    A run with nothing to bring home is closed.
    """
    if ledger is not None and workflow.done and workflow.id:
        try:
            run: Run | None = yield Work(partial(ledger.of_workflow, workflow.id))
        except ConfigError:
            return workflow
        kept = workflow.cost.kept
        if run is not None and (run.status != workflow.status or kept not in (None, run.cost)):
            yield from _finished(ledger, run, workflow)
            if run.state == "open" and not any(
                i.deliverable or i.available for i in workflow.images
            ):
                yield from noted(partial(ledger.closed, run.key))
    return workflow


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
        place = _own_place(run, workflow, out)
        result = yield from brought_home(
            service, workflow, out=out, tell=tell, record=record, place=place
        )
    except WorkflowFailed:
        yield from noted(partial(ledger.closed, run.key))
        raise
    yield from noted(partial(ledger.closed, run.key))
    return result
