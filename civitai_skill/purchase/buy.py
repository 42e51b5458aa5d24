"""Buy an order: price it, write it down, send it once; or go on with what is open."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow, is_moderation
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.planning.plan import Plan, with_seed
from civitai_skill.errors import ApiError, CivitaiError, ConfigError, NotFound, TransportFailed
from civitai_skill.errors.next_steps import BuyAgain, Resume
from civitai_skill.images.save import Label
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import Resumed, Submitted, Submitting
from civitai_skill.purchase.join import (
    find_open_run,
    key_reused_error,
    may_join,
    release_on_failure,
    take_up,
    write_quietly,
)
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.prepare import Prepared, prepare, upload_sources
from civitai_skill.purchase.price import check_price
from civitai_skill.schema.request import ImageRequest


def buy(service: Service, order: Order, prepared: Prepared | None = None) -> Flow[Purchase]:
    """Prepare, price, write down and submit once; or go on with what is open.

    `prepared` is the order as it was prepared before. Raises StillRunning when another call is
    making the same right now.
    """
    if prepared is None:
        prepared = yield Work(partial(prepare, order))
        assert prepared is not None
    earlier = yield from find_open_run(order, prepared)
    if earlier is not None:
        return (yield from go_on(service, order, earlier, prepared.plan))
    template = yield from upload_sources(service, prepared)
    price = yield from check_price(service, order, prepared, template)
    run = _make_run(order, prepared, template, price)
    return (
        yield from release_on_failure(
            order.ledger, run, _begin_and_send(service, order, run, prepared.plan)
        )
    )


@dataclass(frozen=True)
class Preview:
    """What buying would do: go on with `run`, or buy anew (None). `plan` is what would be made;
    None where the caller wrote the body."""

    run: Run | None
    plan: Plan | None


def preview(order: Order) -> Flow[Preview]:
    """Prepare an order and look for what it would go on with; sends nothing.

    Raises StillRunning when another call is making the same right now.
    """
    prepared: Prepared = yield Work(partial(prepare, order))
    return Preview((yield from find_open_run(order, prepared)), prepared.plan)


def _make_run(order: Order, prepared: Prepared, template: dict[str, Any], price: int) -> Run:
    key = prepared.key or workflows.new_key()
    label = make_label(order, prepared.plan)
    return Run(
        key=key,
        identity=prepared.identity(order),
        purpose=order.purpose,
        body=workflows.encode_body({**template, "externalId": key}),
        wanted=prepared.wanted,
        reserved=price,
        engine=prepared.engine,
        variant=prepared.variant,
        out=None if order.out is None else str(order.out.absolute()),
        account=order.account,
        label=None if label is None else label.to_json(),
    )


def make_label(order: Order, plan: Plan | None) -> Label | None:
    """The names and sidecars of the pictures that an order makes, where it wants any."""
    if order.label is not None or not order.notes or plan is None:
        return order.label
    assert isinstance(order.asked, ImageRequest), "only a request is planned"
    return Label((), sidecar_facts(order.asked, plan.family, plan.variant, plan.seed))


def _begin_and_send(
    service: Service, order: Order, run: Run, decided: Plan | None
) -> Flow[Purchase]:
    """Write a new run down and send it, unless another call was first: then go on with its."""
    if order.ledger is not None:
        try:
            earlier = yield Work(partial(_begin, order.ledger, order, run))
        except GeneratorExit:
            if order.terms.external_id is None:  # the key is this call's own, and was never sent
                with suppress(ConfigError):
                    order.ledger.drop(run.key, "broken off before it was sent")
            raise
        if earlier is not None:
            return (yield from go_on(service, order, earlier, decided))
    workflow = yield from _send(service, order, run, certain=True)
    order.tell(Submitted(workflow, decided))
    return Purchase(workflow, decided, run)


def _begin(ledger: Ledger, order: Order, run: Run) -> Run | None:
    """Write the run down; gives the earlier one when another process was first."""
    own = order.terms.external_id is not None
    begun = ledger.begin(run, again=order.again or own, budget=order.budget)
    if begun.fresh:
        return None
    if begun.run.key == run.key and begun.run.identity != run.identity:
        raise key_reused_error(run.key)
    if begun.run.key == run.key or may_join(ledger, order, begun.run):
        return begun.run
    ledger.begin(run, again=True, budget=order.budget)
    return None


def go_on(service: Service, order: Order, run: Run, decided: Plan | None = None) -> Flow[Purchase]:
    """Take up an earlier run: its recorded body and key, its own seed.

    Raises NotFound where the service does not know it any more, RequestInvalid where it would have
    to be sent again for another account.
    """
    order.tell(Resumed(run))
    mine = yield from take_up(order, run)
    workflow = yield from release_on_failure(
        order.ledger, mine, _look_or_send(service, order, mine)
    )
    seed = workflow.input.get("seed")
    if isinstance(seed, int) and decided is not None and decided.seed is not None:
        decided = with_seed(decided, seed)
    if run.workflow is None:
        order.tell(Submitted(workflow, decided))
    return Purchase(workflow, decided, mine, resumed=True)


def _look_or_send(service: Service, order: Order, run: Run) -> Flow[Workflow]:
    if run.workflow is None:
        return (yield from _send(service, order, run, certain=False))
    try:
        return (yield from workflows.get(service, run.workflow, committed=True))
    except NotFound as error:
        # Sent again it would be made, and paid, a second time.
        if order.ledger is not None:
            yield from write_quietly(partial(order.ledger.record_missing, run.key))
        raise error.replace(
            message=f"The service does not know workflow {run.workflow} for this key.",
            advice="It was bought before; workflows are kept for 30 days, and only their owner "
            "sees them. Nothing was bought now.",
            next=(BuyAgain(),),
        ) from None


def send(service: Service, order: Order, run: Run) -> Flow[Workflow]:
    """Send the bytes of a run that nobody has sent before."""
    return (
        yield from release_on_failure(order.ledger, run, _send(service, order, run, certain=True))
    )


def _send(service: Service, order: Order, run: Run, certain: bool) -> Flow[Workflow]:
    """`certain` says that no earlier process may have sent them."""
    try:
        order.tell(Submitting(run.key))
    except CivitaiError as error:  # whoever hears it may still refuse
        if certain and order.ledger is not None:
            yield from write_quietly(partial(order.ledger.drop, run.key, error.message))
        raise error if certain else _unsure(error) from None
    try:
        workflow = yield from workflows.submit(service, run.body, run.key)
    except (TransportFailed, ApiError) as error:
        raise (yield from _record_failure(order, run, error, certain)) from None
    if order.ledger is not None:
        record = partial(order.ledger.record_submitted, run.key, workflow.id, workflow.cost.total)
        yield from write_quietly(record)
    return workflow


def _unsure(error: CivitaiError) -> CivitaiError:
    """The same error of bytes that an earlier process may have sent."""
    return error.replace(spent="unknown") if error.spent == "no" else error


def _record_failure(
    order: Order, run: Run, error: CivitaiError, certain: bool
) -> Flow[CivitaiError]:
    """Write down what is certain after a submit that went wrong, and say what can be done."""
    error, ledger, key = (error if certain else _unsure(error)), order.ledger, run.key
    if error.spent == "unknown":
        order.keep(key, run.body)
    if ledger is None:
        return error
    if error.spent != "unknown":
        yield from write_quietly(partial(ledger.drop, key, error.message))
    elif isinstance(error, ApiError) and is_moderation(*error.reasons):
        # A prompt that moderation stops must not be sent again, not even to learn its fate.
        yield from write_quietly(
            partial(ledger.record_finished, key, "blocked", None, error.message)
        )
        yield from write_quietly(partial(ledger.close_run, key))
    else:
        return error.replace(next=(*error.next, Resume(key)))
    return error
