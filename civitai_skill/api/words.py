"""What steps give that is no picture: enhanced prompts, captions, tags, ratings.

It is text of somebody else's model, and so untrusted: bounded, and without what moves a terminal's
cursor or hides what it says.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from civitai_skill.api.parse import read
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.media_rating import Rating
from civitai_skill.steps.names import parse_name
from civitai_skill.steps.prompt_enhancement import Enhancement
from civitai_skill.steps.wd_tagging import Tagging

#: The steps that give words.
KINDS = frozenset(form.kind for form in (Enhancement, Captioning, Tagging, Rating))

#: Characters of one text, parts of one list or object, and how deep they lie.
_LONGEST, _MOST, _DEEPEST = 20_000, 1000, 4
#: Unicode categories that show nothing and may mislead: control, format, surrogate, private.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co"})
#: Which of the format characters are part of ordinary writing: joiners of scripts and emoji.
_JOINERS = frozenset("\u200c\u200d")


def read_outputs(steps: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What each step that gives words came to; those about a picture name it."""
    found = []
    for step in steps:
        output = read(step, "output", dict)
        if step.get("$type") in KINDS and output:
            named = parse_name(read(step, "name", str))
            about = {} if named is None else {"picture": named[1]}
            found.append({**about, **_clean(output, _DEEPEST)})
    return tuple(found)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, Mapping) and depth:
        some = list(value.items())[:_MOST]
        return {_clean_text(str(name)): _clean(part, depth - 1) for name, part in some}
    if isinstance(value, list) and depth:
        return [_clean(part, depth - 1) for part in value[:_MOST]]
    # Beyond 2**53 a number is no count of anything; a bool is a small one.
    return value if isinstance(value, int | float) and abs(value) < 2**53 else None


def _clean_text(text: str) -> str:
    """A text that shows all it says, on as many lines as it has, of a bounded length."""
    shown = "".join(
        c
        for c in text[:_LONGEST]
        if c in "\n\t" or c in _JOINERS or unicodedata.category(c) not in _HIDDEN
    )
    return shown if len(text) <= _LONGEST else f"{shown}..."
