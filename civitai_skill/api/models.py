"""What comes back, read leniently.

Keys may be missing, null or unknown, statuses may be new; nothing here raises on an answer that is
a JSON object. `raw` keeps the answer as it came.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Nothing changes any more after these (published document, WorkflowStatus).
TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled"})

NO_REASON = "no reason given"

#: No step makes more pictures (the published forms stop at 12 and 16).
_MOST_PICTURES = 100

#: The step that gives words instead of pictures.
_WORDS = "promptEnhancement"

_MODERATED = re.compile(r"\bblocked\b|\btos\b|terms of (use|service)|content (filter|policy)")


@dataclass(frozen=True)
class Image:
    """One picture of a workflow. Sizes are pixels.

    A URL is no proof of a picture: unavailable blobs carry signed URLs too.
    """

    id: str = ""
    available: bool = False
    url: str | None = None
    width: int | None = None
    height: int | None = None
    blocked_reason: str | None = None
    nsfw_level: str | None = None
    step: str = ""
    step_status: str = ""
    step_errors: tuple[str, ...] = ()
    seed: int | None = None

    @property
    def deliverable(self) -> bool:
        """Can it be brought home?"""
        return self.available and bool(self.url) and self.blocked_reason is None

    @property
    def held(self) -> bool:
        """Is it made, and kept back because it is mature?"""
        return self.available and not self.url and self.blocked_reason is None

    @property
    def reason(self) -> str | None:
        """Why it can't be delivered; None when it can."""
        if self.deliverable:
            return None
        if self.blocked_reason is not None:
            return f"blocked: {self.blocked_reason}"
        if self.held:
            return "held back because it is mature; it is made and paid for"
        if self.step_errors:
            return "; ".join(self.step_errors)
        if self.step_status and self.step_status not in TERMINAL:
            return f"not ready yet ({self.step_status})"
        return NO_REASON


@dataclass(frozen=True)
class Progress:
    """Where a running workflow stands.

    `percent` is the service's estimate (0 to 100); while preparing it is the download of the model,
    not the picture. `ahead` is the number of jobs in front.
    """

    status: str
    percent: float | None = None
    ahead: int | None = None
    preparing: str | None = None

    def __str__(self) -> str:
        parts = [self.status]
        if self.ahead is not None:
            parts.append(f"{self.ahead} ahead")
        if self.percent is not None:
            what = " of the model" if self.status == "preparing" else ""
            parts.append(f"{self.percent:.0f}%{what}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Cost:
    """What a workflow costs, in Buzz.

    `total` is the service's figure and drops to 0 after a refund; `paid` and `refunded` are summed
    from the transactions by currency. `variable` says that `total` is a cap that may settle lower.
    """

    total: int | None = None
    paid: Mapping[str, int] = field(default_factory=dict)
    refunded: Mapping[str, int] = field(default_factory=dict)
    variable: bool = False

    @property
    def by_currency(self) -> dict[str, int]:
        """What was kept in the end, by currency."""
        kept = {c: n - self.refunded.get(c, 0) for c, n in self.paid.items()}
        return {c: n for c, n in kept.items() if n}

    @property
    def kept(self) -> int | None:
        """What was kept in the end (Buzz); None where nothing tells it."""
        return sum(self.by_currency.values()) if self.paid else self.total

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"total": self.total}
        if self.paid:
            out["by_currency"] = self.by_currency
        if any(self.refunded.values()):
            out["refunded"] = sum(self.refunded.values())
        return out


@dataclass(frozen=True)
class Step:
    """One step of a workflow."""

    name: str
    type: str
    status: str
    images: tuple[Image, ...]
    errors: tuple[str, ...]
    input: Mapping[str, Any]


@dataclass(frozen=True)
class Workflow:
    """A workflow as the service tells it."""

    id: str | None
    status: str
    steps: tuple[Step, ...] = ()
    cost: Cost = Cost()
    created_at: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    insufficient_buzz: bool = False
    allow_mature_content: bool | None = None
    upgrade_mode: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: The status of the HTTP answer that told it; None where no single answer did.
    http_status: int | None = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Workflow:
        """Read an answer; never raises for a mapping."""
        steps = tuple(_read_step(s) for s in _read_list(answer, "steps") if isinstance(s, Mapping))
        transactions = _read_map(answer, "transactions")
        mature = answer.get("allowMatureContent")
        return cls(
            id=_read_text(answer, "id"),
            status=_read_text(answer, "status") or "unknown",
            steps=steps,
            cost=_read_cost(_read_map(answer, "cost"), transactions),
            created_at=_read_text(answer, "createdAt"),
            tags=tuple(t for t in _read_list(answer, "tags") if isinstance(t, str)),
            metadata=_read_map(answer, "metadata"),
            external_id=_read_text(answer, "externalId"),
            insufficient_buzz=transactions.get("insufficientBuzz") is True,
            allow_mature_content=mature if isinstance(mature, bool) else None,
            upgrade_mode=_read_text(answer, "upgradeMode"),
            raw=answer,
        )

    @property
    def done(self) -> bool:
        return self.status in TERMINAL

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures of every step, in order."""
        return tuple(image for step in self.steps for image in step.images)

    @property
    def wanted(self) -> int:
        """How many pictures the step inputs ask for, as far as they say; 0 where all steps give
        words."""
        if self.steps and all(step.type == _WORDS for step in self.steps):
            return 0
        return sum(_read_quantity(s.input) for s in self.steps if s.type == "imageGen") or 1

    @property
    def fruitless(self) -> bool:
        """Did it end without anything of what was wanted?"""
        wanted = self.wanted or self.status != "succeeded"
        return self.done and bool(wanted) and not any(i.deliverable for i in self.images)

    @property
    def outputs(self) -> tuple[Mapping[str, Any], ...]:
        """What the steps came to that give words, as the service tells it."""
        found = (_read_map(s, "output") for s in _read_list(self.raw, "steps")
                 if isinstance(s, Mapping) and s.get("$type") == _WORDS)  # fmt: skip
        return tuple(output for output in found if output)

    @property
    def input(self) -> Mapping[str, Any]:
        """The input of the first imageGen step, or of the first step."""
        for step in self.steps:
            if step.type == "imageGen":
                return step.input
        return self.steps[0].input if self.steps else {}

    @property
    def progress(self) -> Progress:
        """Where it stands, from the first step that is not finished."""
        for step in _read_list(self.raw, "steps"):
            if isinstance(step, Mapping) and _read_text(step, "status") not in TERMINAL:
                return _read_progress(step, self.status)
        return Progress(self.status)

    def reasons(self) -> tuple[str, ...]:
        """Why pictures are missing, in the service's words; empty when nothing was said.

        The order is that in which real answers were seen to say it: output.errors, the blob's own
        reason, the job's, the output's message, the step's metadata.
        """
        found: list[str] = []
        for step in _read_list(self.raw, "steps"):
            if isinstance(step, Mapping):
                found += _read_reasons(step)
        found += [f"blocked: {i.blocked_reason}" for i in self.images if i.blocked_reason]
        return tuple(dict.fromkeys(found))

    @property
    def moderated(self) -> bool:
        """Was it stopped by moderation? Then the same prompt must not be sent again."""
        return any(i.blocked_reason for i in self.images) or is_moderation(*self.reasons())


def is_moderation(*reasons: str) -> bool:
    """Do the service's words speak of moderation?"""
    return bool(_MODERATED.search(" ".join(reasons).lower()))


def _read_step(step: Mapping[str, Any]) -> Step:
    name, status = _read_text(step, "name") or "", _read_text(step, "status") or ""
    output = _read_map(step, "output")
    errors = tuple(e for e in _read_list(output, "errors") if isinstance(e, str) and e.strip())
    blobs = [b for key in ("images", "blobs") for b in _read_list(output, key)]
    blobs += [output[key] for key in ("image", "blob") if isinstance(output.get(key), Mapping)]
    given = _read_map(step, "input")
    first = given.get("seed")
    seeded = isinstance(first, int) and not isinstance(first, bool)
    images = []
    for i, blob in enumerate(b for b in blobs if isinstance(b, Mapping)):
        # Image i of a batch has seed + i (the site's own reader does the same).
        seed = first + i if seeded and isinstance(first, int) else None
        images.append(_read_image(blob, name, status, errors, seed))
    return Step(name, _read_text(step, "$type") or "", status, tuple(images), errors, given)


def _read_image(
    blob: Mapping[str, Any], step: str, status: str, errors: tuple[str, ...], seed: int | None
) -> Image:
    blocked = _read_text(blob, "blockedReason")
    if blocked is not None and blocked.lower() == "none":
        blocked = None  # the literal word "none" means not blocked
    return Image(
        id=_read_text(blob, "id") or "",
        available=blob.get("available") is True,
        url=_read_text(blob, "url"),
        width=_read_whole(blob, "width"),
        height=_read_whole(blob, "height"),
        blocked_reason=blocked,
        nsfw_level=_read_text(blob, "nsfwLevel"),
        step=step,
        step_status=status,
        step_errors=errors,
        seed=seed,
    )


def _read_cost(cost: Mapping[str, Any], transactions: Mapping[str, Any]) -> Cost:
    paid: dict[str, int] = {}
    refunded: dict[str, int] = {}
    for entry in _read_list(transactions, "list"):
        if not isinstance(entry, Mapping):
            continue
        amount, account = (
            _read_price(entry, "amount"),
            _read_text(entry, "accountType") or "unknown",
        )
        book = {"debit": paid, "credit": refunded}.get(str(entry.get("type")).lower())
        if amount is not None and book is not None:
            book[account] = book.get(account, 0) + amount
    return Cost(_read_price(cost, "total"), paid, refunded, cost.get("variable") is True)


def _read_progress(step: Mapping[str, Any], status: str) -> Progress:
    jobs = [j for j in _read_list(step, "jobs") if isinstance(j, Mapping)]
    ahead = [_read_whole(_read_map(j, "queuePosition"), "precedingJobs") for j in jobs]
    rates = [step.get("estimatedProgressRate"), *(j.get("estimatedProgressRate") for j in jobs)]
    rate = next((r for r in map(_read_number, rates) if r is not None), None)
    preparing = _read_text(_read_map(step, "preparation"), "resource")
    return Progress(
        _read_text(step, "status") or status,
        None if rate is None else 100 * min(max(rate, 0.0), 1.0),
        next((a for a in ahead if a is not None), None),
        preparing,
    )


def _read_reasons(step: Mapping[str, Any]) -> list[str]:
    output = _read_map(step, "output")
    found = [e for e in _read_list(output, "errors") if isinstance(e, str)]
    for job in _read_list(step, "jobs"):
        if isinstance(job, Mapping):
            found += [t for k in ("reason", "blockedReason") if (t := _read_text(job, k))]
    if _read_text(output, "externalTOSViolation") or output.get("externalTOSViolation") is True:
        found.append(_read_text(output, "message") or "refused under the provider's terms")
    error = _read_map(step, "metadata").get("error")
    if isinstance(error, str):
        found.append(error)
    return [text for text in found if text.strip() and text.lower() != "none"]


def _read_quantity(given: Mapping[str, Any]) -> int:
    for key in ("quantity", "numImages"):
        number = _read_whole(given, key)
        if number is not None:
            return min(max(number, 1), _MOST_PICTURES)
    return 1


def _read_text(where: Mapping[str, Any], key: str) -> str | None:
    value = where.get(key)
    return value if isinstance(value, str) and value else None


def _read_whole(where: Mapping[str, Any], key: str) -> int | None:
    value = _read_number(where.get(key))
    return None if value is None else int(value)


def _read_price(where: Mapping[str, Any], key: str) -> int | None:
    """Buzz, rounded up; what is below nothing is no price."""
    value = _read_number(where.get(key))
    return None if value is None or value < 0 else math.ceil(value)


def _read_number(value: Any) -> float | None:
    """A number. Beyond 2**53 it is no count of anything, and neither JSON nor SQLite keeps it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        return None
    return value


def _read_map(where: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = where.get(key)
    return value if isinstance(value, Mapping) else {}


def _read_list(where: Mapping[str, Any], key: str) -> list[Any]:
    value = where.get(key)
    return value if isinstance(value, list) else []
