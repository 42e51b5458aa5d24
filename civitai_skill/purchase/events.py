"""What a purchase tells on its way: the price, the submit, where it stands, each picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from civitai_skill.api.models import Workflow
from civitai_skill.api.progress import Progress
from civitai_skill.api.workflows import Quote
from civitai_skill.engines.planning.plan import Price
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.result import Picture
from civitai_skill.steps.chain import Planned


@dataclass(frozen=True)
class Priced:
    """Told before anything is paid: the documented price, and the service's where it was asked."""

    plan: Planned
    price: Price
    quote: Quote | None
    limit: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """Ours and the service's."""
        told = () if self.quote is None else self.quote.warnings
        return tuple(dict.fromkeys([*self.plan.warnings, *map(str, told)]))

    def __str__(self) -> str:
        who = self.plan.title
        if self.quote is not None and self.quote.total is not None:
            most = "at most " if self.quote.cost.variable else ""
            return f"{who}: {most}{self.quote.total} Buzz, {self.quote.teller} (limit {self.limit})"
        if self.price.buzz is None:
            told = self.price.note or "the price is not documented"
            return f"{who}: {told} (limit {self.limit} Buzz)"
        return f"{who}: {self.price}, by the documented rule (limit {self.limit})"


@dataclass(frozen=True)
class Asking:
    """Told before the service is asked for the price of something with source pictures: it fetches
    each of them first (about 20 s each, civitai-api facts 1.4)."""

    pictures: int
    seconds: float

    def __str__(self) -> str:
        what = "a source picture" if self.pictures == 1 else f"{self.pictures} source pictures"
        return f"asking for the price with {what}; this may take {self.seconds:.0f} s"


@dataclass(frozen=True)
class Charged:
    """Told when the service charged more than was expected (Buzz)."""

    workflow: Workflow
    expected: int
    charged: int

    def __str__(self) -> str:
        return (
            f"The service charged {self.charged} Buzz for {self.workflow.id}; "
            f"{self.expected} were expected."
        )


@dataclass(frozen=True)
class LeftOpen:
    """Told before the same is bought anew although an earlier purchase of it is still open."""

    run: Run

    def __str__(self) -> str:
        what = self.run.workflow or f"key {self.run.key}"
        when = datetime.fromtimestamp(self.run.created).astimezone().isoformat(" ", "minutes")
        return (
            f"An earlier purchase of the same ({what}, {when}) was never finished; this is bought "
            "anew."
        )


@dataclass(frozen=True)
class Quoted:
    """Told before a body is paid for that was written elsewhere, or is sent once more: the
    service's price, and the limit (Buzz)."""

    price: int
    limit: int
    #: The service's.
    warnings: tuple[str, ...] = ()
    teller: str = "says the service"

    def __str__(self) -> str:
        return f"{self.price} Buzz, {self.teller} (limit {self.limit})"


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
    plan: Planned | None


@dataclass(frozen=True)
class Resumed:
    """Told when an earlier purchase is taken up again instead of buying anew."""

    run: Run

    def __str__(self) -> str:
        what = self.run.workflow or f"key {self.run.key}"
        return f"Going on with an earlier purchase ({what}); nothing is bought anew."


@dataclass(frozen=True)
class Releasing:
    """Told before a held mature result is paid for: what it costs, in yellow Buzz."""

    workflow: Workflow
    price: int | None

    def __str__(self) -> str:
        cost = "an unknown number of" if self.price is None else str(self.price)
        return f"releasing {self.workflow.id} costs {cost} yellow Buzz; what was paid comes back"


Event = (
    Priced
    | Asking
    | Quoted
    | Submitting
    | Submitted
    | Resumed
    | LeftOpen
    | Charged
    | Progress
    | Picture
)
Tell = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Listen to nothing."""
