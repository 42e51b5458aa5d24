"""One refused value, and how any value is shown in a message."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import Repr
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One refused value: which field, what was given, what is accepted, the nearest that works."""

    field: str
    given: Any
    accepted: str
    nearest: Any = None
    why: str = ""

    def sentence(self) -> str:
        given = "" if self.given is None else f" (given {preview(self.given)})"
        parts = [f"{self.field}: {self.why or 'not accepted'}{given}."]
        if self.accepted:
            parts.append(f"Accepted: {self.accepted}.")
        if self.nearest is not None:
            parts.append(f"Nearest that works: {preview(self.nearest)}.")
        return " ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        given = None if self.given is None else preview(self.given)
        out = {"field": self.field, "given": given, "accepted": self.accepted}
        return out if self.nearest is None else {**out, "nearest": self.nearest}


_BRIEF = Repr()
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 20
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 200


def preview(value: Any, limit: int = 80) -> str:
    """`value` as it may stand in a message: quoted, one line, about `limit` characters."""
    if isinstance(value, str) and len(value) > limit:
        value = f"{value[: limit - 20]}... ({len(value)} characters)"
    try:
        out = repr(value) if isinstance(value, str) else _BRIEF.repr(value)
    except ValueError:
        out = "a number without end"  # Python writes no more than 4300 digits
    return out if len(out) <= limit + 30 else out[:limit] + "..."
