"""Buy an order: price it, write it down, send it once; or go on with what is open."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow, is_moderation
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.planning.plan import with_seed
from civitai_skill.errors import (
    ApiError,
    CivitaiError,
    ConfigError,
    NotFound,
    StillRunning,
    TransportFailed,
)
from civitai_skill.errors.next_steps import BuyAgain, Resume
from civitai_skill.images.save import Label
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import Charged, Resumed, Submitted, Submitting
from civitai_skill.purchase.join import (
    find_open_run,
    key_reused_error,
    may_join,
    release_on_failure,
    take_up,
    write_quietly,
)
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.prepare import Prepared, prepare, resolve, upload_sources
from civitai_skill.purchase.price import check_price, rule_of
from civitai_skill.steps.chain import FinishPlan, Planned

#: How often, and how many seconds apart, a call looks for the id of the same request that another
#: call is submitting.
_TRIES, _PAUSE = 50, 0.2


def buy(service: Service, order: Order, prepared: Prepared | None = None) -> Flow[Purchase]:
    """Prepare, price, write down and submit once; or go on with what is open.

    `prepared` is the order as it was prepared before. Raises StillRunning when another call is
    making the same right now.
    """
    prepared = prepared or (yield Work(partial(prepare, order)))
    plan, identity = prepared.plan, prepared.identity(order)
    rule = None if plan is None or order.quoted is not None else rule_of(plan)
    find = partial(find_open_run, order, prepared.key, identity, rule)
    earlier: Run | None
    for tries in range(_TRIES, -1, -1):
        try:
            earlier, known = yield Work(find)
            break
        except StillRunning as error:
            if error.workflow_id is not None or not tries:
                raise
        yield _PAUSE  # it is being submitted by another call: soon it has an id to be told
    if earlier is None:
        if prepared.sources:
            body = yield from upload_sources(service, prepared, order.deadline)
        else:
            body = prepared.body()
        price, confirmed = yield from check_price(service, order, prepared, body, known=known)
        key = prepared.key or f"cs-{uuid.uuid4().hex}"
        run = Run(
            key=key,
            identity=identity,
            purpose=order.purpose,
            body=workflows.encode_body({**body, "externalId": key}),
            wanted=prepared.wanted,
            reserved=price,
            engine=prepared.engine,
            variant=prepared.variant,
            out=None if order.out is None else str(order.out.absolute()),
            account=order.account,
            label=_label_of(order, prepared),
        )
        try:
            earlier = yield Work(partial(_begin, order, run, confirmed))
        except GeneratorExit:
            if order.ledger is not None:
                with suppress(ConfigError):
                    if order.terms.external_id is not None:
                        order.ledger.release(key)
                    else:  # the key is this call's own, and was never sent
                        order.ledger.drop(key, "broken off before it was sent")
            raise
        if earlier is None:
            sending = send(service, order, run, plan, certain=True)
            return (yield from release_on_failure(order.ledger, run, sending))
    purchase = yield from go_on(service, order, earlier, plan)
    # What this call wants done to its pictures here may differ from what the earlier one wanted.
    named = order.label if earlier.label is None else Label.from_json(earlier.label)
    label = _label_of(replace(order, label=named), prepared)
    return replace(purchase, run=replace(purchase.run, label=label))


@dataclass(frozen=True)
class Preview:
    """What buying would do: go on with `run`, or buy anew (None). `plan` is what would be made;
    None where the caller wrote the body."""

    run: Run | None
    plan: Planned | None


def preview(service: Service, order: Order) -> Flow[Preview]:
    """Prepare an order and look for what it would go on with; buys nothing.

    Raises StillRunning when another call is making the same right now.
    """
    order = yield from resolve(service, order)
    prepared: Prepared = yield Work(partial(prepare, order))
    run, _ = yield Work(partial(find_open_run, order, prepared.key, prepared.identity(order)))
    return Preview(run, prepared.plan)


def _label_of(order: Order, prepared: Prepared) -> str | None:
    """How an order's pictures come home, as the ledger keeps it: their names, sidecars, and what is
    done to them."""
    label, plan, request = order.label, prepared.plan, prepared.request
    if label is None and order.notes and request is not None and plan is not None:
        label = Label((), sidecar_facts(request, plan.family, plan.variant, plan.seed))
    if label is None and prepared.conversion is None and not order.keep_all:
        return None
    label = label or Label((), None)
    return replace(label, conversion=prepared.conversion, keep_all=order.keep_all).to_json()


def _begin(order: Order, run: Run, confirmed: str | None) -> Run | None:
    """Write the run down; gives the earlier one when another process was first."""
    ledger = order.ledger
    if ledger is None:
        return None
    again = order.again or order.terms.external_id is not None
    begun = ledger.begin(run, again=again, budget=order.budget, confirmed=confirmed)
    if begun.fresh:
        return None
    if begun.run.key == run.key and begun.run.identity != run.identity:
        raise key_reused_error(run.key)
    if begun.run.key == run.key or may_join(ledger, order, begun.run):
        return begun.run
    ledger.begin(run, again=True, budget=order.budget)
    return None


def go_on(
    service: Service, order: Order, run: Run, decided: Planned | None = None
) -> Flow[Purchase]:
    """Take up an earlier run: its recorded body and key, its own seed.

    Raises NotFound where the service does not know it any more, RequestInvalid where it would have
    to be sent again for another account.
    """
    order.tell(Resumed(run))
    mine = yield from take_up(order, run)
    if run.workflow:
        part = _look_again(service, order, mine, decided)
    else:
        part = send(service, order, mine, decided, certain=False)
    purchase = yield from release_on_failure(order.ledger, mine, part)
    return replace(purchase, resumed=True)


def _look_again(
    service: Service, order: Order, run: Run, decided: Planned | None
) -> Flow[Purchase]:
    """Look at the workflow of a run that was taken up."""
    assert run.workflow is not None, "see go_on"
    try:
        workflow = yield from workflows.get(service, run.workflow, committed=True)
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
    return Purchase(workflow, decided and _as_made(decided, workflow), run)


def send(
    service: Service, order: Order, run: Run, decided: Planned | None = None, *, certain: bool
) -> Flow[Purchase]:
    """Send the bytes of a run; `certain` says that no earlier process may have sent them."""
    try:
        order.tell(Submitting(run.key))
    except CivitaiError as error:  # whoever hears it may still refuse
        if certain and order.ledger is not None:
            yield from write_quietly(partial(order.ledger.drop, run.key, error.message))
        raise error if certain else _unsure(error) from None
    try:
        workflow = yield from workflows.submit(
            service, run.body, run.key, give_up_at=order.deadline
        )
    except (TransportFailed, ApiError) as error:
        raise (yield from _record_failure(order, run, error, certain)) from None
    if order.ledger is not None:
        record = partial(order.ledger.record_submitted, run.key, workflow.id, workflow.cost.total)
        yield from write_quietly(record)
    if decided is not None and decided.seed != workflow.input.get("seed"):
        decided = _as_made(decided, workflow)
    order.tell(Submitted(workflow, decided))
    if (workflow.cost.total or 0) > run.reserved:
        order.tell(Charged(workflow, run.reserved, workflow.cost.total or 0))
        if order.ledger is not None and decided is not None:
            yield from write_quietly(partial(order.ledger.confirm, rule_of(decided), holds=False))
    return Purchase(workflow, decided, run)


def _as_made(decided: Planned, workflow: Workflow) -> Planned:
    """The plan with the seed that the service has: an earlier purchase drew its own."""
    seed = workflow.input.get("seed")
    if isinstance(decided, FinishPlan) or decided.seed is None or not isinstance(seed, int):
        return decided
    return with_seed(decided, seed)


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
        blocked = (key, "blocked", None, error.message)
        yield from write_quietly(partial(ledger.record_finished, *blocked, close=True))
    else:
        return error.replace(next=(Resume(key),))  # the ledger keeps it: nothing is left to settle
    return error
