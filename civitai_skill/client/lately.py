"""What was bought a moment ago: the service has it, whatever a look answers."""

from __future__ import annotations

import time

from civitai_skill.api import wait as waiting
from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service
from civitai_skill.errors import ApiError
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.reports import JUST_BOUGHT
from civitai_skill.purchase import generate


class Lately:
    """Remembers what this client bought; the ledger knows what others did."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def note(self, workflow_id: str) -> None:
        """It was bought just now."""
        now = time.monotonic()
        self._at[workflow_id] = now
        while (oldest := next(iter(self._at))) and now - self._at[oldest] > JUST_BOUGHT:
            del self._at[oldest]

    def knows(self, ledger: Ledger | None, workflow_id: str) -> Flow[bool]:
        """Was it just bought, here or by another process?"""
        if time.monotonic() - self._at.get(workflow_id, -JUST_BOUGHT) < JUST_BOUGHT:
            return True
        return (yield from generate.ask(ledger, Ledger.is_just_bought, workflow_id))

    def look(
        self, service: Service, ledger: Ledger | None, workflow_id: str, held: float = 0.0
    ) -> Flow[Workflow]:
        """Read a workflow; one that was just bought is looked for again where a look fails."""
        paid = yield from generate.ask(ledger, Ledger.is_paid, workflow_id)
        try:
            return (yield from workflows.get(service, workflow_id, wait=held, committed=paid))
        except ApiError:
            if not (yield from self.knows(ledger, workflow_id)):
                raise
            unseen, until = Workflow(workflow_id, "unknown"), time.monotonic() + waiting.LAG
            seen = yield from waiting.look_until(
                service, unseen, lambda seen: seen is not unseen, until=until
            )
            if seen is unseen:
                raise
            return seen
