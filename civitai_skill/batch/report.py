"""What a batch tells: its plan, how it goes, what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from civitai_skill.batch.results import Result


@dataclass(frozen=True)
class BatchPlan:
    """The plan, before anything is bought. `price` is the most that `new` rows cost (Buzz),
    among them those that were perhaps sent before; `done` rows are finished, `open` ones were
    bought before and go on, `left_out` ones do not fit. `limit` is what all rows together may cost,
    `budget_left` what is left of the budget for all calls (None: there is none)."""

    name: str
    rows: int
    new: int
    open: int
    done: int
    price: int
    unpriced: int
    by_engine: dict[str, int]
    warnings: tuple[str, ...] = ()
    left_out: int = 0
    limit: int = 0
    budget_left: int | None = None

    def as_dict(self) -> dict[str, Any]:
        told = asdict(self) | {"warnings": list(self.warnings)}
        return {"batch": told.pop("name"), **told}

    def __str__(self) -> str:
        parts = [f"{self.new} to buy for at most {self.price} Buzz"]
        if self.unpriced:
            parts.append(f"{self.unpriced} of them at a price that nobody tells")
        if self.open:
            parts.append(f"{self.open} bought before to go on with")
        if self.done:
            parts.append(f"{self.done} finished before")
        if self.left_out:
            parts.append(f"{self.left_out} left out, which do not fit")
        return f"Batch {self.name}: {self.rows} rows: " + ", ".join(parts)


@dataclass(frozen=True)
class BatchProgress:
    """How far a running batch is. `seconds` is how long it has run, `buzz` what it cost so far."""

    total: int
    done: int
    failed: int
    under_way: int
    pictures: int
    buzz: int
    seconds: float
    #: Rows that this run has ended, without those that were done before.
    ended: int

    @property
    def per_minute(self) -> float:
        return 60 * self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this pace; None before the first row ended."""
        if not self.ended:
            return None
        return (self.total - self.done - self.failed) * self.seconds / self.ended

    def __str__(self) -> str:
        left = self.seconds_left
        return (
            f"{self.done} of {self.total} done, {self.failed} failed, {self.under_way} under way, "
            f"{self.buzz} Buzz, {self.per_minute:.0f} pictures a minute"
            + ("" if left is None else f", about {left:.0f} s left")
        )


@dataclass(frozen=True)
class Surprise:
    """A row was charged more than was expected (Buzz)."""

    row: int
    expected: int
    charged: int

    def __str__(self) -> str:
        return (
            f"Row {self.row} was charged {self.charged} Buzz where {self.expected} were expected."
        )


Event = BatchPlan | BatchProgress | Surprise | Result
Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Report:
    """What came of a batch: the plan, a result for each row in order, and where they are."""

    plan: BatchPlan
    results: tuple[Result, ...]
    folder: Path
    #: Status requests sent while waiting.
    status_requests: int = 0
    #: Buzz that this run has spent or reserved.
    spent: int = 0
    #: What was charged that was not expected.
    surprises: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Are all pictures there?"""
        return self.statuses.keys() <= {"succeeded"}

    @property
    def over_limit(self) -> bool:
        """Was more charged than was allowed?"""
        return self.spent > self.plan.limit

    @property
    def statuses(self) -> dict[str, int]:
        counts = Counter(result.status for result in self.results)
        return {status: counts[status] for status in sorted(counts)}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every picture on disk."""
        return tuple(self.folder / p.path for result in self.results for p in result.pictures)

    def as_dict(self) -> dict[str, Any]:
        told = [warning for result in self.results for warning in result.warnings]
        return {
            **self.plan.as_dict(),
            "warnings": list(dict.fromkeys([*self.plan.warnings, *told, *self.surprises])),
            "statuses": self.statuses,
            "pictures": len(self.paths),
            "cost": sum(result.cost or 0 for result in self.results),
            "refunded": sum(result.refunded or 0 for result in self.results),
            "folder": str(self.folder),
        }
