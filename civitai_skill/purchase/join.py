"""Going on with an earlier purchase instead of paying again: find it, take it up, let go of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Work
from civitai_skill.errors import (
    CivitaiError,
    ConfigError,
    OverBudget,
    Problem,
    RequestInvalid,
    StillRunning,
)
from civitai_skill.errors.next_steps import Allow, BuyAgain, Look
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import LeftOpen
from civitai_skill.purchase.order import Order, Unconfirmed
from civitai_skill.storage.locks import is_mine

T = TypeVar("T")


def find_open_run(
    order: Order, key: str | None, identity: str, rule: str | None = None
) -> tuple[Run | None, bool]:
    """The run that an order goes on with, looked for before anything is asked of the service; and
    whether the service confirmed its price rule lately. One look tells both.

    Raises StillRunning while another call is making the same.
    """
    ledger = order.ledger
    if ledger is None:
        return None, False
    if order.unconfirmed:
        close_answered(order.unconfirmed)
    found, old, confirmed = ledger.look_up(identity, rule, key)
    if key is not None:
        if found is None or found.state == "dropped":
            return None, confirmed  # the service never had it: a purchase like any other
        if found.identity == identity:
            return found, confirmed  # the service answers with the same workflow, whatever it is
        raise key_reused_error(key)
    if order.again or (found is not None and not may_join(ledger, order, found)):
        return None, confirmed
    if old is not None:
        order.tell(LeftOpen(old))
    return found, confirmed


def key_reused_error(key: str) -> RequestInvalid:
    """The refusal of a key that names another purchase."""
    why = "this key was used for another request"
    return RequestInvalid(
        Problem("external_id", key, "a key of its own for each request", None, why)
    )


def may_join(ledger: Ledger, order: Order, run: Run) -> bool:
    """May an order go on with this run? Raises StillRunning while somebody works on it."""
    if not ledger.is_worked_on(run):
        return True
    if is_mine(run.owner) and not order.joins:
        return False
    name = f"workflow {run.workflow}" if run.workflow else f"key {run.key}"
    raise StillRunning(
        f"The same request is being made right now ({name}); nothing was bought.",
        workflow=Workflow(run.workflow, "unknown"),
        next=[*([Look(run.workflow)] if run.workflow else []), BuyAgain()],
    )


def take_up(order: Order, run: Run) -> Flow[Run]:
    """Make an open run this process's own. A refusal says what is known of the purchase itself.

    Raises RequestInvalid where it would have to be sent again for another account: that would be a
    second purchase.
    """
    assert order.ledger is not None, "only a ledger has runs to take up"
    try:
        if run.workflow is None:
            check_account(order.account, run)
            if run.reserved > order.limit:
                raise OverBudget(
                    f"Going on with this purchase costs about {run.reserved} Buzz; the limit is "
                    f"{order.limit}. Nothing was sent now.",
                    price=run.reserved,
                    limit=order.limit,
                    next=[Allow(run.reserved)],
                )
        mine: Run = yield Work(partial(order.ledger.take_up, run.key, order.budget))
    except CivitaiError as error:
        if error.spent != "no":
            raise
        raise error.replace(spent="unknown" if run.workflow is None else "yes") from None
    return mine


def check_account(account: str, run: Run) -> None:
    """Raises RequestInvalid where a run was begun with another account or service."""
    if run.account != account:
        why = "this purchase was begun with another key or service, and would be a second one here"
        accepted = "the key and service that it was begun with"
        raise RequestInvalid(Problem("key", None, accepted, None, why), next=[BuyAgain()])


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


def close_answered(ended: Unconfirmed, patience: float | None = None) -> None:
    """Close purchases whose callers have the answer; those that the ledger does not take within
    `patience` seconds stay for the next time."""
    for ledger, key in tuple(ended):
        with suppress(ConfigError, ValueError):  # another thread may close it at the same moment
            ledger.close_run(key, patience=patience)
            ended.remove((ledger, key))


def write_quietly(write: Callable[[], object]) -> Flow[None]:
    """Write to the ledger after the purchase.

    A ledger that fails now must not lose what was paid for: the run stays open there, and taking it
    up again sends the same key.
    """
    with suppress(ConfigError):
        yield Work(write)
