"""Times as the service writes them. Moments are seconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SPAN = re.compile(r"(?:([0-9]{1,8})\.)?([0-9]{1,2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,7})?)")

# The last second that a date can say, and .NET's too.
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def millis(moment: float) -> str:
    """ISO 8601 with milliseconds: createdAt, startedAt, completedAt."""
    return _date(moment).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ticks(moment: float) -> str:
    """ISO 8601 as .NET writes it: seven digits, trailing zeros trimmed (urlExpiresAt)."""
    moment = min(moment, _LAST)
    whole = int(moment // 1)
    fraction = f"{round((moment - whole) * 1e7) % 10_000_000:07d}".rstrip("0")
    text = _date(whole).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def digits(moment: float) -> str:
    """yyyyMMddHHmmssfff, the second half of a workflow id."""
    return _date(moment).strftime("%Y%m%d%H%M%S%f")[:-3]


def _date(moment: float) -> datetime:
    return datetime.fromtimestamp(min(moment, _LAST), UTC)


def read(text: str) -> float | None:
    """The moment that an ISO 8601 text names, or None. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span(text: str) -> float | None:
    """Seconds of a .NET time span such as 00:20:00, or None."""
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])
