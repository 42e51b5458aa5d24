"""Pictures of the sandbox's site, with what it tells of how they were made. None of them exists.

One hides its metadata, one is a film, two stand in one post; the first is answered with its
metadata nested, as the site does where one picture is asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from civitai_skill.sandbox.site.catalogue import VERSIONS, MadeVersion, hashes
from civitai_skill.sandbox.wire import Query, Record, parse_int32, reply


@dataclass(frozen=True)
class MadePicture:
    """A picture: its number and post, what its owner shows of it, the versions that it used."""

    id: int
    post: int
    meta: Record | None
    versions: tuple[int, ...] = ()
    type: str = "image"
    level: int = 1


_SETTINGS: Record = {
    "steps": 28, "sampler": "DPM++ 2M Karras", "cfgScale": 6, "seed": 424242, "Size": "832x1216",
    "clipSkip": 2,
}  # fmt: skip

_PICTURES: tuple[MadePicture, ...] = (
    MadePicture(77001, 8801, {
        "prompt": "a heron in tall reeds, (ink:1.2), morning", "negativePrompt": "blurry, text",
        **_SETTINGS, "civitaiResources": [
            {"type": "checkpoint", "modelVersionId": 90012},
            {"type": "lora", "weight": 0.7, "modelVersionId": 91012},
        ],
    }, (90012, 91012)),
    MadePicture(77002, 8802, None, (90012, 91012)),
    MadePicture(77003, 8802, {"prompt": "a wave that rolls"}, type="video"),
    MadePicture(77004, 8803, {
        "prompt": "a tin robot <lora:detail dial:0.5>", **_SETTINGS, "resources": [],
        "Model": "old_timer", "Model hash": hashes(MadeVersion(90041, "", ""))["AutoV2"],
    }, level=8),
)  # fmt: skip


def answer(request: httpx.Request) -> httpx.Response:
    """GET /images: what is mature, or not there, is not listed; that is no error."""
    query = Query(request.url.params)
    id, post, most = (
        parse_int32(query[name]) if name in query else default
        for name, default in (("imageId", None), ("postId", None), ("browsingLevel", 1))
    )
    shown, items = query.flag("withMeta"), []
    for one in _PICTURES:
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


def page(request: httpx.Request) -> httpx.Response:
    """GET /api/trpc/image.getGenerationData: what the page itself asks for."""
    try:
        id = json.loads(request.url.params["input"])["json"]["id"]
    except (ValueError, KeyError, TypeError):
        return reply(400, {"error": {"json": {"message": "Invalid input"}}})
    one = next((one for one in _PICTURES if one.id == id), None)
    if one is None:
        return reply(404, {"error": {"json": {"message": "No image with id"}}})
    resources = [
        {
            "imageId": id, "modelVersionId": version.id, "modelId": model.id,
            "modelName": model.name, "modelType": model.type, "versionName": version.name,
            "baseModel": version.base_model, "strength": None,
        }
        for model, version in (VERSIONS[number] for number in one.versions if number in VERSIONS)
    ]  # fmt: skip
    told: Record = {
        "type": one.type, "onSite": False, "process": None if one.meta is None else "txt2img",
        "meta": one.meta, "resources": resources, "canRemix": one.meta is not None,
    }  # fmt: skip
    return reply(200, {"result": {"data": {"json": told}}})
