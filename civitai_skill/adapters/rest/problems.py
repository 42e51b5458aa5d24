"""Errors as application/problem+json (RFC 9457): our codes, the fields, whether Buzz was spent."""

from __future__ import annotations

import json
from math import ceil
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from civitai_skill import errors
from civitai_skill.errors import next_steps as steps
from civitai_skill.servers.http import problem_json

IMAGE = "/v2/consumer/workflows/image"
KEY_HEADER = "Idempotency-Key"
MEDIA = "application/problem+json"

#: What an error means to the caller. Everything else that the service said, or did not say, is
#: trouble behind this server (502): a key that it refuses is not the caller's.
_STATUS: tuple[tuple[type[errors.CivitaiError], int], ...] = (
    (errors.RequestInvalid, 400),
    (errors.BadRequest, 400),
    (errors.OverBudget, 402),
    (errors.NotEnoughBuzz, 402),
    (errors.NotFound, 404),
    (errors.StillRunning, 409),
    (errors.RateLimited, 429),
    (errors.ConfigError, 503),
    (errors.Stopping, 503),
)
_OWNERS = "This is about the server's own key or settings, and its owner's to mend."


def in_rest(step: steps.Next) -> str:
    """A next step in the words of this interface."""
    match step:
        case steps.Look(None):
            return f"Look at the latest workflows first: GET {IMAGE}"
        case steps.Look(id):
            return f"Look again: GET {IMAGE}/{id}"
        case steps.Resume():
            return (
                f"Send the same request again, with the same {KEY_HEADER} where it had one: it "
                "goes on with this purchase and can't pay twice."
            )
        case steps.BuyAgain():
            return f"To buy it anew, send it with ?again=true, or under another {KEY_HEADER}."
        case steps.TryAgain():
            return (
                f"To buy it once more: the same request, under another {KEY_HEADER} if it had one."
            )
        case steps.Allow(price) if price is not None:
            return f"Or allow more: ?max_buzz={price}, as far as the server's own limit goes."
        case steps.RaiseBudget():
            return "This limit is on all requests together; max_buzz can't raise it."
        case steps.Choose():
            return "See GET /engines for what each one is good at."
        case _:
            return ""  # the message says it, or it is no caller's to do


def error_response(
    error: errors.CivitaiError, status: int | None = None, *, sandbox: bool = False
) -> Response:
    """An error of the tree as an answer; `status` where the place decides it, `sandbox` says that
    the sandbox stands in for the service."""
    if isinstance(
        error, errors.BudgetUsedUp | errors.ConfigError | errors.Unauthorized | errors.Forbidden
    ):
        # Its advice is for the owner of this server, not for the callers.
        error = error.replace(advice="" if isinstance(error, errors.BudgetUsedUp) else _OWNERS)
    explained = errors.explain(error, in_rest)
    found = status or next((code for kind, code in _STATUS if isinstance(error, kind)), 502)
    out = problem_json(found, explained.code, explained.message, explained.spent)
    if explained.hint:
        out["hint"] = explained.hint
    if isinstance(error, errors.RequestInvalid):
        out["errors"] = _group_by_field(error)
    if isinstance(error, errors.ApiError):
        out["upstream_status"] = error.status
        if error.fields:
            out["errors"] = error.fields
    if sandbox:
        out["sandbox"] = True
    for name in ("id", "key", "price", "limit", "reasons", "trace_id"):
        if name in explained.details:
            out[name] = explained.details[name]
    answer = json_response(out, found, MEDIA)
    if "retry_after" in explained.details:
        answer.headers["Retry-After"] = str(ceil(explained.details["retry_after"]))
    return answer


def _group_by_field(error: errors.RequestInvalid) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in error.problems:
        found.setdefault(one.field, []).append(one.sentence())
    return found


def json_response(value: Any, status: int = 200, media: str = "application/json") -> Response:
    """Any value as JSON."""
    return Response(json.dumps(value), status, media_type=media)


# -- for the framework ---------------------------------------------------------------------
async def on_error(request: Request, error: Exception) -> Response:
    """Answer a CivitaiError that a route let through."""
    assert isinstance(error, errors.CivitaiError)
    request.app.state.metrics.count_error(error)
    settings = request.app.state.server_session.client.settings
    return error_response(error, sandbox=settings.sandbox)


async def on_invalid_parameter(request: Request, error: Exception) -> Response:
    """Answer a parameter that the framework did not take."""
    assert isinstance(error, RequestValidationError)
    problems = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"][1:])
        problems.append(errors.Problem(where, detail.get("input"), str(detail["msg"])))
    return error_response(errors.RequestInvalid(*problems))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer a path or a method that is not here."""
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "no_such_method"}.get(error.status_code, "refused")
    answer = json_response(
        problem_json(error.status_code, code, str(error.detail)), error.status_code, MEDIA
    )
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of one route, and a path may have several.
        routes = (r for r in request.app.state.routes if r.path_regex.match(request.scope["path"]))
        methods = {method for route in routes for method in route.methods}
        methods |= {"HEAD"} if "GET" in methods else set()
        answer.headers["Allow"] = ", ".join(sorted(methods))
    return answer


async def on_defect(request: Request, error: Exception) -> Response:
    """Answer an error that is nobody's but ours; it is logged where the server runs."""
    return json_response(
        problem_json(500, "defect", "A defect of this server.", "unknown"), 500, MEDIA
    )
