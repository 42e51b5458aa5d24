"""What comes back, read leniently.

Keys may be missing, null or unknown, statuses may be new; nothing here raises on an answer that is
a JSON object. `raw` keeps the answer as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.api.parse import (
    clean_reasons,
    read_list,
    read_map,
    read_objects,
    read_price,
    read_quantity,
    read_step_reasons,
    read_text,
    read_whole,
)
from civitai_skill.api.progress import Progress, ServiceWarning, read_progress, read_warnings
from civitai_skill.api.replies import clean_reason
from civitai_skill.api.words import KINDS, read_outputs
from civitai_skill.steps.names import STAGES, parse_name

#: Nothing changes any more after these (published document, WorkflowStatus).
TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled"})

NO_REASON = "no reason given"

#: The steps that draw pictures; the second is the older one, which others still send.
_DRAWING = ("imageGen", "textToImage")

_MODERATED = re.compile(r"\bblocked\b|\btos\b|terms of (use|service)|content (filter|policy)")


@dataclass(frozen=True)
class Image:
    """One picture of a workflow. Sizes are pixels; a `vector` is an SVG and has none.

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
    vector: bool = False

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
        if not self.paid:
            return self.total
        return sum(n - self.refunded.get(currency, 0) for currency, n in self.paid.items())

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"total": self.total}
        if self.paid:
            out["by_currency"] = self.by_currency
        if any(self.refunded.values()):
            out["refunded"] = sum(self.refunded.values())
        if self.variable:
            out["variable"] = True
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
        steps = tuple(map(_read_step, read_objects(answer, "steps")))
        transactions = read_map(answer, "transactions")
        mature = answer.get("allowMatureContent")
        return cls(
            id=read_text(answer, "id"),
            status=clean_reason(read_text(answer, "status") or "unknown"),
            steps=steps,
            cost=_read_cost(read_map(answer, "cost"), transactions),
            created_at=read_text(answer, "createdAt"),
            tags=tuple(t for t in read_list(answer, "tags") if isinstance(t, str)),
            metadata=read_map(answer, "metadata"),
            external_id=read_text(answer, "externalId"),
            insufficient_buzz=transactions.get("insufficientBuzz") is True,
            allow_mature_content=mature if isinstance(mature, bool) else None,
            upgrade_mode=read_text(answer, "upgradeMode"),
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
        """How many pictures there shall be in the end, as far as the steps say; 0 where all of
        them give words."""
        if self.steps and all(step.type in KINDS for step in self.steps):
            return 0
        named = [parse_name(step.name) for step in self.steps]
        drawn = [
            read_quantity(step.input)
            for step, name in zip(self.steps, named, strict=True)
            if step.type in _DRAWING and name is None
        ]
        finished = {name[1] for name in named if name is not None and name[0] in STAGES}
        return sum(drawn) or len(finished) or 1

    @property
    def fruitless(self) -> bool:
        """Did it end without anything of what was wanted?"""
        wanted = self.wanted or self.status != "succeeded"
        return self.done and bool(wanted) and not any(i.deliverable for i in self.images)

    @property
    def outputs(self) -> tuple[Mapping[str, Any], ...]:
        """What the steps came to that give words, cleaned of what misleads."""
        return read_outputs(self.raw)

    @property
    def input(self) -> Mapping[str, Any]:
        """The input of the first step that draws, or of the first step."""
        for step in self.steps:
            if step.type in _DRAWING:
                return step.input
        return self.steps[0].input if self.steps else {}

    @property
    def progress(self) -> Progress:
        """Where it stands, from the first step that is not finished."""
        for step in read_objects(self.raw, "steps"):
            if read_text(step, "status") not in TERMINAL:
                return read_progress(step, self.status)
        return Progress(self.status)

    @property
    def warnings(self) -> tuple[ServiceWarning, ...]:
        """What the service warns of."""
        return read_warnings(read_objects(self.raw, "steps"))

    def reasons(self) -> tuple[str, ...]:
        """Why pictures are missing, in the service's words; empty when nothing was said.

        The order is that in which real answers were seen to say it: output.errors, the blob's own
        reason, the output's message, the step's metadata.
        """
        found: list[str] = []
        for step in read_objects(self.raw, "steps"):
            found += read_step_reasons(step)
        found += [f"blocked: {i.blocked_reason}" for i in self.images if i.blocked_reason]
        return tuple(clean_reasons(found))

    @property
    def moderated(self) -> bool:
        """Was it stopped by moderation? Then the same prompt must not be sent again."""
        return any(i.blocked_reason for i in self.images) or is_moderation(*self.reasons())


def is_moderation(*reasons: str) -> bool:
    """Do the service's words speak of moderation?"""
    return bool(_MODERATED.search(" ".join(reasons).lower()))


def _read_step(step: Mapping[str, Any]) -> Step:
    name, status = read_text(step, "name") or "", read_text(step, "status") or ""
    output = read_map(step, "output")
    errors = tuple(clean_reasons(e for e in read_list(output, "errors") if isinstance(e, str)))
    blobs = [b for key in ("images", "blobs") for b in read_objects(output, key)]
    blobs += [output[key] for key in ("image", "blob") if isinstance(output.get(key), Mapping)]
    vectors = [output["svg"]] if isinstance(output.get("svg"), Mapping) else []
    given = read_map(step, "input")
    first = given.get("seed")
    if not isinstance(first, int) or isinstance(first, bool):
        first = None
    # Image i of a batch has seed + i (the site's own reader does the same).
    images = tuple(
        _read_image(
            blob,
            step=name,
            step_status=status,
            step_errors=errors,
            seed=None if first is None else first + i,
            vector=i >= len(blobs),
        )
        for i, blob in enumerate([*blobs, *vectors])
    )
    return Step(name, read_text(step, "$type") or "", status, images, errors, given)


def _read_image(blob: Mapping[str, Any], **of_step: Any) -> Image:
    blocked = read_text(blob, "blockedReason")
    if blocked is not None:  # the literal word "none" means not blocked
        blocked = None if blocked.lower() == "none" else clean_reason(blocked)
    return Image(
        id=read_text(blob, "id") or "",
        available=blob.get("available") is True,
        url=read_text(blob, "url"),
        width=read_whole(blob, "width"),
        height=read_whole(blob, "height"),
        blocked_reason=blocked,
        nsfw_level=read_text(blob, "nsfwLevel"),
        **of_step,
    )


def _read_cost(cost: Mapping[str, Any], transactions: Mapping[str, Any]) -> Cost:
    paid: dict[str, int] = {}
    refunded: dict[str, int] = {}
    for entry in read_objects(transactions, "list"):
        amount = read_price(entry, "amount")
        account = read_text(entry, "accountType") or "unknown"
        book = {"debit": paid, "credit": refunded}.get(str(entry.get("type")).lower())
        if amount is not None and book is not None:
            book[account] = book.get(account, 0) + amount
    # No more comes back than was paid, whatever is told.
    refunded = {name: min(n, paid[name]) for name, n in refunded.items() if name in paid}
    return Cost(read_price(cost, "total"), paid, refunded, cost.get("variable") is True)
