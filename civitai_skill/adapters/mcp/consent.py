"""Asking the user before much is spent, in both ways that the protocol has known.

Before 2026-07-28 the server asks in the middle of a call; since then it answers "input required",
and the client calls again with what the user said. The state in between travels sealed.
"""

from __future__ import annotations

import secrets
from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from civitai_skill.client import AsyncCivitai, above_limit_error
from civitai_skill.errors import (
    ApiError,
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    StillRunning,
    TransportFailed,
)
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import Arguments, GenerateImage, SubmitImage
from civitai_skill.tools.body import GenerateBody
from civitai_skill.tools.toolbox import Toolbox

#: Buzz above which the user is asked.
ASK_ABOVE = 50

_KEY = "agree"
_MODERN = "2026-07-28"
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def can_ask(context: Context[Any, Any]) -> bool:
    """Can this client show the user a question?"""
    able = context.client_capabilities and context.client_capabilities.elicitation
    if not able or (able.form is None and able.url is not None):
        return False
    return _is_modern(context) or bool(context.session.can_send_request)


def _is_modern(context: Context[Any, Any]) -> bool:
    return (context.protocol_version or "") >= _MODERN


class Consent:
    """What users of a toolbox agree to above `above` Buzz; each answer counts for one call."""

    def __init__(self, box: Toolbox, client: AsyncCivitai, above: int) -> None:
        self._box = box
        self._client = client
        self._above = above
        self._used: set[str] = set()

    async def obtain(
        self, context: Context[Any, Any], given: Arguments
    ) -> int | Result | InputRequiredResult | None:
        """The most that the call may cost (Buzz), None where the price is no matter for asking; or
        the answer that ends the call: after a no, or to make the client ask and call again.

        What is refused anyhow is left to the call itself. Raises CivitaiError where nobody tells
        the price: without it nobody can agree.
        """
        answer = (context.input_responses or {}).get(_KEY)
        state = context.request_state
        if isinstance(answer, ElicitResult) and state is not None and state not in self._used:
            self._used.add(state)
            return _agreed_price(int(state.partition(":")[0]), answer)
        try:
            limit, open_price, price = await self._preview(given)
        except (RequestInvalid, OverBudget, NotEnoughBuzz, ConfigError):
            return None
        if open_price is not None:
            # It may have ended meanwhile, and what costs less than is asked about may be bought.
            return min(max(open_price, self._above), limit)
        if price is None or price <= self._above:
            return None
        if price > limit:
            raise above_limit_error(price, limit)  # the documented price may be within it
        text = f"This costs {price} Buzz. Go on?"
        if _is_modern(context):
            request = ElicitRequest(
                params=ElicitRequestFormParams(message=text, requested_schema=_NOTHING)
            )
            return InputRequiredResult(
                input_requests={_KEY: request}, request_state=f"{price}:{secrets.token_hex(8)}"
            )
        # Not by context.elicit: it wants content, and to accept is to agree, with or without.
        asked = await context.session.elicit_form(text, _NOTHING, context.request_id)
        return _agreed_price(price, asked)

    async def _preview(self, given: Arguments) -> tuple[int, int | None, int | None]:
        """What a purchase would do (all Buzz): its limit; what going on with an open purchase costs
        at most, None where it would be bought anew; and then its price, where that is known."""
        assert isinstance(given, GenerateBody | SubmitImage)
        fixed, client = self._box.fixed, self._client
        options = fixed.purchase_options(given)
        limit: int = options["max_buzz"]
        if isinstance(given, GenerateBody | GenerateImage) and given.estimate_only:
            return limit, None, None
        out = fixed.folder(getattr(given, "folder", None))
        asked = fixed.asked(given)
        try:
            preview = await client.preview(asked, out=out, **options)
        except StillRunning:
            return limit, 0, None
        if preview.run is not None:
            run = preview.run
            return limit, run.reserved if run.workflow is None else 0, None
        documented = None if preview.plan is None else preview.plan.price.most
        if documented is not None and documented <= self._above:
            return limit, None, documented
        try:
            told = (await client.estimate(asked, **fixed.price_options(given))).total
        except (TransportFailed, ApiError):
            if documented is None:
                raise
            told = None
        known = [price for price in (documented, told) if price is not None]
        return limit, None, max(known, default=None)


def _agreed_price(price: int, answer: ElicitResult) -> int | Result:
    if answer.action == "accept":
        return price
    message = f"The user did not agree to {price} Buzz; nothing was bought. Ask what to change."
    return Result({"message": message}, None)
