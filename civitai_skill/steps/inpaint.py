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
from civitai_skill.engines.sizing import Size
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.errors.next_steps import Choose
from civitai_skill.schema.request import ImageRequest

#: The preprocessor whose mask says what is drawn anew (schema ImageTransformer).
_CONTROL = "inpaint"
_CONTROL_STRENGTH = 0.9


def with_mask(request: ImageRequest, sources: tuple[Size | None, ...] = ()) -> ImageRequest:
    """The request in the words of an engine: a mask, or a control net. Raises RequestInvalid."""
    if request.inpaint is None:
        return request
    if not (request.given("engine") or request.given("model")):
        return _cheapest(request)
    family = catalog.family(request.engine)
    variant = variant_of(family, request)
    said: dict[str, Any] = {n: v for n, v in request.said().items() if n != "inpaint"}
    if _takes(variant, "mask"):
        return ImageRequest(**said, mask=request.inpaint)
    if not _takes(variant, "control_nets", "variant"):
        accepted = "an engine with masks or control nets: " + ", ".join(_able())
        why = f"{family.name} {variant.name} has neither"
        raise RequestInvalid(
            Problem("inpaint", request.engine, accepted, "openai", why), next=[Choose()]
        )
    net = {"preprocessor": _CONTROL, "image": request.images[0], "mask": request.inpaint}
    said["control_nets"] = [*request.control_nets, net]
    said.setdefault("strength", _CONTROL_STRENGTH)
    return ImageRequest(**said)


def _takes(variant: Variant, field: str, operation: str = "edit") -> bool:
    return any(
        field in request_fields(way.form) and operation in way.form.operations()
        for way in variant.ways
    )


def _masked() -> list[tuple[Family, Variant]]:
    return [
        (family, variant)
        for family in catalog.families()
        for variant in family.variants
        if variant.retired is None and _takes(variant, "mask")
    ]


def _able() -> list[str]:
    """The engines that repair, by either way."""
    return [
        family.name
        for family in catalog.families()
        if any(
            v.retired is None and (_takes(v, "mask") or _takes(v, "control_nets", "variant"))
            for v in family.variants
        )
    ]


def _cheapest(request: ImageRequest) -> ImageRequest:
    """The same by the engine with masks that asks least for it."""
    said = {n: v for n, v in request.said().items() if n != "inpaint"}
    best: tuple[float, ImageRequest] | None = None
    refused: RequestInvalid | None = None
    for family, variant in _masked():
        if not request.given("quality"):
            said["quality"] = "standard"
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
