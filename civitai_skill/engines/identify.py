"""Which engine and variant a step's input belongs to: the way back from the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.engines import catalog


def identify(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(engine, variant) of an input, (None, None) where no family knows it.

    Of several variants with the same form, the one with the most matching fixed values wins; a
    default model counts, so that a checkpoint names its variant.
    """
    if not isinstance(given.get("engine"), str):
        return None, None  # every form names its engine; a default must not stand in for it
    best: tuple[int, str, str] | None = None
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                form = way.form
                tags = {**form.tags(), **{form.alias(k): v for k, v in way.fixed.items()}}
                defaults = {f.alias or n: f.default for n, f in form.model_fields.items()}
                if any(given.get(k, defaults.get(k)) != v for k, v in tags.items()):
                    continue
                likely = {form.alias(k): v for k, v in way.default.items()}
                score = len(tags) * 10 + sum(given.get(k) == v for k, v in likely.items())
                if best is None or score > best[0]:
                    best = (score, family.name, variant.name)
    return (best[1], best[2]) if best else (None, None)
