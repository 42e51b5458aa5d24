"""Repairing a part of a picture: by an engine that has masks, or ControlNet's mask where SD has it.

Which of the two it is follows from the engine; where none is named, the cheapest with masks.
"""

from __future__ import annotations

import math
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant
from civitai_skill.engines.limits import request_fields
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.planning.route import variant_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.errors.next_steps import Choose
from civitai_skill.schema.request import ImageRequest

#: The preprocessor whose mask says what is drawn anew (schema ImageTransformer).
_CONTROL = "inpaint"
_CONTROL_STRENGTH = 0.9
#: A field of a form, and what the form does.
_MASK, _NETS = ("mask", "edit"), ("control_nets", "variant")


def with_mask(request: ImageRequest) -> ImageRequest:
    """A request to repair, in the words of an engine: a mask, or a control net. Raises
    RequestInvalid."""
    assert request.inpaint is not None
    if not (request.given("engine") or request.given("model")):
        return _cheapest(request)
    family = catalog.family(request.engine)
    variant = variant_of(family, request)
    taken = _taken(variant)
    said: dict[str, Any] = {n: v for n, v in request.said().items() if n != "inpaint"}
    if _MASK in taken:
        return ImageRequest(**said, mask=request.inpaint)
    if _NETS not in taken:
        able = dict.fromkeys(f.name for f, v in _offered() if _taken(v) & {_MASK, _NETS})
        accepted = "an engine with masks or control nets: " + ", ".join(able)
        why = f"{family.name} {variant.name} has neither"
        raise RequestInvalid(
            Problem("inpaint", request.engine, accepted, "openai", why), next=[Choose()]
        )
    net = {"preprocessor": _CONTROL, "image": request.images[0], "mask": request.inpaint}
    said["control_nets"] = [*request.control_nets, net]
    said.setdefault("strength", _CONTROL_STRENGTH)
    return ImageRequest(**said)


def _taken(variant: Variant) -> set[tuple[str, str]]:
    """The fields that its forms take, each with what the form does."""
    return {
        (field, operation)
        for way in variant.ways
        for operation in way.form.operations()
        for field in request_fields(way.form)
    }


def _offered() -> list[tuple[Family, Variant]]:
    return [(f, v) for f in catalog.families() for v in f.variants if v.retired is None]


def _cheapest(request: ImageRequest) -> ImageRequest:
    """The same by the engine with masks that asks least for it."""
    said = {n: v for n, v in request.said().items() if n != "inpaint"}
    if not request.given("quality"):
        said["quality"] = "standard"
    best: tuple[float, ImageRequest] | None = None
    refused: RequestInvalid | None = None
    for family, variant in _offered():
        if _MASK not in _taken(variant):
            continue
        named = {"engine": family.name, "variant": said.get("variant") or variant.name}
        try:
            tried = ImageRequest(**{**said, **named}, mask=request.inpaint)
            most = plan(tried).price.most
        except RequestInvalid as error:
            refused = error
            continue
        price = math.inf if most is None else most
        if best is None or price < best[0]:
            best = price, tried
    if best is None:
        assert refused is not None, "some engine has masks"
        raise refused
    return best[1]
