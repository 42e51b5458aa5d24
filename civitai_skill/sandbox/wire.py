"""How the service reads and writes: bodies and parameters, JSON answers, every form of its
refusals, times and whole numbers."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

Record = dict[str, Any]

#: What a request comes to: a response, or the work that makes one where it holds nobody up.
Outcome = httpx.Response | Callable[[], httpx.Response]
#: What handling a request yields until then: seconds to sleep, at last the work to run.
Step = float | Callable[[], Any]
Answer = Generator[float, None, Outcome]

_SECTION = "https://tools.ietf.org/html/rfc9110#section-15."
_TOO_MANY = "https://tools.ietf.org/html/rfc6585#section-4"
_TYPES = {400: "5.1", 401: "5.2", 403: "5.4", 404: "5.5", 409: "5.10", 413: "5.14", 415: "5.16"}

_INT32 = re.compile(r"[+-]?[0-9]{1,10}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_SPAN = re.compile(r"(?:([0-9]{1,8})\.)?([0-9]{1,2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,7})?)")
#: How deep .NET reads JSON by default.
DEEPEST = 64
# The last second that a date can say, and .NET's too.
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class Abort(Exception):
    """Ends the handling of a request with this response."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def with_end(
    answer: Generator[Step, None, httpx.Response],
) -> Iterator[Step | httpx.Response]:
    """The seconds to sleep and the work to run, and at last the response."""
    yield (yield from answer)


# -- requests ------------------------------------------------------------------------------------
def is_too_deep(value: Any, left: int = DEEPEST) -> bool:
    """Is JSON nested deeper than .NET reads by default?"""
    deeper = (is_too_deep(inner, left - 1) for inner in _inside(value))
    return any(deeper) if left else isinstance(value, dict | list)


def walk(value: Any) -> Iterator[Any]:
    """JSON, and every key and value inside."""
    yield value
    for inner in (*(value if isinstance(value, dict) else ()), *_inside(value)):
        yield from walk(inner)


def _inside(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


class Query(httpx.QueryParams):
    """The query of a request, read as the service binds it."""

    def whole(self, name: str, default: int) -> int:
        number = parse_int32(self[name]) if name in self else default
        if number is None:
            raise self.refuse(name)
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        value = str(self.get(name, default)).lower()
        if value not in ("true", "false"):
            raise self.refuse(name)
        return value == "true"

    def refuse(self, name: str) -> Abort:
        """The 400 for a value that can't be bound."""
        return misfit(f"The value '{self.get(name)}' is not valid.", name)


# -- answers -------------------------------------------------------------------------------------
def reply(
    status: int, body: Any = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """JSON, or nothing at all when there is no body."""
    if body is None:
        return httpx.Response(status, headers=headers)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    is_problem = status >= 400 and isinstance(body, dict) and "title" in body
    kind = f"application/{'problem+' if is_problem else ''}json; charset=utf-8"
    headers = {"Content-Type": kind, **(headers or {})}
    return httpx.Response(status, headers=headers, content=text.encode())


def problem(
    status: int, detail: str = "", errors: Mapping[str, Sequence[str]] | None = None
) -> httpx.Response:
    """ProblemDetails with a trace id; with `errors` that of model binding, messages by path."""
    title = "One or more validation errors occurred."
    if not errors:
        title = HTTPStatus(status).phrase if status in list(HTTPStatus) else "Error"
    kind = _TOO_MANY if status == 429 else _SECTION + _TYPES.get(status, "6.1")
    more = {"detail": detail, "errors": errors}
    trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    return reply(status, {
        "type": kind, "title": title, "status": status,
        **{name: value for name, value in more.items() if value}, "traceId": trace,
    })  # fmt: skip


def misfit(text: str, place: str = "$") -> Abort:
    """The 400 of model binding for one place."""
    return Abort(problem(400, errors={place: [text]}))


def refuse(message: str) -> Abort:
    """The 400 of a business rule: the key is the literal `messages`, not a path."""
    return Abort(reply(400, {"errors": {"messages": [message]}}))


# -- times: moments are seconds since 1970, UTC --------------------------------------------------
def format_millis(moment: float) -> str:
    """ISO 8601 with milliseconds: createdAt, startedAt, completedAt."""
    text = datetime.fromtimestamp(min(moment, _LAST), UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def format_ticks(moment: float) -> str:
    """ISO 8601 as .NET writes it: seven digits, trailing zeros trimmed (urlExpiresAt)."""
    whole, rest = divmod(min(moment, _LAST), 1)
    fraction = f".{round(rest * 1e7) % 10_000_000:07d}".rstrip("0").rstrip(".")
    return format_millis(whole).replace(".000Z", f"{fraction}Z")


def parse_date(text: str) -> float | None:
    """The moment that an ISO 8601 text names, or None. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_span(text: str) -> float | None:
    """Seconds of a .NET time span such as 00:20:00, or None."""
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])


# -- whole numbers: few ASCII digits, nothing else that Python would take for one ------------------
def parse_int32(text: str) -> int | None:
    """The 32-bit number that a text says, or None."""
    number = int(text) if _INT32.fullmatch(text) else 2**31
    return number if -(2**31) <= number < 2**31 else None


def parse_index(text: str, length: int) -> int | None:
    """The place below `length` that a text says, or None."""
    return int(text) if _INDEX.fullmatch(text) and int(text) < length else None
