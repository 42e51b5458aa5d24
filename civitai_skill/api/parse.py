"""Read the service's answers leniently: JSON or not, one value out of it, its words about an error.

A missing, null or odd value is None or empty. What others wrote may stand in a message once it is
cleaned.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from civitai_skill.errors import preview
from civitai_skill.schema.types import read_json

T = TypeVar("T")

#: Words kept of one step or workflow; a provider that fails was seen to say one thing, some a few.
MOST_REASONS = 5

#: The escape of half a character (a lone surrogate), and the bytes that would be its UTF-8.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def read_answer(response: httpx.Response, kind: type = dict) -> Any:
    """The body as JSON of that kind; None where it is another, or no JSON.

    Half a character can be written in JSON and nowhere else, so it becomes "?".
    """
    try:
        found = read_json(response.content)
        if _HALF.search(response.content):
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except ValueError:
        return None
    return found if isinstance(found, kind) else None


def read(where: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """The value of a key where it is of a kind (str, bool, dict, list), else an empty one."""
    value = where.get(key)
    return value if isinstance(value, kind) else kind()


def read_list(where: Mapping[str, Any], key: str, kind: type[T]) -> list[T]:
    """The items of a list that are of a kind."""
    value = where.get(key)
    return [item for item in value if isinstance(item, kind)] if isinstance(value, list) else []


def read_number(
    where: Mapping[str, Any],
    key: str,
    to: Callable[[float], Any] = math.ceil,
    least: float = -math.inf,
) -> Any:
    """A number, whole by rounding up; None below `least`.

    Beyond 2**53 it is no count of anything, and neither JSON nor SQLite keeps it.
    """
    value = where.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        return None
    return to(value) if value >= least else None


def clean_reason(text: str) -> str:
    """A foreign text as it may stand in a message: one line, printable, not endless."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return preview(" ".join(flat.split()), 300)[1:-1]


def clean_reasons(texts: Iterable[str]) -> tuple[str, ...]:
    """The service's words, each once and none endless; the first few where it has many. The word
    "none" is no reason."""
    clean = dict.fromkeys(clean_reason(t) for t in texts if t and t.lower() != "none")
    return tuple(text for text in clean if text)[:MOST_REASONS]


# -- answers that are errors -----------------------------------------------------------------------
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
    found = [
        text if name == "messages" else f"{name}: {text}"
        for name, texts in _by_field(body)
        for text in texts
    ]
    found += read_list(body, "errors", str)
    found += [text for name in ("detail", "error", "message") if (text := read(body, name, str))]
    if not found and (title := read(body, "title", str)):
        found.append(title)
    return list(dict.fromkeys(found))


_INDEX = re.compile(r"\[(\d+)\]")


def read_field_reasons(body: Any) -> dict[str, list[str]]:
    """The service's own words by the field that they are about, its place as we write it."""
    found: dict[str, list[str]] = {}
    for name, texts in _by_field(body) if isinstance(body, dict) else ():
        if texts and name != "messages":
            place = _INDEX.sub(r".\1", name).removeprefix("$").removeprefix(".")
            found[clean_reason(place)] = [clean_reason(text) for text in texts]
    return found


def _by_field(body: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    for name, told in read(body, "errors", dict).items():
        texts = told if isinstance(told, list) else [told]
        yield name, [text for text in texts if isinstance(text, str)]
