"""Asking the user before much is spent, where an interface can ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from civitai_skill.client import AsyncCivitai
from civitai_skill.errors import (
    ApiError,
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    StillRunning,
    TransportFailed,
)
from civitai_skill.pricing import above_limit
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import GenerateImage, SubmitImage
from civitai_skill.tools.body import GenerateBody, buying, checked, given_body
from civitai_skill.tools.reading import as_object, read
from civitai_skill.tools.registry import decided_of
from civitai_skill.tools.toolbox import Toolbox

#: Buzz above which the user is asked.
ASK_ABOVE = 50


#: What a purchase may be asked for with.
_Buys = GenerateBody | SubmitImage


@dataclass(frozen=True)
class Agreement:
    """The most that a call may cost (Buzz), and whether the user is to be asked for it."""

    most: int
    ask: bool = True


async def to_agree(
    box: Toolbox, client: AsyncCivitai, name: str, arguments: Any, above: int
) -> Agreement | None:
    """What the user should agree to; None where the price is no matter for asking.

    A call that goes on with an earlier purchase, which may be paid already, asks nothing and pays
    no more than that one. What is refused anyhow is left to the call itself. Raises CivitaiError
    where nobody tells the price: without it nobody can agree.
    """
    try:
        body = given_body(box.models, name, as_object(arguments))
        given = body or read(box.models, name, arguments)
        assert isinstance(given, GenerateBody | SubmitImage)
        if isinstance(given, GenerateBody | GenerateImage) and given.estimate_only:
            return None
        limit = box.fixed.limit(given.max_buzz)
        begun = await _begun(box, client, given)
        if begun is not None:
            # It may have ended meanwhile, and what costs less than is asked about may be bought.
            return Agreement(min(max(begun, above), limit), ask=False)
        price = await _price(box, client, given, above)
    except (RequestInvalid, OverBudget, NotEnoughBuzz, ConfigError):
        return None
    if price is not None and price > max(limit, above):
        raise above_limit(price, limit)  # what is documented may be less, and buying would pay
    return Agreement(price) if price is not None and price > above else None


async def _price(box: Toolbox, client: AsyncCivitai, given: _Buys, above: int) -> int | None:
    if isinstance(given, GenerateBody):
        return (await client.estimate_body(checked(box.fixed, given))).total
    request = box.fixed.request(given)
    most = (await anyio.to_thread.run_sync(decided_of, request)).price.most
    if most is not None and most <= above:
        return most
    try:
        quote = await client.estimate(request, **box.fixed.pricing())
    except (TransportFailed, ApiError):
        if most is None:
            raise
        return most
    known = [price for price in (most, quote.total) if price is not None]
    return max(known, default=None)


async def _begun(box: Toolbox, client: AsyncCivitai, given: _Buys) -> int | None:
    """The most that going on with an earlier purchase costs (Buzz): 0 where the service has it.
    None where the call would buy anew."""
    fixed = box.fixed
    out = fixed.folder(getattr(given, "folder", None))
    try:
        if isinstance(given, GenerateBody):
            run = await client.open_body_run(checked(fixed, given), out=out, **buying(fixed, given))
        else:
            run = await client.open_run(fixed.request(given), out=out, **fixed.buying(given))
    except StillRunning:
        return 0
    if run is None:
        return None
    return run.reserved if run.workflow is None else 0


def question(price: int) -> str:
    """What the user is asked."""
    return f"This costs {price} Buzz. Go on?"


def declined(price: int) -> Result:
    """The answer after a no."""
    message = f"The user did not agree to {price} Buzz; nothing was bought. Ask what to change."
    return Result({"message": message}, None)
