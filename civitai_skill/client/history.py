"""Past workflows as compact rows, and the dates that people give."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Retry
from civitai_skill.config import Settings
from civitai_skill.engines.catalog import identify
from civitai_skill.errors import ApiError, CivitaiError, ConfigError, Problem, RequestInvalid

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PROMPT = 80
_TAGS = 10


def history_row(workflow: Workflow) -> dict[str, Any]:
    """A workflow in one line: what it was, what it cost (Buzz), how many pictures are there."""
    engine, variant = identify(workflow.input)
    prompt = workflow.input.get("prompt")
    blocked = workflow.fruitless and any(image.blocked_reason for image in workflow.images)
    return {
        "id": workflow.id,
        "created": workflow.created_at,
        "status": "blocked" if blocked else workflow.status,
        "engine": engine,
        "variant": variant,
        "cost": workflow.cost.total,
        "images": sum(image.deliverable for image in workflow.images),
        "prompt": shorten(prompt) if isinstance(prompt, str) else "",
        "tags": [tag[:_PROMPT] for tag in workflow.tags[:_TAGS]],
    }


#: How many purchases a history asks the service about.
_MOST_LOOKS = 10


def look_up_ends(settings: Settings, rows: list[dict[str, Any]]) -> None:
    """Ask the service what became of rows of the ledger whose end nobody here waited for; where it
    gives no answer at once, they stay as they are."""
    from civitai_skill.client.clients import Civitai

    open_ = [r for r in rows if r["state"] == "closed" and r["status"] is None and r["workflow"]]
    if not open_:
        return
    with suppress(ConfigError), Civitai(settings=settings, retry=Retry(tries=1)) as client:
        for row in open_[:_MOST_LOOKS]:
            try:
                workflow = client.get(row["workflow"])
            except ApiError:
                continue  # of another account, or too old
            except CivitaiError:
                return
            kept = row["cost"] if workflow.cost.kept is None else workflow.cost.kept
            reason = "; ".join(workflow.reasons()) or None
            row |= {"status": workflow.status, "cost": kept, "reason": reason}


def shorten(prompt: str) -> str:
    """A prompt in one short line."""
    text = " ".join(prompt.split())
    return text if len(text) <= _PROMPT else text[: _PROMPT - 3] + "..."


def parse_since(text: str | None, now: datetime | None = None) -> str | None:
    """An ISO time from "7d", "12h", "30m", "2w", "today" (since midnight here) or an ISO date.

    Raises RequestInvalid.
    """
    if text is None:
        return None
    moment = now or datetime.now(UTC)
    if text.strip().lower() == "today":
        text = moment.astimezone().replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
    short = re.fullmatch(r"(\d{1,4})([mhdw])", text.strip())
    try:
        if short:
            when = moment - timedelta(**{_UNITS[short[2]]: int(short[1])})
        else:
            when = datetime.fromisoformat(text.strip())
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        utc = when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RequestInvalid(
            Problem("since", text, "7d, 12h, 30m, 2w, today, or an ISO date such as 2026-11-01")
        ) from None
    return utc.isoformat(timespec="seconds").replace("+00:00", "Z")
