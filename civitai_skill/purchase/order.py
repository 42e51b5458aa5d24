"""What is to be bought and under which rules, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from civitai_skill.api.models import Workflow
from civitai_skill.images.save import Label
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import Planned
from civitai_skill.storage.cache import Cache

Keep = Callable[[str, bytes], None]


#: Purchases that came to their end, each with its ledger and key.
Unconfirmed = list[tuple[Ledger, str]]


def keep_nothing(key: str, content: bytes) -> None:
    """Forget a submit of unknown fate; a ledger has it."""


@dataclass(frozen=True)
class WorkflowBody:
    """A workflow of the service's own form (schema WorkflowTemplate), bought under the same rules
    as a request. Its price is always asked of the service."""

    body: Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """A purchase and the rules for it.

    `out` is the folder of its pictures (None: it is submitted only). `limit` is Buzz for this call,
    `budget` for all calls together. `again` buys anew whatever is open. `joins` says what happens
    to the same request while this process itself is still making it: True reports it (a caller that
    repeats itself), False buys it too (a program that wants several). `unpriced` lets a price
    through that nobody tells, `quoted` is the service's price where it was asked already (Buzz);
    `sources` says which sources may be named. `purpose` is for the
    ledger's reader; `account` tells accounts and services apart; `apart` False says that the
    caller's key alone names a purchase, whatever the account. `label` names the pictures; with
    `notes` each gets its sidecar, even without a label; with `keep_all` those from before the last
    step come home too. `keep` gets the key and bytes of a submit whose fate stayed unknown. A
    workflow that is charged above `most` (Buzz; None: above the limit) is canceled. `unconfirmed`
    gets a purchase that came to its end, instead of the ledger closing it: its caller has no answer
    yet. Those that stand there when the next one begins are closed. After `deadline`
    (time.monotonic) nothing is uploaded, priced or submitted once more. `models` keeps what the
    site said of models; `told` and `warned` are what was found of those that are named.
    """

    asked: ImageRequest | FinishRequest | WorkflowBody
    terms: Terms = field(default_factory=Terms)
    limit: int = 0
    out: Path | None = None
    ledger: Ledger | None = None
    budget: Budget | None = None
    account: str = ""
    apart: bool = True
    purpose: str = "python"
    again: bool = False
    joins: bool = False
    unpriced: bool = False
    quoted: int | None = None
    sources: SourcePolicy = EVERY_SOURCE
    tell: Tell = ignore_event
    label: Label | None = None
    notes: bool = False
    keep_all: bool = False
    keep: Keep = keep_nothing
    most: int | None = None
    deadline: float | None = None
    unconfirmed: Unconfirmed | None = None
    models: Cache | None = None
    told: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()

    def is_overcharged(self, purchase: Purchase, workflow: Workflow) -> bool:
        """Did the service charge more for a new purchase than it may cost?"""
        most = self.limit if self.most is None else self.most
        return not purchase.resumed and (workflow.cost.total or 0) > most


@dataclass(frozen=True)
class Purchase:
    """What an order came to: the workflow, the plan (None where the caller wrote the body), and the
    run that it is written under, where there is a ledger."""

    workflow: Workflow
    plan: Planned | None
    run: Run
    resumed: bool = False
