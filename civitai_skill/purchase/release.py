"""Accepting a mature result that the service holds back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from civitai_skill.api import changes, workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import ApiError, OverBudget, Problem, RequestInvalid, TransportFailed
from civitai_skill.errors.next_steps import Allow, Look
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import Releasing
from civitai_skill.purchase.join import write_quietly


def release(
    service: Service,
    workflow_id: str,
    *,
    limit: int,
    ledger: Ledger | None,
    budget: Budget | None,
    account: str,
    tell: Callable[[Releasing], None] | None = None,
) -> Flow[Workflow]:
    """Accept a mature result that is held back: blue and green Buzz come back, yellow is charged.

    It is counted in the ledger when it is released, whenever it was bought and by whom. Raises
    RequestInvalid when nothing is held, OverBudget above `limit` (Buzz) or when the budget has no
    room; a yellow balance that is too low is the service's NotEnoughBuzz.
    """
    before = yield from workflows.get(service, workflow_id)
    price = _price(before, workflow_id)
    if tell is not None:
        tell(Releasing(before, price))
    if price is None or price > limit:
        raise OverBudget(
            f"Releasing {workflow_id} costs {price if price is not None else 'unknown'} "
            f"yellow Buzz; the limit is {limit}.",
            price=price,
            limit=limit,
            next=[Allow(price)],
        )
    key = f"release-{workflow_id}"  # where the workflow was bought elsewhere
    run = Run(
        key=key,
        identity=key,
        purpose="release",
        body=b"",
        wanted=len(before.images),
        reserved=price,
        account=account,
        state="closed",
        workflow=workflow_id,
    )
    earlier: Run | None = None
    if ledger is not None:
        earlier = yield Work(partial(ledger.renew, run, budget))
    try:
        yield from changes.update(service, workflow_id, {"allowMatureContent": True}, pays=True)
    except (TransportFailed, ApiError) as error:
        if error.spent == "unknown":
            advice = "It may be released. The same call again can't pay twice; look first."
            raise error.replace(advice=advice, next=(Look(workflow_id),)) from None
        if ledger is not None:
            yield from write_quietly(partial(ledger.put_back, run, earlier))
        raise
    return (
        yield from changes.look_until_changed(
            service,
            workflow_id,
            lambda seen: seen.allow_mature_content is True or not any(i.held for i in seen.images),
        )
    )


def _price(before: Workflow, workflow_id: str) -> int | None:
    """What releasing costs (yellow Buzz), None where nothing tells it; raises RequestInvalid."""
    held = [i for i in before.images if not i.deliverable and i.available]
    if before.allow_mature_content is True or not (before.done and held):
        accepted = "a finished workflow whose mature pictures are held back"
        raise RequestInvalid(
            Problem("id", workflow_id, accepted, None, "nothing is held here"),
            next=[Look(workflow_id)],
        )
    # What was paid in yellow Buzz already stays.
    paid = before.cost.by_currency
    return sum(n for name, n in paid.items() if name != "yellow") if paid else before.cost.total
