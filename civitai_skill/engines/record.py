"""What the index has of an engine, as far as its file and its forms tell it: see `index.py`."""

from __future__ import annotations

from typing import Any, get_args

from civitai_skill.engines.family import Family
from civitai_skill.engines.forms import Operation
from civitai_skill.engines.limits import limits
from civitai_skill.engines.sizing import Named, Pixels, Ratio
from civitai_skill.schema.request import ImageRequest


def operations(family: Family) -> list[Operation]:
    """What some variant of it does."""
    found = {op for form in family.forms for op in form.operations()}
    return [op for op in get_args(Operation) if op in found]


def record_of(family: Family) -> dict[str, Any]:
    """One engine in short: `takes` are the request's fields, `options` its own with their kinds."""
    taken, options = set[str](), dict[str, set[str]]()
    for form in family.forms:
        if isinstance(form.sizing, Pixels | Ratio | Named):
            taken.add("aspect_ratio")
        for limit in limits(form).values():
            taken.add(limit.label)
            if limit.label not in ImageRequest.model_fields:
                options.setdefault(limit.wire, set()).add(limit.kind)
    return {
        "name": family.name,
        "title": family.title,
        "suits": family.suits,
        "best_for": list(family.best_for),
        "avoid_for": list(family.avoid_for),
        "operations": operations(family),
        "variants": [v.name for v in family.variants if v.retired is None],
        "takes": [name for name in ImageRequest.model_fields if name in taken],
        "options": {wire: sorted(kinds) for wire, kinds in sorted(options.items())},
        "ecosystems": sorted(family.ecosystems | family.embedding_ecosystems),
    }
