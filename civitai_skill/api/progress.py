"""Where a step that is not over stands, and what the service warns of, as an answer says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from civitai_skill.api.parse import (
    read_map,
    read_number,
    read_objects,
    read_text,
    read_whole,
)
from civitai_skill.api.replies import clean_reason

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
        if (moment := _read_moment(self.done_at)) is not None:
            parts.append(f"done about {moment:%H:%M:%S} UTC")
        return ", ".join(parts)


def read_progress(step: Mapping[str, Any], status: str) -> Progress:
    """Where a step stands. Deployments differ: the queue and the rate stood on its jobs before they
    stood on the step, and a preparation was one object before it was a list."""
    places = [step, *read_objects(step, "jobs")]
    queues = [read_map(place, "queuePosition") for place in places]
    rates = [read_number(place.get("estimatedProgressRate")) for place in places]
    first = [read_map(step, "preparation"), *read_objects(step, "preparation")]
    preparing = next((p for p in first if p), {})  # the one that holds the step back comes first
    rate = next(
        (r for r in (*rates, read_number(preparing.get("progress"))) if r is not None), None
    )
    seconds = read_whole(preparing, "etaSeconds")
    return Progress(
        read_text(step, "status") or status,
        None if rate is None else 100 * min(max(rate, 0.0), 1.0),
        next((a for q in queues if (a := read_whole(q, "precedingJobs")) is not None), None),
        read_text(preparing, "resource"),
        None if seconds is None else max(seconds, 0),
        next(
            (t for q in queues for n in ("estimatedCompleteAt", "completeAt")
             if (t := read_text(q, n)) is not None),
            None,
        ),
    )  # fmt: skip


def _read_moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


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
    for told in (w for step in steps for w in read_objects(step, "warnings")):
        names = ("code", "message", "deprecatedAt", "retiresAt", "replacement")
        code, message, *rest = (
            None if (text := read_text(told, name)) is None else clean_reason(text)
            for name in names
        )
        if code or message:
            found.append(ServiceWarning(code or "", message or "", *rest))
    return tuple(dict.fromkeys(found))[:_MOST]


def words_of(*warnings: str | ServiceWarning) -> tuple[str, ...]:
    """Warnings in words, each once."""
    return tuple(dict.fromkeys(w if isinstance(w, str) else str(w) for w in warnings))
