"""A request decided with its sources open: the one way in which every door plans and fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from civitai_skill.engines import sources
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.planning.sources import named
from civitai_skill.engines.sizing import Size
from civitai_skill.images.sources import EVERY_SOURCE, Source, SourcePolicy, open_source
from civitai_skill.schema.request import ImageRequest


def plan_request(
    request: ImageRequest, policy: SourcePolicy = EVERY_SOURCE
) -> tuple[Plan, list[Source | str]]:
    """Open the sources and choose the form. Raises RequestInvalid."""
    opened = open_sources(request, policy)
    return plan(request, sources=source_sizes(request, opened)), opened


def open_sources(request: ImageRequest, policy: SourcePolicy = EVERY_SOURCE) -> list[Source | str]:
    """Open every source of a request, in the order of `named`. Raises RequestInvalid."""
    return [open_source(text, field, policy) for field, text in named(request)]


def source_sizes(request: ImageRequest, opened: Sequence[Source | str]) -> tuple[Size | None, ...]:
    """The pixels of the source pictures, without masks, styles and guides."""
    pictures = opened[: len(request.images)]
    return tuple(None if isinstance(source, str) else source.size for source in pictures)


def replace_sources(made: Plan, places: Sequence[str]) -> Plan:
    """The plan with every source as it travels; `places` are in the order of the opened ones."""
    return replace(made, form=sources.placed(made.form, places)) if places else made


def inline_sources(made: Plan, opened: Sequence[Source | str]) -> Plan:
    """The plan with every opened source inside it as a data URL."""
    return replace_sources(made, [s if isinstance(s, str) else s.data_url() for s in opened])
