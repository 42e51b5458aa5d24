"""Asking the user before much is spent, where an interface can ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import (
    ApiError,
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    StillRunning,
    TransportFailed,
)
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.purchase.price import above_limit_error
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import GenerateImage, SubmitImage
from civitai_skill.tools.body import (
    GenerateBody,
    check_allowed,
    purchase_options,
    read_body_arguments,
)
from civitai_skill.tools.reading import read_arguments, to_object
from civitai_skill.tools.toolbox import Toolbox

#: Buzz above which the user is asked.
ASK_ABOVE = 50


#: What a purchase may be asked for with.
_Buys = GenerateBody | SubmitImage


@dataclass(frozen=True)
class Consent:
    """The most that a call may cost (Buzz), and whether the user is to be asked for it."""

    most: int
    ask: bool = True


async def find_needed_consent(
    box: Toolbox, client: AsyncCivitai, name: str, arguments: Any, above: int
) -> Consent | None:
    """What the user should agree to; None where the price is no matter for asking.

    A call that goes on with an earlier purchase, which may be paid already, asks nothing and pays
    no more than that one. What is refused anyhow is left to the call itself. Raises CivitaiError
    where nobody tells the price: without it nobody can agree.
    """
    try:
        body = read_body_arguments(box.models, name, to_object(arguments))
        given = body or read_arguments(box.models, name, arguments)
        assert isinstance(given, GenerateBody | SubmitImage)
        if isinstance(given, GenerateBody | GenerateImage) and given.estimate_only:
            return None
        limit = box.fixed.limit(given.max_buzz)
        begun = await _price_to_go_on(box, client, given)
        if begun is not None:
            # It may have ended meanwhile, and what costs less than is asked about may be bought.
            return Consent(min(max(begun, above), limit), ask=False)
        price = await _find_price(box, client, given, above)
    except (RequestInvalid, OverBudget, NotEnoughBuzz, ConfigError):
        return None
    if price is not None and price > max(limit, above):
        raise above_limit_error(
            price, limit
        )  # what is documented may be less, and buying would pay
    return Consent(price) if price is not None and price > above else None


async def _find_price(box: Toolbox, client: AsyncCivitai, given: _Buys, above: int) -> int | None:
    if isinstance(given, GenerateBody):
        return (await client.estimate(WorkflowBody(check_allowed(box.fixed, given)))).total
    request = box.fixed.request(given)
    decided = (await client.preview(request, again=True, **box.fixed.price_options())).plan
    most = None if decided is None else decided.price.most
    if most is not None and most <= above:
        return most
    try:
        quote = await client.estimate(request, **box.fixed.price_options())
    except (TransportFailed, ApiError):
        if most is None:
            raise
        return most
    known = [price for price in (most, quote.total) if price is not None]
    return max(known, default=None)


async def _price_to_go_on(box: Toolbox, client: AsyncCivitai, given: _Buys) -> int | None:
    """The most that going on with an earlier purchase costs (Buzz): 0 where the service has it.
    None where the call would buy anew."""
    fixed = box.fixed
    out = fixed.folder(getattr(given, "folder", None))
    try:
        if isinstance(given, GenerateBody):
            asked = WorkflowBody(check_allowed(fixed, given))
            preview = await client.preview(asked, out=out, **purchase_options(fixed, given))
        else:
            preview = await client.preview(
                fixed.request(given), out=out, **fixed.purchase_options(given)
            )
        run = preview.run
    except StillRunning:
        return 0
    if run is None:
        return None
    return run.reserved if run.workflow is None else 0


def question(price: int) -> str:
    """What the user is asked."""
    return f"This costs {price} Buzz. Go on?"


def declined_result(price: int) -> Result:
    """The answer after a no."""
    message = f"The user did not agree to {price} Buzz; nothing was bought. Ask what to change."
    return Result({"message": message}, None)
