"""The price comes first: say what an order costs, refuse above the limit.

The rules that guard the Buzz stand here and nowhere else: when the service is asked for the price,
what counts where it is not certain, what is said when it is too much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.errors import NotEnoughBuzz, OverBudget, RequestInvalid
from civitai_skill.errors.next_steps import Allow, Choose
from civitai_skill.purchase.events import Priced, Quoted
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import Prepared, prepare, upload_sources
from civitai_skill.schema.request import ImageRequest, Quality

#: Above this many Buzz, or where no price is documented, the service is asked before paying.
ASK_ABOVE = 100

_CHEAPER: Mapping[Quality, tuple[Quality, ...]] = {
    "draft": (),
    "standard": ("draft",),
    "high": ("standard", "draft"),
}


def estimate(
    service: Service, order: Order, prepared: Prepared | None = None
) -> Flow[workflows.Quote]:
    """The service's own price for an order, with the plan that was priced. Spends nothing.

    `prepared` is the order as it was prepared before.
    """
    if prepared is None:
        prepared = yield Work(lambda: prepare(order))
        assert prepared is not None
    template = yield from upload_sources(service, prepared)
    quote = yield from workflows.estimate(service, template)
    return replace(quote, plan=prepared.plan)


def check_price(
    service: Service, order: Order, prepared: Prepared, template: Mapping[str, Any]
) -> Flow[int]:
    """Say the price, refuse above the limit, and give what must be reserved (Buzz).

    Raises OverBudget or NotEnoughBuzz.
    """
    decided, limit = prepared.plan, order.limit
    if decided is None:
        price = check_quote((yield from workflows.estimate(service, template)), limit)
        order.tell(Quoted(price, limit))
        return price
    most = decided.price.most
    order.tell(Priced(decided, decided.price, None, limit))
    if order.quoted is not None:
        most = max(order.quoted, most or 0)
    elif most is None or most > ASK_ABOVE:
        if most is not None and most > limit:
            raise over_budget_error(order, decided, most)
        quote = yield from workflows.estimate(service, template)
        order.tell(Priced(decided, decided.price, quote, limit))
        _check_balance(quote)
        most = quote.total if quote.total is not None else most
    if most is None:
        if order.unpriced:
            return limit
        raise _no_price_error(limit)
    if most > limit:
        raise over_budget_error(order, decided, most)
    return most


def check_quote(quote: workflows.Quote, limit: int) -> int:
    """The price of a quote, where it can be paid and is within the limit (Buzz).

    Raises OverBudget or NotEnoughBuzz.
    """
    _check_balance(quote)
    if quote.total is None:
        raise _no_price_error(limit)
    if quote.total > limit:
        raise above_limit_error(quote.total, limit)
    return quote.total


def above_limit_error(price: int, limit: int) -> OverBudget:
    """The refusal of what the service asks more for than is allowed."""
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


def _no_price_error(limit: int) -> OverBudget:
    return OverBudget(
        "The price is not documented, and the service did not tell it either.",
        price=None,
        limit=limit,
        advice="Choose another engine or variant.",
        next=[Choose()],
    )


def over_budget_error(order: Order, decided: Plan, price: int) -> OverBudget:
    """The refusal above the limit, with what would fit."""
    assert isinstance(order.asked, ImageRequest), "only a request is planned"
    return OverBudget(
        f"{decided.family} {decided.variant} costs about {price} Buzz for this; "
        f"the limit is {order.limit}. Nothing was sent to be made.",
        price=price,
        limit=order.limit,
        fits=_describe_what_fits(order.asked, decided, price, order.limit),
        next=[Allow(price)],
    )


def _describe_what_fits(request: ImageRequest, decided: Plan, price: int, limit: int) -> str:
    """What of this would be within the limit, priced as a request of its own."""
    fewer = limit * decided.quantity // price
    if decided.quantity > fewer > 0:
        return f"{fewer} of the {decided.quantity} pictures would fit."
    for said in ({}, {"variant": None}) if request.variant is not None else ({},):
        for quality in _CHEAPER[request.quality]:
            other = request.model_copy(update={"quality": quality, **said})
            cost = _price_within(other, decided, price, limit)
            if cost is not None:
                without = "Without variant, " if said else ""
                return f"{without}quality={quality} would cost about {cost} Buzz."
    return ""


def _price_within(request: ImageRequest, decided: Plan, price: int, limit: int) -> int | None:
    """What another request would cost (Buzz), where it is the same work for less."""
    try:
        other = plan(request, sources=decided.sources)
    except RequestInvalid:
        return None
    own, cost = decided.price.most, other.price.most
    if cost is None or other.operation != decided.operation:
        return None
    if own is not None and price > own:
        cost = math.ceil(cost * price / own)  # the service asks more than is documented
    return cost if cost <= limit and cost < price else None
