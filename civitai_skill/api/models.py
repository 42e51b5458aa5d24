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
    MOST_REASONS,
    clean_reason,
    clean_reasons,
    read,
    read_list,
    read_number,
)
from civitai_skill.api.progress import (
    KINDS,
    Progress,
    ServiceWarning,
    read_outputs,
    read_progress,
    read_warnings,
)
from civitai_skill.steps.names import STAGES, parse_name

#: Nothing changes any more after these (published document, WorkflowStatus).
TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled"})
#: Every status that is documented (the same).
_STATUSES = TERMINAL | {"unassigned", "preparing", "scheduled", "processing"}

NO_REASON = "no reason given"

#: The steps that draw pictures; the second is the older one, which others still send.
_DRAWING = ("imageGen", "textToImage")

#: No step makes more pictures (the published forms stop at 12 and 16).
_MOST_PICTURES = 100

_MODERATED = re.compile(r"\bblocked\b|\btos\b|terms of (use|service)|content (filter|policy)")


@dataclass(frozen=True)
class Image:
    """One picture of a workflow. Sizes are pixels; a `vector` is an SVG and has none.

    `deliverable` says that it can be brought home, `held` that it is made, and kept back because it
    is mature. A URL is no proof of a picture: unavailable blobs carry signed URLs too.
    """

    id: str = ""
    available: bool = False
    url: str | None = None
    width: int | None = None
    height: int | None = None
    blocked_reason: str | None = None
    nsfw_level: str | None = None
    step_status: str = ""
    step_errors: tuple[str, ...] = ()
    seed: int | None = None
    vector: bool = False
    deliverable: bool = False
    held: bool = False

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
    from the transactions by currency. `kept` is what was kept in the end, None where nothing tells
    it. `variable` says that `total` is a cap that may settle lower.
    """

    total: int | None = None
    paid: Mapping[str, int] = field(default_factory=dict)
    refunded: Mapping[str, int] = field(default_factory=dict)
    variable: bool = False
    kept: int | None = None

    @property
    def by_currency(self) -> dict[str, int]:
        """What was kept in the end, by currency."""
        kept = {c: n - self.refunded.get(c, 0) for c, n in self.paid.items()}
        return {c: n for c, n in kept.items() if n}

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
    """One step of a workflow. `quantity` is how many pictures its input asks for, `errors` why it
    failed, in the service's words, `place` the stage and the number of the picture that it follows,
    as its name says (see steps/names.py)."""

    name: str
    type: str
    status: str
    images: tuple[Image, ...]
    errors: tuple[str, ...]
    input: Mapping[str, Any]
    quantity: int
    place: tuple[str, int] | None


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
    #: What the service warns of.
    warnings: tuple[ServiceWarning, ...] = field(default=(), repr=False)
    #: What the steps came to that give words, cleaned of what misleads.
    outputs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    # -- and what follows from these
    done: bool = field(init=False, repr=False, compare=False)
    #: The pictures of every step, in order.
    images: tuple[Image, ...] = field(init=False, repr=False, compare=False)
    #: How many pictures there shall be in the end, as far as the steps say; 0 where all of them
    #: give words.
    wanted: int = field(init=False, repr=False, compare=False)
    #: Did it end without anything of what was wanted?
    fruitless: bool = field(init=False, repr=False, compare=False)
    #: The input of the first step that draws, or of the first step.
    input: Mapping[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps, done = self.steps, self.status in TERMINAL
        images = tuple(image for step in steps for image in step.images)
        drawing = [step for step in steps if step.type in _DRAWING]
        finished = {s.place[1] for s in steps if s.place is not None and s.place[0] in STAGES}
        drawn = sum(step.quantity for step in drawing if step.place is None)
        wanted = drawn or len(finished) or 1
        if steps and all(step.type in KINDS for step in steps):
            wanted = 0
        vars(self).update(
            done=done,
            images=images,
            wanted=wanted,
            fruitless=done
            and (wanted > 0 or self.status != "succeeded")
            and not any(image.deliverable for image in images),
            input=next((step.input for step in (*drawing, *steps)), {}),
        )

    @classmethod
    def read(cls, answer: Mapping[str, Any], http_status: int | None = None) -> Workflow:
        """Read an answer; never raises for a mapping."""
        told = read_list(answer, "steps", dict)
        steps = tuple(map(_read_step, told))
        talking = [raw for step, raw in zip(steps, told, strict=True) if step.type in KINDS]
        transactions = read(answer, "transactions", dict)
        status = read(answer, "status", str) or "unknown"
        mature = answer.get("allowMatureContent")
        return cls(
            id=read(answer, "id", str) or None,
            status=status if status in _STATUSES else clean_reason(status),
            steps=steps,
            cost=_read_cost(read(answer, "cost", dict), transactions),
            created_at=read(answer, "createdAt", str) or None,
            tags=tuple(read_list(answer, "tags", str)),
            metadata=read(answer, "metadata", dict),
            external_id=read(answer, "externalId", str) or None,
            insufficient_buzz=read(transactions, "insufficientBuzz", bool),
            allow_mature_content=mature if isinstance(mature, bool) else None,
            upgrade_mode=read(answer, "upgradeMode", str) or None,
            raw=answer,
            http_status=http_status,
            warnings=read_warnings(told) if any("warnings" in step for step in told) else (),
            outputs=read_outputs(talking) if talking else (),
        )

    @property
    def progress(self) -> Progress:
        """Where it stands, from the first step that is not finished."""
        for step in read_list(self.raw, "steps", dict):
            if read(step, "status", str) not in TERMINAL:
                return read_progress(step, self.status)
        return Progress(self.status)

    def reasons(self) -> tuple[str, ...]:
        """Why pictures are missing, in the service's words; empty when nothing was said.

        The order is that in which real answers were seen to say it: output.errors, the output's
        message, the step's metadata, the blob's own reason.
        """
        found = [text for step in self.steps for text in step.errors]
        found += [f"blocked: {i.blocked_reason}" for i in self.images if i.blocked_reason]
        return tuple(dict.fromkeys(found))[:MOST_REASONS]

    @property
    def moderated(self) -> bool:
        """Was it stopped by moderation? Then the same prompt must not be sent again."""
        blocked = any(image.blocked_reason for image in self.images)
        reasons = self.reasons()
        return blocked or (bool(reasons) and is_moderation(*reasons))


def is_moderation(*reasons: str) -> bool:
    """Do the service's words speak of moderation?"""
    return _MODERATED.search(" ".join(reasons).lower()) is not None


def _read_step(step: Mapping[str, Any]) -> Step:
    name, output = read(step, "name", str), read(step, "output", dict)
    status, given = read(step, "status", str), read(step, "input", dict)
    said = read_list(output, "errors", str)
    of_pictures = clean_reasons(said) if said else ()
    if output.get("externalTOSViolation"):
        said.append(read(output, "message", str) or "refused under the provider's terms")
    if error := read(read(step, "metadata", dict), "error", str):
        said.append(error)
    errors = clean_reasons(said) if said else ()
    blobs = [*read_list(output, "images", dict), *read_list(output, "blobs", dict)]
    blobs += [b for key in ("image", "blob", "svg") if isinstance(b := output.get(key), dict)]
    seed = given.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        seed = None
    # Image i of a batch has seed + i (the site's own reader does the same).
    images = tuple(
        _read_image(
            blob,
            step_status=status,
            step_errors=of_pictures,
            seed=None if seed is None else seed + i,
            vector=blob is output.get("svg"),
        )
        for i, blob in enumerate(blobs)
    )
    asked = [read_number(given, key) for key in ("quantity", "numImages")]
    quantity = next((min(max(n, 1), _MOST_PICTURES) for n in asked if n is not None), 1)
    kind = read(step, "$type", str)
    return Step(name, kind, status, images, errors, given, quantity, parse_name(name))


def _read_image(blob: Mapping[str, Any], **of_step: Any) -> Image:
    blocked, url = read(blob, "blockedReason", str), read(blob, "url", str)
    available = read(blob, "available", bool)
    free = available and (not blocked or blocked.lower() == "none")  # the word means not blocked
    return Image(
        id=read(blob, "id", str),
        available=available,
        url=url or None,
        width=read_number(blob, "width"),
        height=read_number(blob, "height"),
        blocked_reason=clean_reason(blocked) if blocked and blocked.lower() != "none" else None,
        nsfw_level=read(blob, "nsfwLevel", str) or None,
        deliverable=free and bool(url),
        held=free and not url,
        **of_step,
    )


def _read_cost(cost: Mapping[str, Any], transactions: Mapping[str, Any]) -> Cost:
    paid: dict[str, int] = {}
    refunded: dict[str, int] = {}
    for entry in read_list(transactions, "list", dict):
        amount = read_number(entry, "amount", least=0)
        account = read(entry, "accountType", str) or "unknown"
        book = {"debit": paid, "credit": refunded}.get(str(entry.get("type")).lower())
        if amount is not None and book is not None:
            book[account] = book.get(account, 0) + amount
    # No more comes back than was paid, whatever is told.
    refunded = {name: min(n, paid[name]) for name, n in refunded.items() if name in paid}
    total = read_number(cost, "total", least=0)
    kept = sum(paid.values()) - sum(refunded.values()) if paid else total
    return Cost(total, paid, refunded, read(cost, "variable", bool), kept)
