"""Where a step that is not over stands, and what the service warns of, as an answer says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from civitai_skill.api.parse import clean_reason, read, read_list, read_number

#: Warnings of a workflow that are kept.
_MOST = 5


@dataclass(frozen=True)
class Progress:
    """Where a running workflow stands.

    `percent` is the service's estimate (0 to 100); while preparing it is the download of the model,
    not the picture. `ahead` is the number of jobs in front. `seconds` are those until the model is
    there, `done_at` the moment (ISO 8601) at which the service expects the end.
    """

    status: str
    percent: float | None = None
    ahead: int | None = None
    preparing: str | None = None
    seconds: int | None = None
    done_at: str | None = None

    def __str__(self) -> str:
        parts = [self.status]
        if self.ahead is not None:
            parts.append(f"{self.ahead} ahead")
        if self.percent is not None:
            what = " of the model" if self.status == "preparing" else ""
            parts.append(f"{self.percent:.0f}%{what}")
        if self.seconds is not None:
            parts.append(f"the model in about {self.seconds} s")
        if self.done_at:
            with suppress(ValueError):
                moment = datetime.fromisoformat(self.done_at)
                utc = moment.astimezone(UTC) if moment.tzinfo else moment
                parts.append(f"done about {utc:%H:%M:%S} UTC")
        return ", ".join(parts)


def read_progress(step: Mapping[str, Any], status: str) -> Progress:
    """Where a step stands. Deployments differ: the queue and the rate stood on its jobs before they
    stood on the step, and a preparation was one object before it was a list."""
    places = [step, *read_list(step, "jobs", dict)]
    queues = [read(place, "queuePosition", dict) for place in places]
    first = [read(step, "preparation", dict), *read_list(step, "preparation", dict)]
    preparing = next((p for p in first if p), {})  # the one that holds the step back comes first
    rates = [read_number(place, "estimatedProgressRate", to=float) for place in places]
    rates.append(read_number(preparing, "progress", to=float))
    rate = next((r for r in rates if r is not None), None)
    ahead = (read_number(queue, "precedingJobs") for queue in queues)
    ends = (read(q, name, str) for q in queues for name in ("estimatedCompleteAt", "completeAt"))
    seconds = read_number(preparing, "etaSeconds")
    return Progress(
        read(step, "status", str) or status,
        None if rate is None else 100 * min(max(rate, 0.0), 1.0),
        next((number for number in ahead if number is not None), None),
        read(preparing, "resource", str) or None,
        None if seconds is None else max(seconds, 0),
        next((end for end in ends if end), None),
    )


@dataclass(frozen=True)
class ServiceWarning:
    """What the service warns of, such as `modelDeprecated`: its words, when the model goes (ISO
    8601) and what replaces it."""

    code: str
    message: str
    deprecated_at: str | None = None
    retires_at: str | None = None
    replacement: str | None = None

    def __str__(self) -> str:
        said = (self.message or self.code).rstrip(".") + "."
        if self.retires_at is not None:
            said += f" It retires on {self.retires_at[:10]}."
        if self.replacement is not None:
            said += f" Its replacement is {self.replacement}."
        return said


def read_warnings(steps: Iterable[Mapping[str, Any]]) -> tuple[ServiceWarning, ...]:
    """The warnings of steps, each once; they stand on estimates too."""
    found = []
    for told in (w for step in steps for w in read_list(step, "warnings", dict)):
        names = ("code", "message", "deprecatedAt", "retiresAt", "replacement")
        code, message, *rest = (clean_reason(read(told, name, str)) or None for name in names)
        if code or message:
            found.append(ServiceWarning(code or "", message or "", *rest))
    return tuple(dict.fromkeys(found))[:_MOST]
