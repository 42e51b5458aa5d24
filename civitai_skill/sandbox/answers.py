"""The bodies of answers: plain JSON, and every form in which the service says no."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx

_SECTION = "https://tools.ietf.org/html/rfc9110#section-15."
_TOO_MANY = "https://tools.ietf.org/html/rfc6585#section-4"
_TYPES = {400: "5.1", 401: "5.2", 403: "5.4", 404: "5.5", 409: "5.10", 413: "5.14", 415: "5.16"}


class Answered(Exception):
    """Ends the handling of a request with this answer."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def reply(
    status: int, body: Any = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """JSON, or nothing at all when there is no body."""
    if body is None:
        return httpx.Response(status, headers=headers)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    kind = "application/problem+json" if _is_problem(status, body) else "application/json"
    out = {"Content-Type": f"{kind}; charset=utf-8", **(headers or {})}
    return httpx.Response(status, headers=out, content=text.encode())


def _is_problem(status: int, body: Any) -> bool:
    return status >= 400 and isinstance(body, dict) and "title" in body


def problem(status: int, detail: str = "") -> httpx.Response:
    """ProblemDetails with a trace id."""
    body: dict[str, Any] = {
        "type": _TOO_MANY if status == 429 else _SECTION + _TYPES.get(status, "6.1"),
        "title": _title(status),
        "status": status,
    }
    if detail:
        body["detail"] = detail
    return reply(status, {**body, "traceId": _trace()})


def validation(errors: Mapping[str, Sequence[str]]) -> httpx.Response:
    """400 of model binding: messages by dotted and indexed path."""
    return reply(
        400,
        {
            "type": _SECTION + _TYPES[400],
            "title": "One or more validation errors occurred.",
            "status": 400,
            "errors": {path: list(messages) for path, messages in errors.items()},
            "traceId": _trace(),
        },
    )


def refusal(*messages: str) -> httpx.Response:
    """400 of a business rule: the key is the literal `messages`, not a path."""
    return reply(400, {"errors": {"messages": list(messages)}})


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
