"""GET /api/v1/...: the answers of the site, with the traps that the real one has."""

from __future__ import annotations

import re
from typing import Any

import httpx

from civitai_skill.sandbox.context import base_of
from civitai_skill.sandbox.site import catalogue, pictures
from civitai_skill.sandbox.site.catalogue import MadeModel, MadeVersion
from civitai_skill.sandbox.wire import Query, Record, format_millis, parse_int32, reply

_MOST = 100
#: Hits of a search that a page is cut from: few, so that the traps show in a small catalogue.
_HITS = 6
#: The moment of everything that was ever published here.
_PUBLISHED = 1_780_000_000.0
_EARLY_DAYS = 30 * 86_400


def answer(request: httpx.Request, parts: tuple[str, ...], now: float) -> httpx.Response:
    """Answer for what stands behind /api/v1."""
    if request.method != "GET":
        return _error(405, "Method not allowed")
    match parts:
        case ("models",):
            return _list_models(request)
        case ("models", id):
            model = catalogue.find_model(_number(id))
            return (
                _error(404, f"No model with id {id}")
                if model is None
                else reply(200, _model(model, base_of(request)))
            )
        case ("model-versions", "by-hash", hash):
            return _version_reply(catalogue.find_hash(hash), request, now)
        case ("model-versions", "mini", id):
            found = catalogue.find_version(_number(id))
            return _missing() if found is None else reply(200, _mini(*found, now))
        case ("model-versions", id):
            return _version_reply(catalogue.find_version(_number(id)), request, now)
        case ("images",):
            return pictures.answer(request)
        case ("enums",):
            bases = {v.base_model for m in catalogue.models() for v in m.versions}
            return reply(200, {"ActiveBaseModel": sorted(b for b in bases if "Wan" not in b)})
    return _error(404, "Not found")


def _number(text: str) -> int:
    return parse_int32(text) or 0


def _error(status: int, words: str) -> httpx.Response:
    return reply(status, {"error": words})


def _missing() -> httpx.Response:
    return _error(404, "Model not found")


# -- lists -----------------------------------------------------------------------------------------
def _list_models(request: httpx.Request) -> httpx.Response:
    """A page. With a query it is cut after the search, so it may be short, or empty, while more
    follow; any word for a flag but none at all is true."""
    query = Query(request)
    limit, words = query.whole("limit", _MOST), (query.text("query") or "").strip()
    if not 0 <= limit <= _MOST:
        return _error(400, f"limit must be at most {_MOST}")
    if words and query.text("page") is not None:
        text = "Cannot use page param with query search. Use cursor-based pagination."
        return _error(400, text)
    start = _number(query.text("cursor") or "0")
    nsfw, types = query.text("nsfw") == "true", query.texts("types")
    hits = [
        model
        for model in catalogue.models()
        if (nsfw or not model.mature)
        and (not types or model.type in types)
        and _matches(model, words)
    ]
    if query.text("sort") == "Newest":
        hits.sort(key=lambda model: -model.id)
    else:
        hits.sort(key=lambda model: -model.downloads)
    if words:
        limit = min(limit, _HITS)
    else:
        hits = [model for model in hits if _is_left(model, query)]
    page = hits[start : start + limit]
    left = [model for model in page if _is_left(model, query)]
    metadata: Record = {"pageSize": limit}
    if start + limit < len(hits):
        metadata["nextCursor"] = str(start + limit)
    base = base_of(request)
    covered = bool(query.text("supportsGeneration"))
    items = [_model(model, base, only_covered=covered) for model in left]
    return reply(200, {"items": items, "metadata": metadata})


def _matches(model: MadeModel, words: str) -> bool:
    """Fuzzy, like the real one: any word that begins one of the name's is enough."""
    name = f"{model.name} {model.creator}".casefold()
    starts = re.findall(r"\w+", name)
    asked = re.findall(r"\w+", words.casefold())
    return not words or any(one.startswith(word) for word in asked for one in starts)


def _is_left(model: MadeModel, query: Query) -> bool:
    bases = query.texts("baseModels")
    fits = not bases or any(v.base_model in bases for v in model.versions)
    return fits and (not query.text("supportsGeneration") or _is_covered(model))


def _is_covered(model: MadeModel) -> bool:
    return any(v.state not in ("uncovered", "taken down") for v in model.versions)


# -- models ----------------------------------------------------------------------------------------
def _model(model: MadeModel, base: str, *, only_covered: bool = False) -> Record:
    """A model: no AIR, and what may be sold in one of its two spellings."""
    sells: Any = list(model.sells)
    if model.as_text:
        sells = "{" + ",".join(model.sells) + "}"
    gone = any(v.state == "taken down" for v in model.versions)
    versions = [_listed(version, model, base) for version in model.versions]
    if only_covered:
        versions = [one for one in versions if one["supportsGeneration"]]
    return {
        "id": model.id,
        "name": model.name,
        "description": model.about if "<" in model.about else f"<p>{model.about}</p>",
        "type": model.type,
        "nsfw": model.mature,
        "nsfwLevel": 31 if model.mature else 1,
        "availability": "Public",
        "supportsGeneration": _is_covered(model),
        "allowNoCredit": True,
        "allowCommercialUse": sells,
        "allowDerivatives": True,
        "allowDifferentLicense": True,
        "minor": False,
        "poi": False,
        "sfwOnly": False,
        **({"mode": "TakenDown"} if gone else {}),
        "stats": {"downloadCount": model.downloads, "thumbsUpCount": model.downloads // 10},
        "creator": {"username": model.creator},
        "tags": list(model.tags),
        "modelVersions": versions,
    }


def _listed(version: MadeVersion, model: MadeModel, base: str) -> Record:
    """A version as its model lists it; its words stand there for LoRAs only, as it happens."""
    words = {"trainedWords": list(version.words)} if model.type == "LORA" else {}
    return {
        "id": version.id,
        "name": version.name,
        "baseModel": version.base_model,
        "baseModelType": "Standard",
        "publishedAt": format_millis(_PUBLISHED),
        "supportsGeneration": version.state not in ("uncovered", "taken down"),
        **words,
        "stats": {"downloadCount": model.downloads // len(model.versions)},
        "files": [_file(version, base)],
        "images": [],
        "downloadUrl": f"{base}/api/download/models/{version.id}",
    }


def _file(version: MadeVersion, base: str) -> Record:
    return {
        "id": version.id * 10,
        "name": f"{version.id}.safetensors",
        "type": "Model",
        "sizeKB": 200_000.0,
        "metadata": {"format": "SafeTensor"},
        "hashes": dict(catalogue.hashes(version)),
        "downloadUrl": f"{base}/api/download/models/{version.id}",
        "primary": True,
    }


# -- versions --------------------------------------------------------------------------------------
def _version_reply(
    found: tuple[MadeModel, MadeVersion] | None, request: httpx.Request, now: float
) -> httpx.Response:
    if found is None:
        return _missing()
    model, version = found
    base, early = base_of(request), _early_until(version, now)
    body = {
        "id": version.id,
        "modelId": model.id,
        "name": version.name,
        "description": None,
        "baseModel": version.base_model,
        "baseModelType": "Standard",
        "air": model.air(version),
        "status": "Published",
        "availability": "EarlyAccess" if early else "Public",
        "nsfwLevel": 31 if model.mature else 1,
        "createdAt": format_millis(_PUBLISHED),
        "updatedAt": format_millis(_PUBLISHED),
        "publishedAt": format_millis(_PUBLISHED),
        "uploadType": "Created",
        "usageControl": "Download",
        "trainedWords": list(version.words),
        "earlyAccessConfig": None,
        "earlyAccessEndsAt": early,
        "stats": {"downloadCount": model.downloads // len(model.versions)},
        "model": {"name": model.name, "type": model.type, "nsfw": model.mature, "poi": False},
        "files": [_file(version, base)],
        "images": [],
        "downloadUrl": f"{base}/api/download/models/{version.id}",
    }
    return reply(200, body)


def _mini(model: MadeModel, version: MadeVersion, now: float) -> Record:
    early = _early_until(version, now)
    record = {
        "air": model.air(version),
        "versionName": version.name,
        "modelName": model.name,
        "baseModel": version.base_model,
        "availability": "EarlyAccess" if early else "Public",
        "publishedAt": format_millis(_PUBLISHED),
        "size": 200_000.0,
        "fileType": "Model",
        "fileName": f"{version.id}.safetensors",
        "hashes": {k: v for k, v in catalogue.hashes(version).items() if k != "SHA256"},
        "downloadUrls": [f"https://civitai.com/api/download/models/{version.id}"],
        "format": "SafeTensor",
        "canGenerate": version.state == "" and "Wan" not in version.base_model,
        "isFeatured": False,
        "requireAuth": bool(early),
        "checkPermission": bool(early),
        "earlyAccessEndsAt": early,
        "freeTrialLimit": None,
        "additionalResourceCharge": bool(model.fee),
        "minor": False,
        "sfwOnly": False,
    }
    return record | ({"fees": {"perImage": model.fee}} if model.fee else {})


def _early_until(version: MadeVersion, now: float) -> str | None:
    return format_millis(now + _EARLY_DAYS) if version.state == "early" else None
