"""Which workflow bodies of the service's own form a server takes: pictures and their finishing.

Everything else that the service can do (video, training, graphs of one's own) has prices and
dangers that nothing here knows, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid

#: Step types of the published document.
STEPS = (
    "imageGen",
    "imageUpscaler",
    "imageBackgroundRemoval",
    "convertImage",
    "promptEnhancement",
)


def taken(body: Any) -> dict[str, Any]:
    """The body, when each of its steps is one that is taken. Raises RequestInvalid."""
    steps = body.get("steps") if isinstance(body, Mapping) else None
    if not isinstance(steps, list) or not steps:
        accepted = 'a workflow template: {"steps": [{"$type": "imageGen", "input": {...}}], ...}'
        raise RequestInvalid(Problem("body", body, accepted))
    problems = [problem for i, step in enumerate(steps) for problem in _refused(i, step)]
    if problems:
        raise RequestInvalid(*problems[:_MOST_PROBLEMS])
    return dict(body)


_MOST_PROBLEMS = 5


def _refused(i: int, step: Any) -> list[Problem]:
    if not isinstance(step, Mapping):
        return [Problem(f"steps.{i}", step, "an object with a $type and an input")]
    kind = step.get("$type")
    if isinstance(kind, str) and kind in STEPS:
        return []
    why = "only pictures and their finishing are made here"
    return [Problem(f"steps.{i}.$type", kind, "one of " + ", ".join(STEPS), None, why)]


def named(body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """The body under the caller's idempotency key. Raises RequestInvalid for two that differ."""
    own = body.get("externalId")
    if key is not None and own is not None and own != key:
        accepted = "the same key as the Idempotency-Key, or none"
        raise RequestInvalid(Problem("externalId", own, accepted))
    return dict(body) if key is None else {**body, "externalId": key}


def is_template(body: Mapping[str, Any]) -> bool:
    """Is it a workflow of the service's own form, and not a request with a number of steps?"""
    return "steps" in body and ("prompt" not in body or isinstance(body["steps"], list))
