"""Asking the user before much is spent, in both ways that the protocol has known.

Before 2026-07-28 the server asks in the middle of a call; since then it answers "input required",
and the client calls again with what the user said. The state in between travels sealed.
"""

from __future__ import annotations

import secrets
from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from civitai_skill.client import above_limit_error
from civitai_skill.errors import ConfigError, NotEnoughBuzz, OverBudget, RequestInvalid
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import Arguments
from civitai_skill.tools.toolbox import Toolbox

_KEY = "agree"
_MODERN = "2026-07-28"
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def can_ask(context: Context[Any, Any]) -> bool:
    """Can this client show the user a question?"""
    able = context.client_capabilities and context.client_capabilities.elicitation
    if not able or (able.form is None and able.url is not None):
        return False
    modern = (context.protocol_version or "") >= _MODERN
    return modern or bool(context.session.can_send_request)


class Consent:
    """What users of a toolbox agree to above `above` Buzz; each answer counts for one call."""

    def __init__(self, box: Toolbox, above: int) -> None:
        self._box = box
        self._above = above
        self._used: set[str] = set()

    async def obtain(
        self, context: Context[Any, Any], name: str, given: Arguments
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
            offer = await self._box.aoffer(name, given, enough=self._above)
        except (RequestInvalid, OverBudget, NotEnoughBuzz, ConfigError):
            return None
        if offer is None:
            return None
        if offer.open_price is not None:
            # It may have ended meanwhile, and what costs less than is asked about may be bought.
            return min(max(offer.open_price, self._above), offer.limit)
        price = offer.price
        if price is None or price <= self._above:
            return None
        if price > offer.limit:
            raise above_limit_error(price, offer.limit)  # the documented price may be within it
        text = f"{offer} Go on?"
        if (context.protocol_version or "") >= _MODERN:
            form = ElicitRequestFormParams(message=text, requested_schema=_NOTHING)
            request = ElicitRequest(params=form)
            return InputRequiredResult(
                input_requests={_KEY: request}, request_state=f"{price}:{secrets.token_hex(8)}"
            )
        # Not by context.elicit: it wants content, and to accept is to agree, with or without.
        asked = await context.session.elicit_form(text, _NOTHING, context.request_id)
        return _agreed_price(price, asked)


def _agreed_price(price: int, answer: ElicitResult) -> int | Result:
    if answer.action == "accept":
        return price
    message = f"The user did not agree to {price} Buzz; nothing was bought. Ask what to change."
    return Result({"message": message}, None)
