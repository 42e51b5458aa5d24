"""Asking the user through the client, in both ways that the protocol has known.

Before 2026-07-28 the server asks in the middle of a call; since then it answers "input required",
and the client calls again with what the user said. The state in between travels sealed.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from civitai_skill.adapters.mcp.consent import question

Answer = Literal["yes", "no"]
_KEY = "agree"
_MODERN = "2026-07-28"
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def can_ask(context: Context[Any, Any]) -> bool:
    """Can this client show the user a question?"""
    if context.client_capabilities is None:
        return False
    able = context.client_capabilities.elicitation
    if able is None or (able.form is None and able.url is not None):
        return False
    return _is_modern(context) or bool(context.session.can_send_request)


class ConsentAnswers:
    """What users have answered; each answer counts once, however often it is sent."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def take_answer(self, context: Context[Any, Any]) -> tuple[int, Answer] | None:
        """The price that the user was asked about in an earlier round, and the answer."""
        answer = (context.input_responses or {}).get(_KEY)
        state = context.request_state
        if not isinstance(answer, ElicitResult) or state is None or state in self._used:
            return None
        self._used.add(state)
        return int(state.partition(":")[0]), "yes" if answer.action == "accept" else "no"


async def ask(context: Context[Any, Any], price: int) -> Answer | InputRequiredResult:
    """Ask about a price (Buzz): the answer, or what makes the client ask and call again."""
    text = question(price)
    if _is_modern(context):
        request = ElicitRequest(
            params=ElicitRequestFormParams(message=text, requested_schema=_NOTHING)
        )
        return InputRequiredResult(
            input_requests={_KEY: request}, request_state=f"{price}:{secrets.token_hex(8)}"
        )
    # Not by context.elicit: it wants content, and to accept is to agree, with or without.
    answer = await context.session.elicit_form(text, _NOTHING, context.request_id)
    return "yes" if answer.action == "accept" else "no"


def _is_modern(context: Context[Any, Any]) -> bool:
    return (context.protocol_version or "") >= _MODERN
