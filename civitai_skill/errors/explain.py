"""An error of the tree as every outside interface tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.errors import CivitaiError, Spent
from civitai_skill.errors.next_steps import Render, in_python

_SPENT_WORDS: Mapping[Spent, str] = {
    "no": "No Buzz was spent.",
    "yes": "Buzz is committed for this workflow.",
    "unknown": "It is not known whether Buzz was spent.",
}


@dataclass(frozen=True)
class Explanation:
    """An error, ready for a person or a model."""

    code: str
    message: str
    hint: str
    spent: Spent
    exit_code: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        # The hint comes last and keeps its end, because it may be a command to copy.
        message = self.message.strip()
        end = "" if message[-1] in ".!?:" else "."
        return f"{message}{end} {_SPENT_WORDS[self.spent]} {self.hint}".strip()

    def as_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("code", "message", "hint", "spent")}
        return {**own, **self.details}


def explain(error: CivitaiError, render: Render = in_python) -> Explanation:
    """The one value that every outside interface tells of an error; `render` says a next step in
    the words of that interface."""
    hint = error.hint_by(render)
    return Explanation(
        error.code, error.message, hint, error.spent, error.exit_code, error.details()
    )
