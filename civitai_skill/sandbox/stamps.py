"""Times as the service writes them. Moments are seconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime


def millis(moment: float) -> str:
    """ISO 8601 with milliseconds: createdAt, startedAt, completedAt."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ticks(moment: float) -> str:
    """ISO 8601 as .NET writes it: seven digits, trailing zeros trimmed (urlExpiresAt)."""
    whole = int(moment // 1)
    fraction = f"{round((moment - whole) * 1e7) % 10_000_000:07d}".rstrip("0")
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def digits(moment: float) -> str:
    """yyyyMMddHHmmssfff, the second half of a workflow id."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S%f")[:-3]


def read(text: str) -> float | None:
    """The moment that an ISO 8601 text names, or None. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span(text: str) -> float | None:
    """Seconds of a .NET time span such as 00:20:00, or None."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
