"""Read one value out of an answer leniently: a missing, null or odd one is None or empty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from civitai_skill.api.replies import clean_reason

#: Of a step; a provider that fails has been seen to say one thing, some a few.
_MOST_REASONS = 5

#: No step makes more pictures (the published forms stop at 12 and 16).
_MOST_PICTURES = 100


def read_step_reasons(step: Mapping[str, Any]) -> list[str]:
    """Why a step failed, in the service's words."""
    output = read_map(step, "output")
    found = [e for e in read_list(output, "errors") if isinstance(e, str)]
    if read_text(output, "externalTOSViolation") or output.get("externalTOSViolation") is True:
        found.append(read_text(output, "message") or "refused under the provider's terms")
    error = read_map(step, "metadata").get("error")
    if isinstance(error, str):
        found.append(error)
    return clean_reasons(text for text in found if text.lower() != "none")


def clean_reasons(texts: Iterable[str]) -> list[str]:
    """The service's words, each once and none endless; the first few where it has many."""
    clean = dict.fromkeys(text for t in texts if (text := clean_reason(t)))
    return list(clean)[:_MOST_REASONS]


def read_quantity(given: Mapping[str, Any]) -> int:
    """How many pictures a step's input asks for."""
    for key in ("quantity", "numImages"):
        number = read_whole(given, key)
        if number is not None:
            return min(max(number, 1), _MOST_PICTURES)
    return 1


def read_text(where: Mapping[str, Any], key: str) -> str | None:
    """A text that is not empty."""
    value = where.get(key)
    return value if isinstance(value, str) and value else None


def read_whole(where: Mapping[str, Any], key: str) -> int | None:
    """A whole number."""
    value = read_number(where.get(key))
    return None if value is None else int(value)


def read_price(where: Mapping[str, Any], key: str) -> int | None:
    """Buzz, rounded up; what is below nothing is no price."""
    value = read_number(where.get(key))
    return None if value is None or value < 0 else math.ceil(value)


def read_number(value: Any) -> float | None:
    """A number. Beyond 2**53 it is no count of anything, and neither JSON nor SQLite keeps it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        return None
    return value


def read_map(where: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, else an empty one."""
    value = where.get(key)
    return value if isinstance(value, Mapping) else {}


def read_list(where: Mapping[str, Any], key: str) -> list[Any]:
    """A list, else an empty one."""
    value = where.get(key)
    return value if isinstance(value, list) else []


def read_objects(where: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [item for item in read_list(where, key) if isinstance(item, Mapping)]
