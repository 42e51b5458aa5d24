"""Pictures of the sandbox's site, with what it tells of how they were made. None of them exists.

One hides its metadata, one is a film, two stand in one post; the first is answered with its
metadata nested, as the site does where one picture is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from civitai_skill.sandbox.site import catalogue
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
        "Model": "old_timer", "Model hash": catalogue.hashes(catalogue.MadeVersion(90041, "", ""))[
            "AutoV2"],
    }, level=8),
)  # fmt: skip


def answer(request: httpx.Request) -> httpx.Response:
    """GET /images: what is mature, or not there, is not listed; that is no error."""
    query = Query(request)
    id, post = _number(query.text("imageId")), _number(query.text("postId"))
    most = _number(query.text("browsingLevel")) or 1
    found = [
        one
        for one in _PICTURES
        if one.level <= most and (id is None or one.id == id) and (post is None or one.post == post)
    ]
    shown = query.flag("withMeta", False)
    return reply(200, {"items": [_item(one, shown, id is not None) for one in found],
                       "metadata": {}})  # fmt: skip


def page(request: httpx.Request) -> httpx.Response:
    """GET /api/trpc/image.getGenerationData: what the page itself asks for."""
    try:
        id = json.loads(Query(request).text("input") or "")["json"]["id"]
    except (ValueError, KeyError, TypeError):
        return reply(400, {"error": {"json": {"message": "Invalid input"}}})
    one = next((one for one in _PICTURES if one.id == id), None)
    if one is None:
        return reply(404, {"error": {"json": {"message": "No image with id"}}})
    told: Record = {
        "type": one.type, "onSite": False, "process": None if one.meta is None else "txt2img",
        "meta": one.meta, "resources": list(_resources(one)), "canRemix": one.meta is not None,
    }  # fmt: skip
    return reply(200, {"result": {"data": {"json": told}}})


def _item(one: MadePicture, shown: bool, nested: bool) -> Record:
    meta: Any = one.meta if shown else None
    return {
        "id": one.id,
        "url": f"https://image.civitai.com/sandbox/original=true/{one.id}.jpeg",
        "width": 832,
        "height": 1216,
        "type": one.type,
        "nsfwLevel": "None" if one.level == 1 else "Mature",
        "browsingLevel": one.level,
        "postId": one.post,
        "modelVersionIds": list(one.versions),
        "meta": {"id": one.id, "meta": meta} if nested and shown else meta,
    }


def _resources(one: MadePicture) -> Iterator[Record]:
    for version_id in one.versions:
        found = catalogue.find_version(version_id)
        if found is not None:
            model, version = found
            yield {
                "imageId": one.id, "modelVersionId": version.id, "modelId": model.id,
                "modelName": model.name, "modelType": model.type, "versionName": version.name,
                "baseModel": version.base_model, "strength": None,
            }  # fmt: skip


def _number(text: str | None) -> int | None:
    return None if text is None else parse_int32(text)
