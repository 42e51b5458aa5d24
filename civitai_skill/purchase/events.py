"""What a purchase tells on its way: the price, the submit, where it stands, each picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from civitai_skill.api.models import Progress, Workflow
from civitai_skill.engines.planning.plan import Plan
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.deliver import Picture
from civitai_skill.purchase.price import Priced


@dataclass(frozen=True)
class Quoted:
    """Told before a body is paid for that stands already: the service's price, and the limit
    (Buzz)."""

    price: int
    limit: int

    def __str__(self) -> str:
        return f"{self.price} Buzz, says the service (limit {self.limit})"


@dataclass(frozen=True)
class Submitting:
    """Told right before the submit leaves, with its idempotency key. Whoever hears it may raise a
    CivitaiError: then nothing is sent."""

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


Event = Priced | Quoted | Submitting | Submitted | Resumed | Progress | Picture
Tell = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Tell nobody."""
