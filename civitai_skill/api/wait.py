"""Wait for a workflow: until it ends, until its pictures are there, until a change shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from civitai_skill.api.models import Workflow
from civitai_skill.api.progress import Progress
from civitai_skill.api.service import Flow, Service
from civitai_skill.api.workflows import get
from civitai_skill.errors import ApiError, BadRequest, StillRunning, TransportFailed
from civitai_skill.errors.next_steps import Look

#: Seconds of one long-poll. The service's own limit for a request is 100 s; its widget uses 90.
LONG_POLL = 60.0
#: Shorter while somebody watches, so that the progress moves.
WATCHED_POLL = 10.0
#: Seconds by which the service may lag behind itself: a workflow that succeeded shows its pictures
#: so much later at most, and so does a change.
LAG = 20.0


def wait(
    service: Service,
    workflow: Workflow | str,
    *,
    timeout: float,
    tell: Callable[[Progress], None] | None = None,
    just_bought: bool = False,
    wanted: int = 0,
    until: Callable[[Workflow], bool] | None = None,
    started: float | None = None,
) -> Flow[Workflow]:
    """Wait until a workflow ends, or until `until` says so of it. Raises StillRunning at the
    deadline, `timeout` seconds after it `started` (of `service.now`); never cancels.

    Long-polls; where the service answers early without being finished a gap is kept (1 s, then half
    the time already waited, at most 30 s), so that one that ignores `wait` is not flooded.

    Of one that was `just_bought` it is known that the service has it: whatever a look answers, it
    is looked for until the deadline, and its pictures (`wanted` or more) are waited for.
    """
    now = service.now
    started = now() if started is None else started
    deadline = started + timeout
    latest = None if isinstance(workflow, str) else workflow
    workflow_id = workflow if isinstance(workflow, str) else workflow.id or ""
    poll = WATCHED_POLL if tell is not None else LONG_POLL
    gap, trouble = 0.0, ""
    while latest is None or not latest.done:
        if latest is not None:
            if until is not None and until(latest):
                return latest
            if tell is not None:
                tell(latest.progress)
            if now() >= deadline:
                raise still_running_error(latest, timeout, trouble)
        if gap:
            yield min(gap, max(0.0, deadline - now()))
        asked = min(poll, max(0.0, deadline - now()))
        sent = now()
        try:
            latest = yield from get(
                service, workflow_id, wait=asked, give_up_at=deadline, committed=True
            )
            trouble = ""
        except (TransportFailed, ApiError) as error:
            if isinstance(error, BadRequest) and poll > 0:
                poll = 0.0  # an old deployment takes no number here; ask without
                continue
            trouble = error.message
            latest = latest or Workflow(workflow_id, "unknown")
            if now() >= deadline:
                raise still_running_error(latest, timeout, trouble) from None
            if not just_bought or isinstance(error, TransportFailed):
                raise
        early = now() - sent < asked - 0.5 or asked < 1
        waited = now() - started
        gap = min(30.0, max(1.0, waited / 2)) if early or trouble else 0.0
    if not just_bought or _has_pictures(latest, wanted):
        return latest
    last, shows = min(deadline, now() + LAG), partial(_has_pictures, wanted=wanted)
    return (yield from look_until(service, latest, shows, until=last))


def _has_pictures(workflow: Workflow, wanted: int) -> bool:
    """Is everything there that a workflow brings, or said why it is not?"""
    if workflow.status != "succeeded":
        return True
    if workflow.wanted == 0:
        return bool(workflow.outputs)
    return len(workflow.images) >= max(wanted, workflow.wanted) and all(
        i.deliverable
        or (i.held and i.nsfw_level is not None)  # a mature one tells its level
        or i.blocked_reason is not None
        or i.step_errors
        for i in workflow.images
    )


def look_until(
    service: Service, seen: Workflow, shows: Callable[[Workflow], bool], *, until: float
) -> Flow[Workflow]:
    """Look again until a look `shows` it, or until then (of `service.now`); gives the last look."""
    attempt = 0
    while not shows(seen):
        attempt += 1
        pause = service.retry.pause(attempt)
        if pause is None or service.now() + pause > until:
            break
        yield pause
        try:
            seen = yield from get(service, seen.id or "", committed=True, give_up_at=until)
        except (TransportFailed, ApiError):
            continue
    return seen


def still_running_error(workflow: Workflow, timeout: float, trouble: str = "") -> StillRunning:
    """The error at the caller's deadline: the id, the next call, and that the Buzz is committed."""
    last = f" The last look failed: {trouble}" if trouble else ""
    return StillRunning(
        f"Workflow {workflow.id} is still running after {timeout:g} s ({workflow.progress}).{last}",
        workflow=workflow,
        advice="It goes on, and nothing was canceled.",
        next=[Look(workflow.id)],
    )
