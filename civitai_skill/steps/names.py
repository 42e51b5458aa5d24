"""How the steps of a workflow are named here, so that whoever looks at one knows its chains.

`picture` draws, `enhance` rewords before it; what follows carries the number of its picture, such
as `upscale-1`.
"""

from __future__ import annotations

import re

PICTURE, ENHANCE = "picture", "enhance"

#: What may follow a picture, in this order, and how people call it.
STAGES = {
    "hires": "the second drawing",
    "upscale": "upscaling",
    "cutout": "removing the background",
    "svg": "drawing it as SVG",
    "convert": "converting it",
}
#: What gives words about a picture.
WORDS = ("caption", "tags", "rating")

_NAME = re.compile(rf"({'|'.join((*STAGES, *WORDS))})-([1-9]\d{{0,3}})")


def name_of(stage: str, number: int) -> str:
    """The name of a step that follows picture `number`, from 1."""
    return f"{stage}-{number}"


def parse_name(name: str) -> tuple[str, int] | None:
    """The stage and the picture's number in a name that was given here; None for another."""
    found = _NAME.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))
