"""GET /v2/services: what is offered, rendered from the engines."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.sources import picture_of
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.tomorrow import NEW_FORMS
from civitai_skill.sandbox.wire import Query, Record, format_millis, problem, reply

_SUBMIT = "/v2/consumer/workflows"
_STATES = ("unknown", "available", "degraded", "unavailable")


def _every(context: Context) -> list[Record]:
    """A service for each way of each variant of each engine, and for the engine of tomorrow."""
    found: dict[str, Record] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                fixed = {way.form.alias(name): str(value) for name, value in way.fixed.items()}
                service = _service(context, way.form, fixed, f"{family.title} {variant.name}")
                service["tags"] = [family.name, *way.form.operations()]
                service["tags"] += ["deprecated"] if variant.retired is not None else []
                service["strengths"] = variant.best_for or "; ".join(family.best_for)
                service["weaknesses"] = variant.avoid_for or "; ".join(family.avoid_for)
                found.setdefault(service["id"], service)
    if context.switches.tomorrow:
        for form in NEW_FORMS:
            service = _service(context, form, {}, "Aurora sketch")
            found[service["id"]] = service
        # As it was seen on 2026-08-31 (its success was 48 %).
        found["image/grok/v1.0/createImage"]["status"] = "unavailable"
    return list(found.values())


def _service(context: Context, form: type[Wire], fixed: Mapping[str, str], name: str) -> Record:
    tags = sorted(form.tags().items(), key=lambda tag: (tag[0] != "engine", tag[0] == "operation"))
    parameters = {**dict(tags), **fixed}
    source = picture_of(form) is not None
    seconds = dict.fromkeys(("p50", "p80", "p95"), context.seconds)
    return {
        "id": "/".join(("image", *(v.replace("/", "-") for v in parameters.values()))),
        "category": "image",
        "parameters": parameters,
        "step": "imageGen",
        "submit": _SUBMIT,
        "estimate": f"{_SUBMIT}?whatif=true",
        "name": name,
        "description": f"{name}, emulated by the sandbox.",
        "tags": list(form.operations()),
        "modalities": {"input": ["text", "image"] if source else ["text"], "output": ["image"]},
        "status": "available",
        # What the sandbox itself does: every step takes as long, and none fails by itself.
        "metrics": {
            "window": "24h", "asOf": format_millis(context.clock()), "requests": 1,
            "successRate": 1, "canceledRate": 0, "userErrorRate": 0, "latencySeconds": seconds,
        },
    }  # fmt: skip


def answer(context: Context, request: httpx.Request, id: str) -> httpx.Response:
    """One service by its id, or a page of them."""
    services, query = _every(context), Query(request.url.params)
    if id:
        found = [service for service in services if service["id"] == id]
        return reply(200, found[0]) if found else problem(404)
    limit, offset = query.whole("limit", 50), query.whole("offset", 0)
    if limit < 1 or offset < 0:
        raise query.refuse("limit" if limit < 1 else "offset")
    if query.get("status") not in (None, *_STATES):
        raise query.refuse("status")
    found = [service for service in services if _fits(service, query)]
    page = found[offset : offset + limit]
    return reply(200, {"items": page, "totalCount": len(found), "limit": limit, "offset": offset})


def _fits(service: Record, query: Query) -> bool:
    text = " ".join((service["id"], service["name"], service["description"], *service["tags"]))
    return (
        query.get("category") in (None, service["category"])
        and service["id"].startswith(query.get("prefix", ""))
        and set(query.get_list("tags")) <= set(service["tags"])
        and query.get("query", "").lower() in text.lower()
        and query.get("status") in (None, service["status"])
    )
