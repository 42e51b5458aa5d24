"""What an answer tells beside pictures: where a step stands, warnings, words that steps give."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from civitai_skill.api.parse import clean_reason, read, read_list, read_number
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.media_rating import Rating
from civitai_skill.steps.names import parse_name
from civitai_skill.steps.prompt_enhancement import Enhancement
from civitai_skill.steps.wd_tagging import Tagging

#: Warnings of a workflow that are kept.
_MOST_WARNINGS = 5


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
            with suppress(ValueError, OverflowError):  # of year 1 or 9999 there is no other hour
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
    return tuple(dict.fromkeys(found))[:_MOST_WARNINGS]


# -- words: captions, tags, ratings, enhanced prompts ----------------------------------------------
#: The steps that give words.
KINDS = frozenset(form.kind for form in (Enhancement, Captioning, Tagging, Rating))

#: Characters of one text, parts of one list or object, and how deep they lie.
_LONGEST, _MOST, _DEEPEST = 20_000, 1000, 4
#: Unicode categories that show nothing and may mislead: control, format, surrogate, private.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co"})
#: Which of the format characters are part of ordinary writing: joiners of scripts and emoji.
_JOINERS = frozenset("\u200c\u200d")


def read_outputs(steps: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What each step that gives words came to; those about a picture name it.

    It is text of somebody else's model, and so untrusted: bounded, and without what moves a
    terminal's cursor or hides what it says.
    """
    found = []
    for step in steps:
        output = read(step, "output", dict)
        if step.get("$type") in KINDS and output:
            named = parse_name(read(step, "name", str))
            about = {} if named is None else {"picture": named[1]}
            found.append({**about, **_clean(output, _DEEPEST)})
    return tuple(found)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, Mapping) and depth:
        some = list(value.items())[:_MOST]
        return {_clean_text(str(name)): _clean(part, depth - 1) for name, part in some}
    if isinstance(value, list) and depth:
        return [_clean(part, depth - 1) for part in value[:_MOST]]
    # Beyond 2**53 a number is no count of anything; a bool is a small one.
    return value if isinstance(value, int | float) and abs(value) < 2**53 else None


def _clean_text(text: str) -> str:
    """A text that shows all it says, on as many lines as it has, of a bounded length."""
    shown = "".join(
        c
        for c in text[:_LONGEST]
        if c in "\n\t" or c in _JOINERS or unicodedata.category(c) not in _HIDDEN
    )
    return shown if len(text) <= _LONGEST else f"{shown}..."
