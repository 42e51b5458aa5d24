"""One way that may carry a request: what every decision about it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import Limit, limits
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
    def form(self) -> type[Wire]:
        return self.way.form

    @property
    def known(self) -> Mapping[str, Limit]:
        """The form's limits by attribute name."""
        return limits(self.way.form)

    @property
    def owner(self) -> str:
        """Who refuses: the engine and variant, and the route where there are several."""
        owner = f"{self.family.name} {self.variant.name}"
        several = len(self.variant.routes()) > 1
        return f"{owner} (route {self.form.route()})" if several else owner
