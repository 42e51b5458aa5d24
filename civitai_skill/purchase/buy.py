"""Buying: decide, price, write down, submit once.

Every door goes through here. A purchase is in the ledger before its first byte leaves, and the
same request goes on with what an earlier call left open instead of buying it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow, is_moderation
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.planning.plan import Plan, with_seed
from civitai_skill.errors import (
    ApiError,
    CivitaiError,
    ConfigError,
    NotFound,
    OverBudget,
    Problem,
    RequestInvalid,
    StillRunning,
    TransportFailed,
)
from civitai_skill.errors.next_steps import Resume
from civitai_skill.images.save import Label
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.images.sources import EVERY_SOURCE, Source, SourcePolicy
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import Resumed, Submitted, Submitting, Tell, ignore_event
from civitai_skill.purchase.identity import identify
from civitai_skill.purchase.price import Terms, check_price, decide, upload_sources
from civitai_skill.schema.request import ImageRequest
from civitai_skill.storage.locks import is_mine

T = TypeVar("T")

Keep = Callable[[str, bytes], None]


def ignore_result(key: str, content: bytes) -> None:
    """Keep nothing."""


@dataclass(frozen=True)
class Order:
    """A purchase and the rules for it.

    `limit` is Buzz for this call, `budget` for all calls together. `again` buys anew whatever is
    open. `joins` says what happens to the same request while this process itself is still making
    it: True reports it (a caller that repeats itself), False buys it too (a program that wants
    several). `unpriced` lets a price through that nobody tells; `sources` says which sources may
    be named. `purpose` is for the ledger's reader; `account` tells accounts and services apart;
    `apart` False says that the caller's key alone names a purchase, whatever the account. `label`
    names the pictures; with `notes` each gets the note that `again` reads, even without a label.
    `keep` gets the key and bytes of a submit whose fate stayed unknown.
    """

    request: ImageRequest
    terms: Terms
    limit: int
    ledger: Ledger | None = None
    budget: Budget | None = None
    account: str = ""
    apart: bool = True
    purpose: str = "python"
    again: bool = False
    joins: bool = False
    unpriced: bool = False
    sources: SourcePolicy = EVERY_SOURCE
    tell: Tell = ignore_event
    label: Label | None = None
    notes: bool = False
    keep: Keep = ignore_result


@dataclass(frozen=True)
class Purchase:
    """What an order came to: the workflow, the plan, and the run it is written under."""

    workflow: Workflow
    plan: Plan | None
    run: Run | None
    resumed: bool = False


def buy(service: Service, order: Order, out: Path | None = None) -> Flow[Purchase]:
    """Decide, price, write down and submit once; or go on with what is open.

    Raises StillRunning when another call is making the same right now.
    """
    decided, opened, identity = yield from _identify(order, out)
    earlier = yield from find_open_run(order, identity)
    if earlier is not None:
        return (yield from go_on(service, order, earlier, decided))
    decided = yield from upload_sources(service, decided, opened)
    price = yield from check_price(
        service, decided, order.terms, order.limit, order.tell, order.request, order.unpriced
    )
    key = order.terms.external_id or workflows.new_key()
    label = make_label(order, decided)
    run = Run(
        key=key,
        identity=identity,
        purpose=order.purpose,
        body=workflows.encode_body(order.terms.body(decided, key)),
        wanted=decided.quantity,
        reserved=price,
        engine=decided.family,
        variant=decided.variant,
        out=None if out is None else str(out.absolute()),
        account=order.account,
        label=None if label is None else label.to_json(),
    )
    return (yield from submit_once(service, order, run, decided))


def _identify(order: Order, out: Path | None) -> Flow[tuple[Plan, list[Source | str], str]]:
    """The decided request, its opened sources, and the purchase's identity."""
    decided, opened = yield from decide(order.request, order.sources)
    order.terms.body(decided, order.terms.external_id)  # refuse the surroundings before sending
    # A key of the caller's own is the purchase's name, wherever its pictures go.
    place = out if order.terms.external_id is None else None
    where = order.account if order.apart else ""
    return decided, opened, identify(order.request, decided, opened, order.terms, where, place)


def preview_open_run(order: Order, out: Path | None = None) -> Flow[Run | None]:
    """The run that an order would go on with instead of buying; nothing is sent.

    Raises StillRunning when another call is making the same right now.
    """
    _, _, identity = yield from _identify(order, out)
    return (yield from find_open_run(order, identity))


def make_label(order: Order, plan: Plan) -> Label | None:
    """The names and notes of the pictures that an order makes, where it wants any."""
    if order.label is not None or not order.notes:
        return order.label
    return Label((), sidecar_facts(order.request, plan.family, plan.variant, plan.seed))


def submit_once(service: Service, order: Order, run: Run, decided: Plan | None) -> Flow[Purchase]:
    """Write a new run down and send it, unless another call was first: then go on with its."""
    return (
        yield from release_on_failure(order.ledger, run, _submit_once(service, order, run, decided))
    )


def _submit_once(service: Service, order: Order, run: Run, decided: Plan | None) -> Flow[Purchase]:
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


def find_open_run(order: Order, identity: str) -> Flow[Run | None]:
    """The run to go on with, looked for before anything is asked of the service."""
    if order.ledger is None:
        return None
    found: Run | None = yield Work(partial(_find_open_run, order.ledger, order, identity))
    return found


def _find_open_run(ledger: Ledger, order: Order, identity: str) -> Run | None:
    key = order.terms.external_id
    if key is not None:
        named = ledger.run(key)
        if named is None or named.state == "dropped":
            return None  # the service never had it, so it is a purchase like any other
        if named.identity == identity:
            return named  # whatever became of it: the service answers with the same workflow
        raise _key_reused_error(key)
    found = None if order.again else ledger.open_run(identity)
    return found if found is not None and _may_join(ledger, order, found) else None


def _key_reused_error(key: str) -> RequestInvalid:
    """The refusal of a key that names another purchase."""
    why = "this key was used for another request"
    return RequestInvalid(
        Problem("external_id", key, "a key of its own for each request", None, why)
    )


def _begin(ledger: Ledger, order: Order, run: Run) -> Run | None:
    """Write the run down; gives the earlier one when another process was first."""
    own = order.terms.external_id is not None
    begun = ledger.begin(run, again=order.again or own, budget=order.budget)
    if begun.fresh:
        return None
    if begun.run.key == run.key and begun.run.identity != run.identity:
        raise _key_reused_error(run.key)
    if begun.run.key == run.key or _may_join(ledger, order, begun.run):
        return begun.run
    ledger.begin(run, again=True, budget=order.budget)
    return None


def _may_join(ledger: Ledger, order: Order, run: Run) -> bool:
    """May an order go on with this run? Raises StillRunning while somebody works on it."""
    if not ledger.is_worked_on(run):
        return True
    if is_mine(run.owner) and not order.joins:
        return False
    name = f"workflow {run.workflow}" if run.workflow else f"key {run.key}"
    raise StillRunning(
        f"The same request is being made right now ({name}); nothing was bought.",
        workflow=Workflow(run.workflow, "unknown"),
        advice=(
            f"Look at it with: civitai-skill get {run.workflow} --wait. " if run.workflow else ""
        )
        + "To buy it anew as well, say so (again=True, --again).",
    )


def go_on(service: Service, order: Order, run: Run, decided: Plan | None) -> Flow[Purchase]:
    """Take up an earlier run: its recorded body and key, its own seed."""
    order.tell(Resumed(run))
    workflow, mine = yield from take_up(service, order, run)
    seed = workflow.input.get("seed")
    if isinstance(seed, int) and decided is not None and decided.seed is not None:
        decided = with_seed(decided, seed)
    if run.workflow is None:
        order.tell(Submitted(workflow, decided))
    return Purchase(workflow, decided, mine, resumed=True)


def take_up(service: Service, order: Order, run: Run) -> Flow[tuple[Workflow, Run]]:
    """Make an open run this process's own, and give its workflow: looked at, or sent again.

    Raises NotFound where the service does not know it any more, RequestInvalid where it would have
    to be sent again for another account: that would be a second purchase.
    """
    mine = yield from _take_ownership(order, run)
    ledger = order.ledger
    workflow = yield from release_on_failure(ledger, mine, _look_or_send(service, order, mine))
    return workflow, mine


def _take_ownership(order: Order, run: Run) -> Flow[Run]:
    """The run as this process's own. A refusal says what is known of the purchase itself."""
    assert order.ledger is not None, "only a ledger has runs to take up"
    try:
        _check_open(order, run)
        mine: Run = yield Work(partial(order.ledger.take_up, run.key, order.budget))
    except CivitaiError as error:
        if error.spent == "no":
            error.spent = "unknown" if run.workflow is None else "yes"
        raise
    return mine


def _check_open(order: Order, run: Run) -> None:
    if run.workflow is None:
        check_account(order.account, run)
        if run.reserved > order.limit:
            raise OverBudget(
                f"Going on with this purchase costs about {run.reserved} Buzz; the limit is "
                f"{order.limit}. Nothing was sent now.",
                price=run.reserved,
                limit=order.limit,
                advice=f"Allow more: max_buzz={run.reserved} (--max-buzz {run.reserved}).",
            )


def check_account(account: str, run: Run) -> None:
    """Raises RequestInvalid where a run was begun with another account or service."""
    if run.account != account:
        why = "this purchase was begun with another key or service, and would be a second one here"
        accepted = "the key and service that it was begun with"
        raise RequestInvalid(
            Problem("key", None, accepted, None, why),
            advice="To buy it with this key as well: again=True (--again).",
        )


def _look_or_send(service: Service, order: Order, run: Run) -> Flow[Workflow]:
    if run.workflow is None:
        return (yield from _send(service, order, run, certain=False))
    try:
        return (yield from workflows.get(service, run.workflow, committed=True))
    except NotFound as error:
        # Sent again it would be made, and paid, a second time.
        if order.ledger is not None:
            yield from write_quietly(partial(order.ledger.record_missing, run.key))
        error.message = f"The service does not know workflow {run.workflow} for this key."
        error.advice = (
            "It was bought before; workflows are kept for 30 days, and only their owner sees them. "
            "Nothing was bought now. To buy it anew: again=True (--again)."
        )
        raise


def send(service: Service, order: Order, run: Run) -> Flow[Workflow]:
    """Send the bytes of a run that nobody has sent before."""
    return (
        yield from release_on_failure(order.ledger, run, _send(service, order, run, certain=True))
    )


def release_on_failure(ledger: Ledger | None, run: Run, part: Flow[T]) -> Flow[T]:
    """A part of a purchase. Broken off, it lets go of the run although this process lives on: the
    same request, here or elsewhere, then goes on with it."""
    if ledger is None:
        return (yield from part)
    try:
        return (yield from part)
    except GeneratorExit:
        with suppress(ConfigError):  # no step can be asked for any more
            ledger.release(run.key)
        raise
    except BaseException:
        yield from write_quietly(partial(ledger.release, run.key))
        raise


def _send(service: Service, order: Order, run: Run, certain: bool) -> Flow[Workflow]:
    """`certain` says that no earlier process may have sent them."""
    try:
        order.tell(Submitting(run.key))
    except CivitaiError as error:  # whoever hears it may still refuse
        if not certain and error.spent == "no":
            error.spent = "unknown"
        if certain and order.ledger is not None:
            yield from write_quietly(partial(order.ledger.drop, run.key, error.message))
        raise
    try:
        workflow = yield from workflows.submit(service, run.body, run.key)
    except (TransportFailed, ApiError) as error:
        if not certain and error.spent == "no":
            error.spent = "unknown"
        if error.spent == "unknown":
            order.keep(run.key, run.body)
        if order.ledger is not None:
            yield from _record_failure(order.ledger, run.key, error)
        raise
    if order.ledger is not None:
        told = partial(order.ledger.record_submitted, run.key, workflow.id, workflow.cost.total)
        yield from write_quietly(told)
    return workflow


def _record_failure(ledger: Ledger, key: str, error: TransportFailed | ApiError) -> Flow[None]:
    """Write down what is certain after a submit that went wrong, and say what can be done."""
    if error.spent != "unknown":
        yield from write_quietly(partial(ledger.drop, key, error.message))
    elif isinstance(error, ApiError) and is_moderation(*error.reasons):
        # A prompt that moderation stops must not be sent again, not even to learn its fate.
        yield from write_quietly(
            partial(ledger.record_finished, key, "blocked", None, error.message)
        )
        yield from write_quietly(partial(ledger.close_run, key))
    else:
        error.next = (*error.next, Resume())
        error.advice += " The same request again does so, and so does: civitai-skill resume"


def write_quietly(write: Callable[[], object]) -> Flow[None]:
    """Write to the ledger after the purchase.

    A ledger that fails now must not lose what was paid for: the run stays open there, and taking it
    up again sends the same key.
    """
    try:
        yield Work(write)
    except ConfigError:
        return
