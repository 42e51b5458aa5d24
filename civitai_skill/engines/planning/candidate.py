"""One way that may carry a request: what every decision about it looks at."""

from __future__ import annotations

from dataclasses import dataclass

from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.sizing import Size
from civitai_skill.schema.request import ImageRequest


@dataclass(frozen=True)
class Candidate:
    """A request and the way it may go.

    `sources` are the pixel sizes of its pictures as far as they are known; the first one decides
    the shape and the pixels of what is made from them.
    """

    request: ImageRequest
    family: Family
    variant: Variant
    way: Way
    sources: tuple[Size | None, ...] = ()

    @property
    def owner(self) -> str:
        """Who refuses: the engine and variant, and the route where there are several."""
        owner = f"{self.family.name} {self.variant.name}"
        several = len(self.variant.routes()) > 1
        return f"{owner} (route {self.way.form.route()})" if several else owner
