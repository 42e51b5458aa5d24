"""A request decided with its sources open: the one way in which every door plans and fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from civitai_skill.engines.plan import Plan, plan
from civitai_skill.engines.sizes import Size
from civitai_skill.images.sources import (
    EVERY_SOURCE,
    Source,
    SourcePolicy,
    guide_sources,
    open_sources,
)
from civitai_skill.schema.request import ImageRequest


def plan_request(
    request: ImageRequest, policy: SourcePolicy = EVERY_SOURCE
) -> tuple[Plan, list[Source | str]]:
    """Open the sources and choose the form. Raises RequestInvalid."""
    opened = open_sources(request, policy)
    return plan(request, sources=source_sizes(request, opened)), opened


def source_sizes(request: ImageRequest, opened: Sequence[Source | str]) -> tuple[Size | None, ...]:
    """The pixels of the source pictures, without what guides a control net."""
    pictures = opened[: len(request.images)]
    return tuple(None if isinstance(source, str) else source.size for source in pictures)


def replace_sources(made: Plan, places: Sequence[str]) -> Plan:
    """The plan with every source as it travels; `places` are in the order of the opened ones."""
    left = iter(places)
    fields = type(made.form).model_fields
    update: dict[str, Any] = {}
    if made.operation != "create":
        if "images" in fields:
            update["images"] = [next(left) for _ in getattr(made.form, "images", ())]
        else:
            update["image"] = next(left)
    nets = getattr(made.form, "control_nets", ())
    if nets:
        update["control_nets"] = [net.model_copy(update=_replace_guides(net, left)) for net in nets]
    return replace(made, form=made.form.model_copy(update=update)) if update else made


def _replace_guides(net: Any, left: Iterator[str]) -> dict[str, str]:
    return {part: next(left) for part, _ in guide_sources({"image": net.image, "mask": net.mask})}


def inline_sources(made: Plan, opened: Sequence[Source | str]) -> Plan:
    """The plan with every opened source inside it as a data URL."""
    return replace_sources(made, [s if isinstance(s, str) else s.data_url() for s in opened])
