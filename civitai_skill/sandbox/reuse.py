"""Outputs that identical steps share: deterministic steps that delivered cost nothing again."""

from __future__ import annotations

from typing import Any

from civitai_skill.sandbox import life
from civitai_skill.sandbox.memory import Memory

Record = dict[str, Any]


def keep(memory: Memory, record: Record, place: int) -> None:
    """Remember where a step's outputs will be, where another like it may have them."""
    step = record["steps"][place]
    whole = not (step["missing"] or step["blocked"] or step["mature"] or step["cached"])
    if step["digest"] and step["fate"] == "succeeded" and whole:
        memory.add_reusable(record["user"], step["digest"], record["id"], place)


def find(memory: Memory, user: int, digest: str, now: float) -> Record | None:
    """The outputs of an identical step that has delivered by now."""
    for workflow, place in memory.reusable(user, digest):
        record = memory.workflow(user, workflow, deleted=True)
        step = None if record is None else record["steps"][place]
        if record is not None and step is not None and life.delivered(record, step, now):
            return {"outputs": step["outputs"], "sizes": step["sizes"]}
    return None
