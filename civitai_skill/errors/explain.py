"""An error of the tree as every outside interface tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.errors import CivitaiError, Spent

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
        told = f"{_end_sentence(self.message.strip())} {_SPENT_WORDS[self.spent]}"
        return f"{told} {self.hint}" if self.hint else told

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "spent": self.spent,
            **self.details,
        }


def _end_sentence(sentence: str) -> str:
    return sentence if sentence[-1] in ".!?:" else f"{sentence}."


def explain(error: CivitaiError) -> Explanation:
    """Turn an error of the tree into the one value that every outside interface renders."""
    return Explanation(
        error.code, error.message, error.hint, error.spent, error.exit_code, error.details()
    )
