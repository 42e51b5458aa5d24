"""What the site says of one of its pictures: its public answer, and the page's own as a second try.

Metadata that its owner hides stays hidden: then only the models are told, and the picture's file
is not searched for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from civitai_skill.api.parse import read, read_list
from civitai_skill.engines import catalog
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.remix import comfy
from civitai_skill.remix.civitai import SAFETY_EMBEDDINGS, add_resources
from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.settings import read_size
from civitai_skill.remix.values import (
    decode,
    hash_of,
    name_of,
    number_of,
    positive_of,
    text_of,
    whole_of,
)
from civitai_skill.resources.takers import ecosystem_of, find_takers
from civitai_skill.schema.air import MODEL_TYPES

_MOST = 60


def read_answer(answer: Mapping[str, Any], id: int | None = None) -> Reading | None:
    """The reading of the site's answer about a picture; None where it tells of none, or of another
    than `id`. Raises RequestInvalid for a video."""
    page = read(read(read(answer, "result", dict), "data", dict), "json", dict)
    if page:
        _check_kind(page)
        return _read(page.get("meta"), airs=dict(_airs(page)), hidden=list(_hidden(page)))
    for item in read_list(answer, "items", dict):
        if id is None or item.get("id") == id:
            _check_kind(item)
            meta = item.get("meta")
            if isinstance(meta, Mapping) and "meta" in meta:  # it is nested where one is asked for
                meta = meta["meta"]
            return _read(meta, versions=read_list(item, "modelVersionIds", object))
    return None


def _check_kind(item: Mapping[str, Any]) -> None:
    kind = text_of(item.get("type")) or "image"
    if kind != "image":
        accepted = "the page of a picture"
        raise RequestInvalid(Problem("source", f"a page of type {kind[:40]}", accepted))


def _read(
    meta: Any,
    *,
    versions: Sequence[Any] = (),
    airs: Mapping[int, str] = MappingProxyType({}),
    hidden: Sequence[Mapping[str, Any]] = (),
) -> Reading:
    """`hidden` are the models that are told although the metadata is not shown."""
    if isinstance(meta, Mapping):
        reading = _read_meta(meta, airs)
    else:
        reading = Reading(dialect="civitai", hidden=True, airs=airs)
        add_resources(reading, hidden)
    known = {reading.model.version_id, reading.vae.version_id}
    known |= {named.version_id for named in (*reading.loras, *reading.embeddings)}
    reading.other_version_ids = [
        id
        for raw in versions[:_MOST]
        if (id := positive_of(raw)) is not None and id not in known | SAFETY_EMBEDDINGS
    ]
    return reading


def _read_meta(meta: Mapping[str, Any], airs: Mapping[int, str]) -> Reading:
    graph = meta.get("comfy")
    drawn = _graph(graph) if graph else None
    reading = drawn or Reading(dialect="civitai")
    reading.airs = airs
    width, height = read_size(text_of(meta.get("Size")))
    given: dict[str, Any] = {
        "prompt": text_of(meta.get("prompt")).strip(),
        "negative_prompt": text_of(meta.get("negativePrompt")).strip(),
        "steps": positive_of(meta.get("steps")),
        "seed": whole_of(meta.get("seed")),
        "guidance": number_of(meta.get("cfgScale")),
        "width": width or positive_of(meta.get("width")),
        "height": height or positive_of(meta.get("height")),
        "clip_skip": positive_of(meta.get("clipSkip", meta.get("Clip skip"))),
        "base_model": text_of(meta.get("baseModel"))[:60] or None,
    }
    for name, value in given.items():
        if value not in (None, ""):
            setattr(reading, name, value)
    if sampler := text_of(meta.get("sampler")):
        schedule = text_of(meta.get("Schedule type", meta.get("scheduler")))
        reading.sampling = read_sampling(sampler, schedule)
    denoise = number_of(meta.get("denoise", meta.get("Denoising strength")))
    if denoise is not None and 0 < denoise < 1 and "Hires upscale" not in meta:
        reading.denoise, reading.needs_source_image = denoise, True
    _add_models(reading, meta)
    return reading


def _add_models(reading: Reading, meta: Mapping[str, Any]) -> None:
    hashes = read(meta, "hashes", dict)
    model = hash_of(text_of(meta.get("Model hash"))) or hash_of(text_of(hashes.get("model")))
    if name := name_of(meta.get("Model")):
        reading.model = Named(name=name, hash=model)
    elif model is not None:
        reading.model = Named(hash=model)
    loras = list(_listed(meta))
    reading.loras = loras or reading.loras
    for key in ("civitaiResources", "additionalResources"):
        if isinstance(meta.get(key), list):
            add_resources(reading, meta[key])
    if reading.model.version_id in reading.airs and reading.model.air is None:
        found = reading.model
        air = reading.airs[found.version_id or 0]
        reading.model = Named(found.name, found.hash, found.version_id, air)


def _listed(meta: Mapping[str, Any]) -> Iterator[Named]:
    """What the site read of hashes: {type, name, weight, hash}."""
    for each in read_list(meta, "resources", dict)[:_MOST]:
        if text_of(each.get("type")).lower() in ("lora", "lycoris", "locon"):
            weight = number_of(each.get("weight"))
            name, hash = name_of(each.get("name")), hash_of(each.get("hash"))
            yield Named(name=name, hash=hash, weight=1 if weight is None else weight)


def _graph(text: Any) -> Reading | None:
    try:
        data = decode(text) if isinstance(text, str) else text
    except ValueError:
        return None
    nodes = comfy.find_graph(data) if isinstance(data, Mapping) else None
    return None if nodes is None else comfy.read_graph(nodes)


# -- the page's own answer -------------------------------------------------------------------------
def _airs(page: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """{version: AIR} of the models that the page tells of."""
    for each in read_list(page, "resources", dict)[:_MOST]:
        version, model = positive_of(each.get("modelVersionId")), positive_of(each.get("modelId"))
        kind = text_of(each.get("modelType")).lower()
        kind = {"textualinversion": "embedding", "locon": "lycoris"}.get(kind, kind)
        ecosystem = _air_ecosystem(text_of(each.get("baseModel"))[:60], kind)
        if version and model and ecosystem and kind.isalnum():
            yield version, f"urn:air:{ecosystem}:{kind}:civitai:{model}@{version}"


def _air_ecosystem(base_model: str, kind: str) -> str | None:
    """What an AIR calls the family of a base model: Pony and Illustrious are sdxl there."""
    named = ecosystem_of(base_model)
    takers = find_takers(named, kind if kind in MODEL_TYPES else "checkpoint") if named else ()
    if not takers:
        return named
    tags = catalog.family(takers[0].engine).variants[0].ways[0].form.tags()
    return tags.get("ecosystem", named)


def _hidden(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The models of a picture whose metadata is hidden; how strongly they acted is hidden too."""
    for each in read_list(page, "resources", dict):
        yield {**each, "type": each.get("modelType"), "weight": each.get("strength")}
