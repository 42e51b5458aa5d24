"""What a purchase tells on its way: the price, the submit, where it stands, each picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from civitai_skill.delivery import Picture
from civitai_skill.engines.plan import Plan
from civitai_skill.ledger import Run
from civitai_skill.pricing import Priced
from civitai_skill.workflow import Progress, Workflow


@dataclass(frozen=True)
class Submitting:
    """Told right before the submit leaves, with its idempotency key."""

    key: str


@dataclass(frozen=True)
class Submitted:
    """Told when the service has taken the workflow: from here on Buzz is committed."""

    workflow: Workflow
    #: None where the caller wrote the body.
    plan: Plan | None


@dataclass(frozen=True)
class Resumed:
    """Told when an earlier purchase is taken up again instead of buying anew."""

    run: Run

    def __str__(self) -> str:
        what = self.run.workflow or f"key {self.run.key}"
        return f"Going on with an earlier purchase ({what}); nothing is bought anew."


Event = Priced | Submitting | Submitted | Resumed | Progress | Picture
Tell = Callable[[Event], None]


def silent(event: Event) -> None:
    """Tell nobody."""
