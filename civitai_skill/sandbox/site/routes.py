"""GET /api/v1/...: the answers of the site, with the traps that the real one has; and what the
service knows of a model: GET /v2/resources/{air}."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.site import catalogue
from civitai_skill.sandbox.site.catalogue import VERSIONS, MadeModel, MadeVersion, hashes
from civitai_skill.sandbox.wire import (
    Record,
    format_millis,
    misfit,
    parse_int32,
    problem,
    reply,
)
from civitai_skill.schema.air import Air

_MOST = 100
#: Hits of a search that a page is cut from: few, so that the traps show in a small catalogue.
_HITS = 6
#: The moment of everything that was ever published here.
_PUBLISHED = format_millis(1_780_000_000.0)
_EARLY_DAYS = 30 * 86_400
#: States of versions that nothing is generated with.
_UNCOVERED = ("uncovered", "taken down")


def answer(context: Context, path: str) -> httpx.Response:
    """Answer for what stands behind /api/v1."""
    now, base = context.clock(), context.base
    if context.request.method != "GET":
        return reply(405, {"error": "Method not allowed"})
    match path.split("/"):
        case ["models"]:
            return _list_models(context)
        case ["models", id]:
            model = catalogue.MODELS.get(parse_int32(id) or 0)
            if model is None:
                return reply(404, {"error": f"No model with id {id}"})
            return reply(200, _model(model, base))
        case ["model-versions", *how, id] if how in ([], ["mini"], ["by-hash"]):
            found = VERSIONS.get(parse_int32(id) or 0)
            if how == ["by-hash"]:
                found = catalogue.BY_HASH.get(id.upper())
            if found is None:
                return reply(404, {"error": "Model not found"})
            return reply(
                200, _mini(*found, now) if how == ["mini"] else _version(*found, base, now)
            )
        case ["images"]:
            return _list_images(context)
        case ["enums"]:
            bases = {version.base_model for _, version in VERSIONS.values()}
            return reply(200, {"ActiveBaseModel": sorted(b for b in bases if "Wan" not in b)})
    return reply(404, {"error": "Not found"})


# -- lists -----------------------------------------------------------------------------------------
def _list_models(context: Context) -> httpx.Response:
    """A page. With a query it is cut after the search, so it may be short, or empty, while more
    follow; any word for a flag but none at all is true."""
    query = context.query
    limit, words = query.whole("limit", _MOST), query.get("query", "").strip()
    if not 0 <= limit <= _MOST:
        return reply(400, {"error": f"limit must be at most {_MOST}"})
    if words and "page" in query:
        text = "Cannot use page param with query search. Use cursor-based pagination."
        return reply(400, {"error": text})
    start = parse_int32(query.get("cursor", "")) or 0
    nsfw, types = query.get("nsfw") == "true", query.get_list("types")
    bases, covered = query.get_list("baseModels"), bool(query.get("supportsGeneration"))
    asked = re.findall(r"\w+", words.casefold())

    def is_left(model: MadeModel) -> bool:
        fits = not bases or any(v.base_model in bases for v in model.versions)
        return fits and (not covered or any(v.state not in _UNCOVERED for v in model.versions))

    hits = []
    for model in catalogue.MODELS.values():
        # Fuzzy, like the real one: any word that begins one of the name's is enough.
        starts = re.findall(r"\w+", f"{model.name} {model.creator}".casefold())
        matches = not words or any(one.startswith(word) for word in asked for one in starts)
        if matches and (nsfw or not model.mature) and (not types or model.type in types):
            hits.append(model)
    hits.sort(key=lambda m: -m.id if query.get("sort") == "Newest" else -m.downloads)
    if words:
        limit = min(limit, _HITS)
    else:
        hits = list(filter(is_left, hits))
    metadata: Record = {"pageSize": limit}
    if start + limit < len(hits):
        metadata["nextCursor"] = str(start + limit)
    left = filter(is_left, hits[start : start + limit])
    items = [_model(model, context.base, only_covered=covered) for model in left]
    return reply(200, {"items": items, "metadata": metadata})


# -- models ----------------------------------------------------------------------------------------
def _model(model: MadeModel, base: str, *, only_covered: bool = False) -> Record:
    """A model: no AIR, and what may be sold in one of its two spellings."""
    sells = "{" + ",".join(model.sells) + "}" if model.as_text else list(model.sells)
    versions = [_listed(model, version, base) for version in model.versions]
    covered = [one for one in versions if one["supportsGeneration"]]
    gone = any(version.state == "taken down" for version in model.versions)
    return {
        "id": model.id, "name": model.name, "type": model.type, "nsfw": model.mature,
        "description": model.about if "<" in model.about else f"<p>{model.about}</p>",
        "nsfwLevel": 31 if model.mature else 1, "availability": "Public",
        "supportsGeneration": bool(covered), "allowNoCredit": True, "allowCommercialUse": sells,
        "allowDerivatives": True, "allowDifferentLicense": True, "minor": False, "poi": False,
        "sfwOnly": False, **({"mode": "TakenDown"} if gone else {}),
        "stats": {"downloadCount": model.downloads, "thumbsUpCount": model.downloads // 10},
        "creator": {"username": model.creator}, "tags": list(model.tags),
        "modelVersions": covered if only_covered else versions,
    }  # fmt: skip


def _listed(model: MadeModel, version: MadeVersion, base: str) -> Record:
    """A version as its model lists it; its words stand there for LoRAs only, as it happens."""
    url = f"{base}/api/download/models/{version.id}"
    file = {
        "id": version.id * 10, "name": f"{version.id}.safetensors", "type": "Model",
        "sizeKB": 200_000.0, "metadata": {"format": "SafeTensor"},
        "hashes": hashes(version), "downloadUrl": url, "primary": True,
    }  # fmt: skip
    return {
        "id": version.id, "name": version.name, "baseModel": version.base_model,
        "baseModelType": "Standard", "publishedAt": _PUBLISHED,
        "supportsGeneration": version.state not in _UNCOVERED,
        **({"trainedWords": list(version.words)} if model.type == "LORA" else {}),
        "stats": {"downloadCount": model.downloads // len(model.versions)},
        "files": [file], "images": [], "downloadUrl": url,
    }  # fmt: skip


# -- versions --------------------------------------------------------------------------------------
def _version(model: MadeModel, version: MadeVersion, base: str, now: float) -> Record:
    """A version by itself: with its AIR and all of its words."""
    listed = _listed(model, version, base)
    del listed["supportsGeneration"]
    early = _early_until(version, now)
    return listed | {
        "modelId": model.id, "description": None, "air": model.air(version),
        "status": "Published", "availability": "EarlyAccess" if early else "Public",
        "nsfwLevel": 31 if model.mature else 1, "createdAt": _PUBLISHED, "updatedAt": _PUBLISHED,
        "uploadType": "Created", "usageControl": "Download", "trainedWords": list(version.words),
        "earlyAccessConfig": None, "earlyAccessEndsAt": early,
        "model": {"name": model.name, "type": model.type, "nsfw": model.mature, "poi": False},
    }  # fmt: skip


def _mini(model: MadeModel, version: MadeVersion, now: float) -> Record:
    early = _early_until(version, now)
    return {
        "air": model.air(version), "versionName": version.name, "modelName": model.name,
        "baseModel": version.base_model, "availability": "EarlyAccess" if early else "Public",
        "publishedAt": _PUBLISHED, "size": 200_000.0, "fileType": "Model",
        "fileName": f"{version.id}.safetensors",
        "hashes": {name: hash for name, hash in hashes(version).items() if name != "SHA256"},
        "downloadUrls": [f"https://civitai.com/api/download/models/{version.id}"],
        "format": "SafeTensor", "canGenerate": _can_generate(version), "isFeatured": False,
        "requireAuth": bool(early), "checkPermission": bool(early), "earlyAccessEndsAt": early,
        "freeTrialLimit": None, "additionalResourceCharge": bool(model.fee), "minor": False,
        "sfwOnly": False, **({"fees": {"perImage": model.fee}} if model.fee else {}),
    }  # fmt: skip


def _early_until(version: MadeVersion, now: float) -> str | None:
    return format_millis(now + _EARLY_DAYS) if version.state == "early" else None


def _can_generate(version: MadeVersion) -> bool:
    return version.state == "" and "Wan" not in version.base_model


# -- pictures --------------------------------------------------------------------------------------
def _list_images(context: Context) -> httpx.Response:
    """What is mature, or not there, is not listed. The metadata of one picture is nested (seen)."""
    query = context.query
    id, post, most = (
        parse_int32(query[name]) if name in query else default
        for name, default in (("imageId", None), ("postId", None), ("browsingLevel", 1))
    )
    shown, items = query.flag("withMeta"), []
    for one in catalogue.PICTURES:
        if one.level <= (most or 1) and id in (None, one.id) and post in (None, one.post):
            meta: Any = one.meta if shown else None
            items.append({
                "id": one.id, "width": 832, "height": 1216, "type": one.type,
                "url": f"https://image.civitai.com/sandbox/original=true/{one.id}.jpeg",
                "nsfwLevel": "None" if one.level == 1 else "Mature", "browsingLevel": one.level,
                "postId": one.post, "modelVersionIds": list(one.versions),
                "meta": {"id": one.id, "meta": meta} if id and shown else meta,
            })  # fmt: skip
    return reply(200, {"items": items, "metadata": {}})


def page_of_image(context: Context) -> httpx.Response:
    """GET /api/trpc/image.getGenerationData: what the page itself asks for."""
    try:
        id = json.loads(context.query["input"])["json"]["id"]
    except (ValueError, KeyError, TypeError):
        return reply(400, {"error": {"json": {"message": "Invalid input"}}})
    one = next((one for one in catalogue.PICTURES if one.id == id), None)
    if one is None:
        return reply(404, {"error": {"json": {"message": "No image with id"}}})
    resources = []
    for number in one.versions:
        model, version = VERSIONS[number]
        resources.append({
            "imageId": id, "modelVersionId": version.id, "modelId": model.id,
            "modelName": model.name, "modelType": model.type, "versionName": version.name,
            "baseModel": version.base_model, "strength": None,
        })  # fmt: skip
    told: Record = {
        "type": one.type, "onSite": False, "process": None if one.meta is None else "txt2img",
        "meta": one.meta, "resources": resources, "canRemix": one.meta is not None,
    }  # fmt: skip
    return reply(200, {"result": {"data": {"json": told}}})


# -- GET /v2/resources/{air} -----------------------------------------------------------------------
def resource(context: Context, air: str) -> httpx.Response:
    """One resource by its AIR, or the queue of downloads, which is empty here.

    As the real one was seen to, it answers with the AIR of the catalogue whatever ecosystem was
    asked for. What the sandbox's catalogue does not hold is taken as it was named.
    """
    if context.digest is None:
        return reply(401)
    if not air:
        view = context.query.get("view")
        if view is None:
            raise misfit("The view field is required.", "view")
        return reply(200, {"items": []}) if view == "queue" else problem(400)
    try:
        asked = Air.parse(air)
    except ValueError:
        raise misfit("AIR is in an invalid format.", "air") from None
    known = VERSIONS.get(parse_int32(asked.version or "") or 0)
    told: Record = {
        "air": str(asked), "size": 6_500_000_000, "hashes": {}, "downloadUrls": [],
        "checkPermission": False, "canGenerate": True, "fileFormat": "safeTensor",
        "hasMatureContentRestriction": False, "hasNSFWContentRestriction": False,
        "availability": {"status": "available", "workers": 1},
    }  # fmt: skip
    if known is not None and asked.source == "civitai":
        model, version = known
        early = version.state == "early"
        told |= {
            "air": model.air(version), "resourceName": model.name, "versionName": version.name,
            "hashes": hashes(version), "checkPermission": early, "requiresAuthorization": early,
        }  # fmt: skip
        if not _can_generate(version):
            told |= {"canGenerate": False, "availability": {"status": "unsupported"}}
    return reply(200, told)
