"""Asking the user before much is spent, where an interface can ask."""

from __future__ import annotations

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


async def to_agree(
    box: Toolbox, client: AsyncCivitai, name: str, arguments: Any, above: int
) -> int | None:
    """The price that the user should agree to (Buzz); None where there is nothing to ask, 0 where
    the call goes on with what is bought already.

    What is refused anyhow is left to the call itself. Raises CivitaiError where nobody tells the
    price: without it nobody can agree.
    """
    try:
        body = given_body(box.models, name, as_object(arguments))
        given = body or read(box.models, name, arguments)
        assert isinstance(given, GenerateBody | SubmitImage)
        limit = box.fixed.limit(given.max_buzz)
        price = await _price(box, client, given, above)
        if price is not None and price > above and await _is_bought(box, client, given):
            return 0
    except (RequestInvalid, OverBudget, NotEnoughBuzz, ConfigError):
        return None
    if price is not None and price > max(limit, above):
        raise above_limit(price, limit)  # what is documented may be less, and buying would pay
    return price if price is not None and price > above else None


async def _price(box: Toolbox, client: AsyncCivitai, given: _Buys, above: int) -> int | None:
    if isinstance(given, GenerateBody | GenerateImage) and given.estimate_only:
        return None
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


async def _is_bought(box: Toolbox, client: AsyncCivitai, given: _Buys) -> bool:
    """Would the call go on with a purchase that the service has?"""
    fixed = box.fixed
    out = fixed.folder(getattr(given, "folder", None))
    try:
        if isinstance(given, GenerateBody):
            run = await client.open_body_run(checked(fixed, given), out=out, **buying(fixed, given))
        else:
            run = await client.open_run(fixed.request(given), out=out, **fixed.buying(given))
    except StillRunning:
        return True
    return run is not None and run.workflow is not None


def question(price: int) -> str:
    """What the user is asked."""
    return f"This costs {price} Buzz. Go on?"


def declined(price: int) -> Result:
    """The answer after a no."""
    message = f"The user did not agree to {price} Buzz; nothing was bought. Ask what to change."
    return Result({"message": message}, None)
