"""From a request to pictures on disk: price first, submit once, wait, bring home.

The rules that guard the Buzz stand here and nowhere else: when the service is asked for the price,
what the limit is, what is said when it is too much. Every door goes through these flows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from civitai_skill import download, flows
from civitai_skill.delivery import Generation, Picture, brought_home
from civitai_skill.engines.plan import Plan, Price, plan
from civitai_skill.errors import (
    ApiError,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    TransportFailed,
)
from civitai_skill.exchange import Flow, Service, Work
from civitai_skill.request import ImageRequest
from civitai_skill.sources import INLINE_BYTES, Source, open_sources, replaced
from civitai_skill.template import template
from civitai_skill.upload import upload
from civitai_skill.workflow import Progress, Workflow

#: Above this many Buzz, or where no price is documented, the service is asked before paying.
ASK_ABOVE = 100


@dataclass(frozen=True)
class Terms:
    """What surrounds a request: who pays, how it is filed. See `template.template`."""

    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    external_id: str | None = None
    allow_mature_content: bool | None = None
    currencies: Sequence[str] | None = None
    priority: str | None = None

    def body(self, decided: Plan, key: str | None) -> dict[str, Any]:
        return template(
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
    quote: flows.Quote | None
    limit: int

    def __str__(self) -> str:
        who = f"{self.plan.family} {self.plan.variant}"
        if self.quote is not None and self.quote.total is not None:
            most = "at most " if self.quote.cost.variable else ""
            return f"{who}: {most}{self.quote.total} Buzz, says the service (limit {self.limit})"
        if self.price.buzz is None:
            return f"{who}: the price is not documented (limit {self.limit} Buzz)"
        return f"{who}: {self.price}, by the documented rule (limit {self.limit})"


@dataclass(frozen=True)
class Submitting:
    """Told right before the submit leaves, with its idempotency key."""

    key: str


@dataclass(frozen=True)
class Submitted:
    """Told when the service has taken the workflow: from here on Buzz is committed."""

    workflow: Workflow
    plan: Plan


Event = Priced | Submitting | Submitted | Progress | Picture
Tell = Callable[[Event], None]


Keep = Callable[[str, bytes], None]


def _forget(key: str, content: bytes) -> None:
    """Keep nothing."""


def silent(event: Event) -> None:
    """Tell nobody."""


# -- deciding and pricing --------------------------------------------------------------
def decide(request: ImageRequest) -> Flow[tuple[Plan, list[Source | str]]]:
    """Open the sources and choose the form; nothing is sent. Raises RequestInvalid."""
    opened: list[Source | str] = yield Work(lambda: open_sources(request))
    sizes = tuple(None if isinstance(s, str) else s.size for s in opened)
    decided = plan(request, sources=sizes)
    return decided, opened


def placed(service: Service, decided: Plan, opened: list[Source | str]) -> Flow[Plan]:
    """Put the sources where the service can read them: small ones inside, large ones uploaded."""
    if not opened:
        return decided
    places: list[str] = []
    for source in opened:
        if isinstance(source, str):
            places.append(source)
        elif len(source.data) <= INLINE_BYTES:
            places.append(source.data_url())
        else:
            places.append((yield from upload(service, source)))
    name = "images" if "images" in type(decided.form).model_fields else "image"
    value: Any = places if name == "images" else places[0]
    return replace(decided, form=decided.form.model_copy(update={name: value}))


def quoted(service: Service, decided: Plan, terms: Terms) -> Flow[flows.Quote]:
    """The service's own price for a decided request. Spends nothing."""
    return (yield from flows.estimate(service, terms.body(decided, None)))


def guarded(
    service: Service, decided: Plan, terms: Terms, limit: int, tell: Tell, request: ImageRequest
) -> Flow[None]:
    """Say the price, and refuse above the limit. Raises OverBudget or NotEnoughBuzz."""
    price = decided.price
    most = price.cap if price.cap is not None else price.buzz
    quote: flows.Quote | None = None
    tell(Priced(decided, price, None, limit))
    if most is None or most > ASK_ABOVE:
        if most is not None and most > limit:
            raise over_budget(decided, most, limit, request)
        quote = yield from quoted(service, decided, terms)
        tell(Priced(decided, price, quote, limit))
        if quote.insufficient_buzz:
            raise NotEnoughBuzz(
                f"The account has not enough Buzz for this ({quote.total} needed).",
                status=200,
                hint="Buy Buzz, or lower the price. Mature content is paid in yellow Buzz only.",
            )
        most = quote.total if quote.total is not None else most
    if most is None:
        raise OverBudget(
            "The price is not documented, and the service did not tell it either.",
            price=None,
            limit=limit,
            hint="Choose another engine or variant.",
        )
    if most > limit:
        raise over_budget(decided, most, limit, request)


def over_budget(decided: Plan, price: int, limit: int, request: ImageRequest) -> OverBudget:
    """The refusal above the limit, with what would fit."""
    fits = _fits(decided, price, limit, request)
    advice = f"{fits} Or allow more: max_buzz={price} (--max-buzz {price})."
    return OverBudget(
        f"{decided.family} {decided.variant} costs about {price} Buzz for this; "
        f"the limit is {limit}. Nothing was sent to be made.",
        price=price,
        limit=limit,
        fits=advice.strip(),
    )


def _fits(decided: Plan, price: int, limit: int, request: ImageRequest) -> str:
    each = price / decided.quantity
    if decided.quantity > 1 and limit >= each:
        return f"{int(limit / each)} of the {decided.quantity} pictures would fit."
    for quality in ("standard", "draft"):
        if request.quality == quality:
            continue
        said: dict[str, Any] = {"quality": quality, "variant": None, "images": [], "strength": None}
        try:
            cheaper = plan(replaced(request, []).model_copy(update=said)).price.buzz
        except RequestInvalid:
            continue
        if cheaper is not None and cheaper <= limit:
            return f"quality={quality} would cost about {cheaper} Buzz."
    return ""


# -- buying ----------------------------------------------------------------------------
def bought(
    service: Service,
    request: ImageRequest,
    *,
    terms: Terms,
    limit: int,
    tell: Tell = silent,
    keep: Keep = _forget,
) -> Flow[tuple[Workflow, Plan]]:
    """Decide, price, and submit once.

    `keep` gets the key and the bytes of a submit whose fate stayed unknown, to be settled.
    """
    decided, opened = yield from decide(request)
    terms.body(decided, terms.external_id)  # the surroundings are refused before anything is sent
    decided = yield from placed(service, decided, opened)
    yield from guarded(service, decided, terms, limit, tell, request)
    key = terms.external_id or flows.fresh_key()
    content = flows.encoded(terms.body(decided, key))
    tell(Submitting(key))
    try:
        workflow = yield from flows.submit(service, content, key)
    except (TransportFailed, ApiError) as error:
        if error.spent == "unknown":
            keep(key, content)
        raise
    tell(Submitted(workflow, decided))
    return workflow, decided


def generated(
    service: Service,
    request: ImageRequest,
    *,
    out: Path,
    terms: Terms,
    limit: int,
    timeout: float,
    tell: Tell = silent,
    keep: Keep = _forget,
    now: flows.Clock = time.monotonic,
) -> Flow[Generation]:
    """The whole way. Raises everything the steps raise; WorkflowFailed carries what did come."""
    yield Work(lambda: download.ready_folder(out))
    workflow, decided = yield from bought(
        service, request, terms=terms, limit=limit, tell=tell, keep=keep
    )
    workflow = yield from flows.wait(
        service, workflow, timeout=timeout, tell=None if tell is silent else tell, now=now
    )
    return (yield from brought_home(service, workflow, out=out, decided=decided, tell=tell))
