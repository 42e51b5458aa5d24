"""The price comes first: say what an order costs, refuse above the limit.

The rules that guard the Buzz stand here and nowhere else: when the service is asked for the price,
what counts where it is not certain, what is said when it is too much.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.models import Cost
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import (
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    TransportFailed,
)
from civitai_skill.errors.next_steps import Allow, Choose
from civitai_skill.purchase.events import Asking, Priced, Quoted
from civitai_skill.purchase.identity import hash_json
from civitai_skill.purchase.order import Order, WorkflowBody
from civitai_skill.purchase.prepare import Prepared, prepare, resolve, upload_sources
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest, Quality
from civitai_skill.steps.chain import FinishPlan, Planned, plan_request

#: Above this many Buzz, or where no price is documented, a batch asks the service while it plans.
ASK_ABOVE = 100
#: Seconds that a price question may take, and more for each source picture, which the service
#: fetches first (about 20 s each, civitai-api facts 1.4).
_ASK_SECONDS, _ASK_SECONDS_A_SOURCE = 15.0, 25.0

#: The most pictures of one request whose price is looked at for a cheaper way.
_MOST_TOGETHER = 8

_CHEAPER: Mapping[Quality, tuple[Quality, ...]] = {
    "draft": (),
    "standard": ("draft",),
    "high": ("standard", "draft"),
}


def estimate(service: Service, order: Order) -> Flow[workflows.Quote]:
    """The service's own price for an order, with the plan that was priced. Spends nothing."""
    order = yield from resolve(service, order)
    prepared: Prepared = yield Work(partial(prepare, order))
    if not prepared.steps:
        return workflows.Quote(Cost(0), False, {}, plan=prepared.plan)  # all of it is done here
    template = yield from upload_sources(service, prepared)
    quote = yield from workflows.estimate(service, template)
    return replace(quote, plan=prepared.plan)


def check_price(
    service: Service, order: Order, prepared: Prepared, body: Mapping[str, Any], *, known: bool
) -> Flow[tuple[int, str | None]]:
    """Say the price, refuse above the limit, and give what must be reserved (Buzz); with it the
    documented rule that the service confirmed just now.

    The service is asked, unless the rule is `known`: it was confirmed within a day. Raises
    OverBudget or NotEnoughBuzz.
    """
    decided, limit, confirmed = prepared.plan, order.limit, None
    if decided is None:
        told = yield from workflows.estimate(service, body, give_up_at=order.deadline)
        price = check_quote(told, limit)
        order.tell(Quoted(price, limit, tuple(map(str, told.warnings)), told.teller))
        return price, None
    most = decided.price.most
    order.tell(Priced(decided, decided.price, None, limit))
    if order.quoted is not None:
        most = max(order.quoted, most or 0)
    elif most is not None and most > limit:
        raise over_budget_error(order, decided, most)
    elif most is None or not known:
        quote = yield from ask_price(service, order, prepared, body)
        if quote is not None:
            order.tell(Priced(decided, decided.price, quote, limit))
            _check_balance(quote)
            most = quote.total or most  # 0 may mean that the result is kept
            confirmed = confirmed_rule(decided, quote)
    if most is None:
        if order.unpriced:
            return limit, None
        raise above_limit_error(None, limit)
    if most > limit:
        raise over_budget_error(order, decided, most)
    return most, confirmed


def ask_price(
    service: Service, order: Order, prepared: Prepared, body: Mapping[str, Any]
) -> Flow[workflows.Quote | None]:
    """The service's price; None where it fetched source pictures for too long and a price is
    documented."""
    if not prepared.sources:
        return (yield from workflows.estimate(service, body, give_up_at=order.deadline))
    seconds = _ASK_SECONDS + _ASK_SECONDS_A_SOURCE * len(prepared.sources)
    order.tell(Asking(len(prepared.sources), seconds))
    try:
        until = time.monotonic() + seconds
        until = until if order.deadline is None else min(until, order.deadline)
        return (yield from workflows.estimate(service, body, give_up_at=until))
    except TransportFailed:
        if prepared.plan is None or prepared.plan.price.most is None:
            raise
        return None


def cheaper_way(request: ImageRequest, count: int) -> str | None:
    """How so many requests cost less with more pictures in each, by the documented price; None
    where they don't, where none is documented, or where more than words goes into it."""
    if request.images or count < 2:
        return None
    prices: list[int] = []
    with suppress(RequestInvalid):
        for quantity in range(1, _MOST_TOGETHER + 1):
            most = plan_request(request.model_copy(update={"quantity": quantity})).price.most
            if most is None:
                break
            prices.append(most)
    if len(prices) < (request.quantity or 1):
        return None
    pictures = count * (request.quantity or 1)
    ways: list[tuple[int, int]] = []
    for quantity, price in enumerate(prices, 1):
        whole, rest = divmod(pictures, quantity)
        ways.append((whole * price + (prices[rest - 1] if rest else 0), quantity))
    buzz, quantity = min(ways)
    if buzz >= count * prices[(request.quantity or 1) - 1]:
        return None
    return f"{pictures} pictures with quantity {quantity} in each request: about {buzz} Buzz."


# -- what the service confirmed --------------------------------------------------------------------
def rule_of(decided: Planned) -> str:
    """What a documented price rule is about: the form, the variant, the set of AIRs; of several
    steps, each one's kind and price too."""
    steps = getattr(decided, "steps", ())
    forms = [step.form for step in steps] if isinstance(decided, FinishPlan) else [decided.form]
    airs: set[str] = set()
    left: list[Any] = [form.sent() for form in forms]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and value.startswith("urn:air:"):
            airs.add(value)
    tags = [] if isinstance(decided, FinishPlan) else sorted(type(decided.form).tags().items())
    chain = [[[step.kind, step.buzz] for step in steps]] if steps else []
    return hash_json([decided.family, decided.variant, tags, sorted(airs), *chain])


def confirmed_rule(decided: Planned, quote: workflows.Quote) -> str | None:
    """The documented rule, where a price of the service confirms it; 0 tells nothing."""
    return rule_of(decided) if quote.total and quote.total == decided.price.buzz else None


def check_quote(quote: workflows.Quote, limit: int) -> int:
    """The price of a quote, where it can be paid and is within the limit (Buzz).

    Raises OverBudget or NotEnoughBuzz.
    """
    _check_balance(quote)
    if quote.total is None or quote.total > limit:
        raise above_limit_error(quote.total, limit)
    return quote.total


def above_limit_error(price: int | None, limit: int) -> OverBudget:
    """The refusal of what the service asks more for than is allowed, or tells no price of."""
    if price is None:
        return OverBudget(
            "The price is not documented, and the service did not tell it either.",
            price=None,
            limit=limit,
            advice="Choose another engine or variant.",
            next=[Choose()],
        )
    return OverBudget(
        f"This costs {price} Buzz; the limit is {limit}. Nothing was sent to be made.",
        price=price,
        limit=limit,
        next=[Allow(price)],
    )


def _check_balance(quote: workflows.Quote) -> None:
    if quote.insufficient_buzz:
        raise NotEnoughBuzz(
            f"The account has not enough Buzz for this ({quote.total} needed).",
            status=200,
            advice="Buy Buzz, or lower the price. Mature content is paid in yellow Buzz only.",
        )


def over_budget_error(order: Order, decided: Planned, price: int) -> OverBudget:
    """The refusal above the limit, with what would fit."""
    assert not isinstance(order.asked, WorkflowBody), "only a request is planned"
    return OverBudget(
        f"{decided.title} costs about {price} Buzz for this; "
        f"the limit is {order.limit}. Nothing was sent to be made.",
        price=price,
        limit=order.limit,
        fits=_describe_what_fits(order.asked, decided, price, order.limit),
        next=[Allow(price)],
    )


def _describe_what_fits(
    request: ImageRequest | FinishRequest, decided: Planned, price: int, limit: int
) -> str:
    """What of this would be within the limit, priced as a request of its own."""
    fewer = limit * decided.quantity // price
    if decided.quantity > fewer > 0:
        return f"{fewer} of the {decided.quantity} pictures would fit."
    if isinstance(request, FinishRequest):
        return ""
    own = decided.price.most
    for said in ({}, {"variant": None}) if request.variant is not None else ({},):
        for quality in _CHEAPER[request.quality]:
            other = request.model_copy(update={"quality": quality, **said})
            with suppress(RequestInvalid):
                plan = plan_request(other, decided.sources)
                cost = plan.price.most
                if cost is None or plan.operation != decided.operation:
                    continue
                if own is not None and price > own:
                    cost = math.ceil(cost * price / own)  # the service asks more than is documented
                if cost <= limit and cost < price:
                    without = "Without variant, " if said else ""
                    return f"{without}quality={quality} would cost about {cost} Buzz."
    return ""
