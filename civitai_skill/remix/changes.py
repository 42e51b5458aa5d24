"""What became of a reading: the request, what is not as it was read, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.remix.reading import Reading


@dataclass(frozen=True)
class Change:
    """Something that is not as it was read: what, why, and what it became (None: left out)."""

    what: str
    why: str
    became: Any = None

    def as_dict(self) -> dict[str, str]:
        why = self.why if self.became is None else f"{self.why}; it became {self.became}"
        return {"what": self.what, "why": why}


@dataclass
class Fitted:
    """A request that was made of a reading. `refusal` says why it can't be bought as it is."""

    fields: dict[str, Any]
    changes: list[Change] = field(default_factory=list)
    unresolved: list[dict[str, Any]] = field(default_factory=list)
    refusal: RequestInvalid | None = None


def reason_of(error: RequestInvalid) -> str:
    """Why a form refuses a field, in one line."""
    problem: Problem = error.problems[0]
    owner = f"{error.engine}: " if error.engine else ""
    return f"{owner}{problem.why or 'not accepted'}"


def describe_hires(reading: Reading) -> str:
    """What to do in its place."""
    width, height, hires = reading.width, reading.height, reading.hires
    if "width" in hires:
        size = f" at {hires['width']}x{hires['height']}"
    elif width and height and hires.get("scale"):
        scale = float(hires["scale"])
        size = f" at {round(width * scale)}x{round(height * scale)}"
    else:
        size = ""
    strength = f" with strength {hires['denoise']:g}" if "denoise" in hires else ""
    return f"there is no second pass: make the picture, then a variant of it{size}{strength}"
