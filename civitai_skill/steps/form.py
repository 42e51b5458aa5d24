"""The base of every step's wire form, and the references by which one step takes what another gave.

As with engines, attributes carry plain names, aliases are the JSON, and types, ranges and enums are
the published document's. What a step gives stands at `gives` in the service's answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from civitai_skill.engines.forms import WireObject
from civitai_skill.engines.sizing import Size
from civitai_skill.engines.sources import picture_of

#: May be left out, but not be null.
ABSENT: Any = None


class StepForm(WireObject):
    """What every step has."""

    #: The service's `$type`.
    kind: ClassVar[str]
    #: Where its output holds what it gives: a picture's blob, or a text.
    gives: ClassVar[str]
    #: Is it a picture of pixels that it gives?
    raster: ClassVar[bool] = False
    #: What it does, for people.
    does: ClassVar[str]
    #: The documented price, for people; the rule itself is `buzz`.
    charges: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def source(cls) -> str | None:
        """The wire name of the field that takes the picture; None where it takes none."""
        name = picture_of(cls)
        return None if name is None else cls.alias(name)

    @classmethod
    def result(cls) -> str:
        """The path by which a later step takes what this one gives."""
        return f"{cls.gives}.url" if cls.raster else cls.gives

    def buzz(self, source: Size) -> int | None:
        """The documented price for a picture of these pixels (Buzz); None where there is none."""
        return 1

    def drawn(self, source: Size) -> Size:
        """The pixels of what it gives, from the pixels of what it takes."""
        return source


@dataclass(frozen=True)
class Ref:
    """What another step gives, in place of a value.

    The two-key form: the site's own checker refuses a `$ref` without a path (upstream facts 2.1).
    """

    step: str
    path: str

    def to_json(self) -> dict[str, str]:
        return {"$ref": self.step, "path": self.path}
