"""The index of the engines, made from their files: what `index.py` reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.describe import QUALITIES, probe
from civitai_skill.engines.family import NEEDS, Family, Variant
from civitai_skill.engines.limits import limits
from civitai_skill.engines.published.document import key_of
from civitai_skill.engines.record import record_of
from civitai_skill.engines.sizing import FollowsSource
from civitai_skill.schema.request import ImageRequest


def rendered() -> str:
    """The index, a line for each engine."""
    lines = ",\n".join(json.dumps(summary(family)) for family in catalog.families())
    return f'{{"words": {json.dumps(_words())},\n"engines": [\n{lines}\n]}}\n'


def _words() -> dict[str, str]:
    """{wire name: the request's word for it}, of every form; a source is a word too."""
    found = {
        limit.wire: name
        for family in catalog.families()
        for form in family.forms
        for name, limit in limits(form).items()
        if name in {*ImageRequest.model_fields, "image", "image_metadata"}
    }
    return dict(sorted(found.items()))


def summary(family: Family) -> dict[str, Any]:
    """One engine in short.

    `heeds_negatives`, `loads_checkpoints` and `keeps_size` name the engine, or those of its
    variants, that do so; `needs` are the best scores.
    """
    current = [v for v in family.variants if v.retired is None]
    drawing = [v for v in current if v.fits] or current
    # One that is still to be withdrawn serves until then; its date is looked at when it is chosen.
    fits = [fit for v in family.variants for fit in v.fits]
    scores = {need: [fit.score for fit in fits if fit.need == need] for need in NEEDS}
    return {
        **record_of(family),
        "buzz": {q: probe(family, family.at[q], quality=q).price.buzz for q in QUALITIES},
        "heeds_negatives": _those(family, drawing, _heeds_negatives),
        "loads_checkpoints": _those(family, drawing, _loads_checkpoints),
        "keeps_size": _those(family, drawing, _keeps_size),
        "needs": {need: max(found) for need, found in scores.items() if found},
        "forms": [key_of(form.tags()) for form in family.forms],
    }


def _those(
    family: Family, variants: list[Variant], does: Callable[[Family, Variant], bool]
) -> list[str]:
    """The family where all of its variants do something, else those that do."""
    names = [f"{family.name} {v.name}" for v in variants if does(family, v)]
    return [family.name] if len(names) == len(variants) else names


def _heeds_negatives(family: Family, variant: Variant) -> bool:
    form = probe(family, variant).form
    guidance = getattr(form, "guidance", None)
    return "negative_prompt" in limits(type(form)) and (guidance is None or guidance > 1)


def _loads_checkpoints(family: Family, variant: Variant) -> bool:
    form = type(probe(family, variant).form)
    return any(limit.role == "model" for limit in limits(form).values())


def _keeps_size(family: Family, variant: Variant) -> bool:
    if "edit" not in variant.operations():
        return False
    return isinstance(probe(family, variant, "edit").form.sizing, FollowsSource)
