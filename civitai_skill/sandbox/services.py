"""GET /v2/services: what is offered, rendered from the engines."""

from __future__ import annotations

from typing import Any

import httpx

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.sandbox.answers import Answered, problem, reply
from civitai_skill.sandbox.check import Query

Json = dict[str, Any]

_SUBMIT = "/v2/consumer/workflows"
_STATES = ("unknown", "available", "degraded", "unavailable")


def every() -> list[Json]:
    """A service for each way of each variant of each engine."""
    found: dict[str, Json] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                service = _service(family, variant, way)
                found.setdefault(service["id"], service)
    return list(found.values())


def _service(family: Family, variant: Variant, way: Way) -> Json:
    fixed = {way.form.alias(name): str(value) for name, value in way.fixed.items()}
    parameters = {**way.form.tags(), **fixed}
    source = "images" in way.form.model_fields or "image" in way.form.model_fields
    return {
        "id": "/".join(("image", *(v.replace("/", "-") for v in parameters.values()))),
        "category": "image",
        "parameters": parameters,
        "step": "imageGen",
        "submit": _SUBMIT,
        "estimate": f"{_SUBMIT}?whatif=true",
        "name": f"{family.title} {variant.name}",
        "description": f"{family.title} by {family.maker}, emulated by the sandbox.",
        "tags": [family.name, *way.form.operations()],
        "strengths": variant.best_for or "; ".join(family.best_for),
        "weaknesses": variant.avoid_for or "; ".join(family.avoid_for),
        "modalities": {"input": ["text", "image"] if source else ["text"], "output": ["image"]},
        "status": "available",
    }


def listed(request: httpx.Request) -> httpx.Response:
    """A page of services."""
    query = Query(request)
    limit, offset = query.whole("limit", 50), query.whole("offset", 0)
    if limit < 1 or offset < 0:
        raise query.bad("limit" if limit < 1 else "offset")
    if query.text("status") not in (None, *_STATES):
        raise query.bad("status")
    found = [service for service in every() if _fits(service, query)]
    page = found[offset : offset + limit]
    return reply(200, {"items": page, "totalCount": len(found), "limit": limit, "offset": offset})


def _fits(service: Json, query: Query) -> bool:
    words = (query.text("query") or "").lower()
    text = " ".join((service["id"], service["name"], service["description"], *service["tags"]))
    return (
        query.text("category") in (None, service["category"])
        and service["id"].startswith(query.text("prefix") or "")
        and set(query.texts("tags")) <= set(service["tags"])
        and words in text.lower()
        and query.text("status") in (None, service["status"])
    )


def one(id: str) -> httpx.Response:
    """One service by its id."""
    for service in every():
        if service["id"] == id:
            return reply(200, service)
    raise Answered(problem(404))
