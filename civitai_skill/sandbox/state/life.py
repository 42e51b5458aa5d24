"""Where a workflow stands: computed from its record and the clock, never stored.

A step's record holds five moments (`at`): created, preparing, scheduled, processing, ended. The
last is when its `fate` comes true. A canceled workflow holds the moment of that as well.
"""

from __future__ import annotations

from itertools import accumulate

from civitai_skill.sandbox.wire import Record

TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled"})
RUNNING = ("unassigned", "preparing", "scheduled", "processing")

#: Seconds from submit to end when nothing else is said: quick enough for a command, long enough to
#: see every state when asked for.
SECONDS_PER_JOB = 0.4

# How those seconds divide: queue, preparation of the model, queue again, rendering.
_SHARES = (0.1, 0.2, 0.1, 0.6)

# A service's step that nobody finishes runs into its time-out (00:20:00 where none is given).
TIMEOUT = 1200.0

# What a wedged job was seen to report for ever (civitai-api facts, section 3).
_WEDGED = 3e-5


def schedule(
    begin: float, seconds: float, timeout: float = TIMEOUT, *, stuck: bool = False
) -> list[float]:
    """The five moments of a step, cut short by its time-out, which one that is stuck runs into."""
    end, at = begin + timeout, accumulate((share * seconds for share in _SHARES), initial=begin)
    *before, last = (min(moment, end) for moment in at)
    return [*before, end if stuck else last]


def step_status(record: Record, step: Record, now: float) -> str:
    canceled, at = record["canceled"], step["at"]
    if canceled is not None and canceled <= now and (record["whatif"] or canceled < at[4]):
        return "canceled"
    if record["whatif"]:
        return "unassigned"
    if now >= at[4]:
        return str(step["fate"])
    return RUNNING[max(i for i in range(4) if at[i] <= now or i == 0)]


def status(record: Record, now: float) -> str:
    """The workflow's status: that of the step which says most."""
    found = [step_status(record, step, now) for step in record["steps"]]
    running = [s for s in found if s not in TERMINAL]
    if running:
        return max(running, key=RUNNING.index) if len(running) == len(found) else "processing"
    return next((s for s in ("failed", "expired", "canceled") if s in found), "succeeded")


def is_over(record: Record, now: float) -> bool:
    return status(record, now) in TERMINAL


def ends(record: Record, *steps: Record) -> float:
    """When the workflow is over, as things stand; with `steps`, when those are."""
    canceled, of = record["canceled"], steps or record["steps"]
    end = max((float(step["at"][4]) for step in of), default=float(record["created"]))
    return end if canceled is None else min(end, canceled)


def started(record: Record, step: Record, now: float) -> float | None:
    """When a step left the queue, if it has."""
    began = float(step["at"][1])
    is_waiting = record["whatif"] or began > now or (record["canceled"] or now) < began
    return None if is_waiting else began


def progress(record: Record, step: Record, now: float) -> float | None:
    """estimatedProgressRate: of the model's download, then of the picture, else None."""
    at, state = step["at"], step_status(record, step, now)
    if state == "processing" and step["stuck"]:
        return _WEDGED
    if state not in ("preparing", "processing"):
        return None
    begin, end = at[1:3] if state == "preparing" else at[3:5]
    return float(round((now - begin) / (end - begin), 4))


def delivers(step: Record, index: int) -> bool:
    """Does a step that succeeds bring this picture?"""
    return index < len(step["outputs"]) - int(step["missing"]) and step["blocked"] is None


def is_available(record: Record, step: Record, index: int, now: float) -> bool:
    """Is there a picture behind the address?"""
    return step_status(record, step, now) == "succeeded" and delivers(step, index)
