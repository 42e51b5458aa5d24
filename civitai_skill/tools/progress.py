"""What a purchase tells on its way, as small data and in words, for interfaces that stream it."""

from __future__ import annotations

from typing import Any

from civitai_skill.api.progress import Progress
from civitai_skill.purchase.events import Event, Submitted, Submitting
from civitai_skill.purchase.result import Picture


def event_data(event: Event) -> dict[str, Any]:
    """An event as JSON data: its kind (`event`), `message`, and what there is of id, percent and
    path. Never the idempotency key."""
    data: dict[str, Any] = {"event": type(event).__name__.lower()}
    match event:
        case Submitting():
            data["message"] = "submitting"
        case Submitted(workflow):
            data |= {"message": f"submitted as {workflow.id}", "id": workflow.id}
        case Picture(path):
            data |= {"message": f"saved {path}", "path": None if path is None else str(path)}
        case Progress(percent=percent):
            data |= {"message": str(event), "percent": percent}
        case _:
            data["message"] = str(event)
    return data
