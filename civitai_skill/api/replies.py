"""Read the service's answers: JSON or not, when to come again, its words about an error."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from civitai_skill.errors import preview
from civitai_skill.schema.types import read_json


def is_object(response: httpx.Response) -> bool:
    """Is the body a JSON object?"""
    return isinstance(read_answer(response), dict)


def is_json(response: httpx.Response) -> bool:
    """Is the body JSON at all?"""
    return read_answer(response) is not None


def read_answer(response: httpx.Response) -> Any:
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
