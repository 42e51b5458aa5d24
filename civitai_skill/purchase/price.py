"""The price comes first: decide a request, say what it costs, refuse above the limit.

The rules that guard the Buzz stand here and nowhere else: when the service is asked for the price,
what counts where it is not certain, what is said when it is too much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.api.upload import upload
from civitai_skill.engines.planning.plan import Plan, Price, plan
from civitai_skill.errors import NotEnoughBuzz, OverBudget, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE, INLINE_BYTES, Source, SourcePolicy
from civitai_skill.purchase import prepare
from civitai_skill.purchase.body import build_body
from civitai_skill.schema.request import ImageRequest, Quality

#: Above this many Buzz, or where no price is documented, the service is asked before paying.
ASK_ABOVE = 100


@dataclass(frozen=True)
class Terms:
    """What surrounds a request: who pays, how it is filed. See `template.build_body`."""

    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    external_id: str | None = None
    allow_mature_content: bool | None = None
    currencies: Sequence[str] | None = None
    priority: str | None = None

    def body(self, decided: Plan, key: str | None) -> dict[str, Any]:
        return build_body(
            decided,
            tags=self.tags,
            metadata=self.metadata,
            external_id=key,
            allow_mature_content=self.allow_mature_content,
            currencies=self.currencies,
            priority=self.priority,
        )


@dataclass(frozen=True)
class Priced:
    """Told before anything is paid: the documented price, and the service's where it was asked."""

    plan: Plan
    price: Price
    quote: workflows.Quote | None
    limit: int

    def __str__(self) -> str:
        who = f"{self.plan.family} {self.plan.variant}"
        if self.quote is not None and self.quote.total is not None:
            most = "at most " if self.quote.cost.variable else ""
            return f"{who}: {most}{self.quote.total} Buzz, says the service (limit {self.limit})"
        if self.price.buzz is None:
            return f"{who}: the price is not documented (limit {self.limit} Buzz)"
        return f"{who}: {self.price}, by the documented rule (limit {self.limit})"


def decide(
    request: ImageRequest, policy: SourcePolicy = EVERY_SOURCE
) -> Flow[tuple[Plan, list[Source | str]]]:
    """Open the sources and choose the form; nothing is sent. Raises RequestInvalid."""
    found: tuple[Plan, list[Source | str]] = yield Work(
        lambda: prepare.plan_request(request, policy)
    )
    return found


def upload_sources(service: Service, decided: Plan, opened: list[Source | str]) -> Flow[Plan]:
    """Put the sources where the service can read them: small ones inside, large ones uploaded."""
    places: list[str] = []
    for source in opened:
        if isinstance(source, str):
            places.append(source)
        elif len(source.data) <= INLINE_BYTES:
            places.append(source.data_url())
        else:
            places.append((yield from upload(service, source)))
    return prepare.replace_sources(decided, places)


def quote_plan(service: Service, decided: Plan, terms: Terms) -> Flow[workflows.Quote]:
    """The service's own price for a decided request. Spends nothing."""
    return (yield from workflows.estimate(service, terms.body(decided, None)))


def check_price(
    service: Service,
    decided: Plan,
    terms: Terms,
    limit: int,
    tell: Callable[[Priced], None],
    request: ImageRequest,
    unpriced: bool = False,
) -> Flow[int]:
    """Say the price, refuse above the limit, and give what must be reserved (Buzz).

    With `unpriced` a price that nobody tells is let through, and reserved as the whole limit.
    Raises OverBudget or NotEnoughBuzz.
    """
    price = decided.price
    most = price.most
    quote: workflows.Quote | None = None
    tell(Priced(decided, price, None, limit))
    if most is None or most > ASK_ABOVE:
        if most is not None and most > limit:
            raise over_budget_error(decided, most, limit, request)
        quote = yield from quote_plan(service, decided, terms)
        tell(Priced(decided, price, quote, limit))
        _check_balance(quote)
        most = quote.total if quote.total is not None else most
    if most is None:
        if unpriced:
            return limit
        raise _no_price_error(limit)
    if most > limit:
        raise over_budget_error(decided, most, limit, request)
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
        advice=_allow_hint(price),
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
    )


def _allow_hint(price: int) -> str:
    return f"Or allow more: max_buzz={price} (--max-buzz {price})."


def over_budget_error(decided: Plan, price: int, limit: int, request: ImageRequest) -> OverBudget:
    """The refusal above the limit, with what would fit."""
    fits = _describe_what_fits(decided, price, limit, request)
    return OverBudget(
        f"{decided.family} {decided.variant} costs about {price} Buzz for this; "
        f"the limit is {limit}. Nothing was sent to be made.",
        price=price,
        limit=limit,
        fits=fits,
        advice=f"{fits} {_allow_hint(price)}".strip(),
    )


def _describe_what_fits(decided: Plan, price: int, limit: int, request: ImageRequest) -> str:
    """What of this would be within the limit, priced as a request of its own."""
    fewer = limit * decided.quantity // price
    if decided.quantity > fewer > 0:
        return f"{fewer} of the {decided.quantity} pictures would fit."
    for said in ({}, {"variant": None}) if request.variant is not None else ({},):
        for quality in _CHEAPER[request.quality]:
            cost = _price_within(decided, price, limit, request, quality=quality, **said)
            if cost is not None:
                without = "Without variant, " if said else ""
                return f"{without}quality={quality} would cost about {cost} Buzz."
    return ""


_CHEAPER: Mapping[Quality, tuple[Quality, ...]] = {
    "draft": (),
    "standard": ("draft",),
    "high": ("standard", "draft"),
}


def _price_within(
    decided: Plan, price: int, limit: int, request: ImageRequest, **said: Any
) -> int | None:
    """What the request, said otherwise, would cost (Buzz), where it is the same work for less."""
    try:
        other = plan(request.model_copy(update=said), sources=decided.sources)
    except RequestInvalid:
        return None
    own, cost = decided.price.most, other.price.most
    if cost is None or other.operation != decided.operation:
        return None
    if own is not None and price > own:
        cost = math.ceil(cost * price / own)  # the service asks more than is documented
    return cost if cost <= limit and cost < price else None
