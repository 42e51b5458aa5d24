"""GET /v2/resources/{air}: what the service knows of a model, under its right AIR.

As the real one was seen to, it answers with the AIR of the catalogue whatever ecosystem was asked
for. What the sandbox's catalogue does not hold is taken as it was named.
"""

from __future__ import annotations

import httpx

from civitai_skill.sandbox.context import key_digest
from civitai_skill.sandbox.site import catalogue
from civitai_skill.sandbox.wire import Query, Record, parse_int32, problem, reply, validation
from civitai_skill.schema.air import Air


def answer(request: httpx.Request, parts: tuple[str, ...]) -> httpx.Response:
    """One resource by its AIR, or the queue of downloads, which is empty here."""
    if key_digest(request) is None:
        return reply(401)
    if not parts:
        view = Query(request).text("view")
        if view is None:
            return validation({"view": ["The view field is required."]})
        return reply(200, {"items": []}) if view == "queue" else problem(400)
    try:
        asked = Air.parse("/".join(parts))
    except ValueError:
        return validation({"air": ["AIR is in an invalid format."]})
    found = catalogue.find_version(parse_int32(asked.version or "") or 0)
    if found is None or asked.source != "civitai":
        return reply(200, _resource(str(asked), is_there=True))
    model, version = found
    if version.state == "deleted":
        return problem(404)
    is_there = version.state == "" and "Wan" not in version.base_model
    record = _resource(model.air(version), is_there=is_there)
    return reply(200, {
        **record,
        "resourceName": model.name,
        "versionName": version.name,
        "hashes": dict(catalogue.hashes(version)),
        "checkPermission": version.state == "early",
        "requiresAuthorization": version.state == "early",
    })  # fmt: skip


def _resource(air: str, *, is_there: bool) -> Record:
    available: Record = {"status": "available", "workers": 1}
    return {
        "air": air,
        "size": 6_500_000_000,
        "hashes": {},
        "downloadUrls": [],
        "checkPermission": False,
        "canGenerate": is_there,
        "fileFormat": "safeTensor",
        "hasMatureContentRestriction": False,
        "hasNSFWContentRestriction": False,
        "availability": available if is_there else {"status": "unsupported"},
    }
