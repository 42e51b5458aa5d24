"""Change a workflow; a change is done when a look shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.models import Workflow
from civitai_skill.api.parse import read_answer
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import Flow, Service
from civitai_skill.api.wait import LAG, look_until
from civitai_skill.api.workflows import WORKFLOWS, encode_body, get
from civitai_skill.errors import ApiError, StillRunning, TransportFailed
from civitai_skill.errors.next_steps import Look


@dataclass(frozen=True)
class Canceled:
    """What a cancel came to. `refunded` is Buzz; `was_done` says that it had ended before."""

    workflow: Workflow
    refunded: int
    was_done: bool

    def __str__(self) -> str:
        if self.was_done:
            return f"{self.workflow.id} had ended already ({self.workflow.status})"
        return f"{self.workflow.id}: {self.workflow.status}, {self.refunded} Buzz refunded"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.workflow.id,
            "status": self.workflow.status,
            "refunded": self.refunded,
            "was_done": self.was_done,
            "cost": self.workflow.cost.as_dict(),
        }


def update(
    service: Service,
    workflow_id: str,
    change: Mapping[str, Any],
    *,
    pays: bool = False,
    committed: bool = False,
) -> Flow[None]:
    """Change a workflow (PUT); `pays` says that the change costs Buzz, `committed` that the
    workflow did."""
    request = service.request(
        "PUT", f"{WORKFLOWS}/{quote(workflow_id, safe='')}", content=encode_body(change)
    )
    purpose = Purpose(
        f"changing workflow {workflow_id}", paid=workflow_id if committed else None, pays=pays
    )
    yield from send_with_retry(service, request, purpose, read=_read_taken)


def _read_taken(response: httpx.Response) -> Any:
    """What the service answers, {} where it says nothing; None for a network's sign-in page."""
    if not response.is_success:
        return None
    return read_answer(response, object) if response.content else {}


def look_until_changed(
    service: Service, workflow_id: str, shows: Callable[[Workflow], bool]
) -> Flow[Workflow]:
    """Look at a workflow that was changed until a look `shows` it.

    Raises StillRunning where none does in time; `spent` is "unknown" then.
    """
    seen = yield from get(service, workflow_id, committed=True)
    seen = yield from look_until(service, seen, shows, until=service.now() + LAG)
    if shows(seen):
        return seen
    raise StillRunning(
        f"The change was sent, but workflow {workflow_id} does not show it ({seen.progress}).",
        workflow=seen,
        spent="unknown",
        advice="It may take a moment; look before you ask for it again.",
        next=[Look(workflow_id)],
    )


def cancel(service: Service, workflow_id: str, *, committed: bool = False) -> Flow[Canceled]:
    """Cancel a workflow and read what was refunded; `committed` says that it is known as paid.

    What a cancel of a finished workflow answers is not documented. So whatever it answers, a look
    decides. Raises StillRunning where no look shows an end.
    """
    before = yield from get(service, workflow_id, committed=committed)
    if before.done:
        return Canceled(before, 0, was_done=True)
    try:
        yield from update(service, workflow_id, {"status": "canceled"}, committed=True)
    except (TransportFailed, ApiError):
        after = yield from get(service, workflow_id, committed=True)
        if not after.done:
            raise
    else:
        try:
            after = yield from look_until_changed(service, workflow_id, lambda seen: seen.done)
        except (TransportFailed, ApiError) as error:
            raise error.replace(
                message=f"The cancel was taken, but what came back is not known. {error.message}",
                advice="",
                next=(Look(workflow_id),),
                spent="unknown",
                workflow_id=workflow_id,
            ) from None
    refunded = sum(after.cost.refunded.values()) - sum(before.cost.refunded.values())
    return Canceled(after, refunded, was_done=after.status != "canceled")
