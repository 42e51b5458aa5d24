"""The service's answers, read: JSON or not, when to come again, what an error means."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from civitai_skill.errors import (
    KEPT,
    ApiError,
    BadRequest,
    Forbidden,
    NotEnoughBuzz,
    NotFound,
    RateLimited,
    ServerError,
    Spent,
    Unauthorized,
    preview,
)
from civitai_skill.schema.types import read_json


def is_object(response: httpx.Response) -> bool:
    """Is the body a JSON object?"""
    return isinstance(json_of(response), dict)


def is_json(response: httpx.Response) -> bool:
    """Is the body JSON at all?"""
    return json_of(response) is not None


def json_of(response: httpx.Response) -> Any:
    """The body as JSON, or None when it is not JSON.

    Half a character (a lone surrogate) can be written in JSON and nowhere else, so it becomes "?".
    """
    try:
        found = read_json(response.content)
        if _HALF.search(response.content):
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except ValueError:
        return None
    return found


#: Its escape, and the bytes that would be its UTF-8.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def retry_after(response: httpx.Response, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header, given as seconds or as a date; None without one."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), 1e9)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


_NO_BUZZ = re.compile(r"insufficient\s*buzz|enough\s+(funds|buzz)", re.IGNORECASE)


def api_error(
    response: httpx.Response,
    *,
    key: str | None = None,
    spent: Spent = "no",
    workflow_id: str | None = None,
) -> ApiError:
    """An answer of 4xx or 5xx as the error it means.

    The status for lack of Buzz is disputed between sources (400, 402, 403), so the words count.
    """
    status = response.status_code
    body = json_of(response)
    reasons = tuple(clean_reason(text) for text in read_reasons(body))
    trace = body.get("traceId") if isinstance(body, dict) else None
    said = "; ".join(reasons)
    every = f"{said} {response.content[:2000]!r}"
    kind: type[ApiError]
    if status in (400, 402, 403) and _NO_BUZZ.search(every):
        kind, message = NotEnoughBuzz, "The account has not enough Buzz for this."
        hint = (
            "Buy Buzz, or lower the price (draft quality, fewer pictures). Mature content is paid "
            "in yellow Buzz only, whatever the blue balance is."
        )
    elif status == 401:
        kind, message = Unauthorized, "The service does not accept this key."
        hint = "Make a new key on civitai.com (account settings, API keys) and set CIVITAI_API_KEY."
    elif status == 403:
        kind, message = Forbidden, f"The key may not do this{_after_colon(said)}."
        hint = "Check the key's scopes (AI services read and write) and the content settings."
    elif status == 404:
        kind, message = (
            NotFound,
            f"The service knows no such thing for this key{_after_colon(said)}.",
        )
        hint = "Check the id; workflows are kept for 30 days, and only their owner sees them."
    elif status == 429:
        kind, message = RateLimited, "The service asks for fewer requests."
        hint = "Try again in a minute, with fewer at once."
    elif status >= 500:
        kind, message = ServerError, f"The service failed with status {status}{_after_colon(said)}."
        hint = "This is the service's own trouble; try again later."
    else:
        kind = BadRequest
        message = f"The service refused the request (status {status}){_after_colon(said)}."
        hint = _refusal_hint(said)
    if spent == "unknown":
        hint += f" {unsettled_hint(key)}"
    elif workflow_id is not None:
        kept = "" if kind is NotFound else f" {KEPT}"
        hint += f"{kept} Look again with: civitai-skill get {workflow_id} --wait"
    return kind(
        message,
        status=status,
        reasons=reasons,
        trace_id=trace if isinstance(trace, str) else None,
        advice=hint,
        spent=spent,
        key=key,
        workflow_id=workflow_id,
        retry_after=retry_after(response),
        fields=read_field_reasons(body),
    )


def unsettled_hint(key: str | None) -> str:
    """What can be done about a submit of unknown fate."""
    return (
        f"The service may have taken it. Its key is {key}: the same body sent again with this key "
        "can't pay twice (client.settle does that)."
    )


def _refusal_hint(said: str) -> str:
    lowered = said.lower()
    if "tos" in lowered.split() or "blocked" in lowered:
        return "Change the prompt; sending a blocked one again counts against the account."
    if "mature" in lowered:
        return "Allow mature content (it is paid in yellow Buzz), or change the prompt."
    if "not enabled for generation" in lowered:
        return "Choose another model or LoRA; this one can't be used for generation."
    return "Change what it names and try again."


def read_reasons(body: Any) -> list[str]:
    """The service's own words from any of its error forms."""
    if isinstance(body, str):
        return [body] if body.strip() else []
    if not isinstance(body, dict):
        return []
    found: list[str] = []
    errors = body.get("errors")
    if isinstance(errors, dict):
        for field_name, texts in errors.items():
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str):
                    found.append(text if field_name == "messages" else f"{field_name}: {text}")
    elif isinstance(errors, list):
        found += [text for text in errors if isinstance(text, str)]
    for name in ("detail", "error", "message"):
        if isinstance(body.get(name), str):
            found.append(body[name])
    if not found and isinstance(body.get("title"), str):
        found.append(body["title"])
    return list(dict.fromkeys(found))


_INDEX = re.compile(r"\[(\d+)\]")


def read_field_reasons(body: Any) -> dict[str, list[str]]:
    """The service's own words by the field that they are about, its place as we write it."""
    errors = body.get("errors") if isinstance(body, dict) else None
    found: dict[str, list[str]] = {}
    for name, texts in errors.items() if isinstance(errors, dict) else ():
        said = [t for t in (texts if isinstance(texts, list) else [texts]) if isinstance(t, str)]
        if said and name != "messages":
            place = _INDEX.sub(r".\1", name).removeprefix("$").removeprefix(".")
            found[clean_reason(place)] = [clean_reason(text) for text in said]
    return found


def clean_reason(text: str) -> str:
    """A foreign text as it may stand in a message: one line, printable, not endless."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return preview(" ".join(flat.split()), 300)[1:-1]


def _after_colon(said: str) -> str:
    return f": {said.rstrip('.')}" if said else ""
