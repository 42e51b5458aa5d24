"""GET /v2/services: what is offered, rendered from the engines."""

from __future__ import annotations

import httpx

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.sources import picture_of
from civitai_skill.sandbox.wire import Query, Record, problem, reply

_SUBMIT = "/v2/consumer/workflows"
_STATES = ("unknown", "available", "degraded", "unavailable")


def _every() -> list[Record]:
    """A service for each way of each variant of each engine."""
    found: dict[str, Record] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                service = _service(family, variant, way)
                found.setdefault(service["id"], service)
    return list(found.values())


def _service(family: Family, variant: Variant, way: Way) -> Record:
    fixed = {way.form.alias(name): str(value) for name, value in way.fixed.items()}
    parameters = {**way.form.tags(), **fixed}
    source = picture_of(way.form) is not None
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


def answer(request: httpx.Request, parts: tuple[str, ...]) -> httpx.Response:
    """One service by its id, or a page of them."""
    services, query = _every(), Query(request)
    if parts:
        found = [service for service in services if service["id"] == "/".join(parts)]
        return reply(200, found[0]) if found else problem(404)
    limit, offset = query.whole("limit", 50), query.whole("offset", 0)
    if limit < 1 or offset < 0:
        raise query.refuse("limit" if limit < 1 else "offset")
    if query.text("status") not in (None, *_STATES):
        raise query.refuse("status")
    found = [service for service in services if _fits(service, query)]
    page = found[offset : offset + limit]
    return reply(200, {"items": page, "totalCount": len(found), "limit": limit, "offset": offset})


def _fits(service: Record, query: Query) -> bool:
    words = (query.text("query") or "").lower()
    text = " ".join((service["id"], service["name"], service["description"], *service["tags"]))
    return (
        query.text("category") in (None, service["category"])
        and service["id"].startswith(query.text("prefix") or "")
        and set(query.texts("tags")) <= set(service["tags"])
        and words in text.lower()
        and query.text("status") in (None, service["status"])
    )
