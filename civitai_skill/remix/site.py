"""What the site says of one of its pictures: its public answer, and the page's own as a second try.

Metadata that its owner hides stays hidden: then only the models are told, and the picture's file
is not searched for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from civitai_skill.api.parse import read, read_list
from civitai_skill.engines import catalog
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.remix.civitai import CLIENT_KEYS, SAFETY_EMBEDDINGS, add_resources
from civitai_skill.remix.comfy import read_graph
from civitai_skill.remix.reading import Named, Reading, read_fields, read_sampling
from civitai_skill.remix.values import (
    hash_of,
    name_of,
    object_of,
    partial_of,
    positive_of,
    text_of,
    weight_of,
)
from civitai_skill.resources.takers import ecosystem_of, find_takers
from civitai_skill.schema.air import LORA_TYPES, MODEL_TYPES

_MOST = 60


def read_answer(answer: Mapping[str, Any], id: int | None = None) -> Reading | None:
    """The reading of the site's answer about a picture; None where it tells of none, or of another
    than `id`. Raises RequestInvalid for a video."""
    page = read(read(read(answer, "result", dict), "data", dict), "json", dict)
    if page:
        _check_kind(page)
        # How strongly the models of hidden metadata acted is hidden too.
        hidden = [
            {**each, "type": each.get("modelType"), "weight": each.get("strength")}
            for each in read_list(page, "resources", dict)
        ]
        return _read(page.get("meta"), (), dict(_airs(page)), hidden)
    for item in read_list(answer, "items", dict):
        if id is None or item.get("id") == id:
            _check_kind(item)
            meta = item.get("meta")
            if isinstance(meta, Mapping) and "meta" in meta:  # it is nested where one is asked for
                meta = meta["meta"]
            return _read(meta, read_list(item, "modelVersionIds", object), {}, ())
    return None


def _check_kind(item: Mapping[str, Any]) -> None:
    kind = text_of(item.get("type")) or "image"
    if kind != "image":
        accepted = "the page of a picture"
        raise RequestInvalid(Problem("source", f"a page of type {kind[:40]}", accepted))


def _read(
    meta: Any,
    versions: Sequence[Any],
    airs: Mapping[int, str],
    hidden: Sequence[Mapping[str, Any]],
) -> Reading:
    """`hidden` are the models that are told although the metadata is not shown."""
    if isinstance(meta, Mapping):
        graph = object_of(meta.get("comfy"))
        drawn = None if graph is None else read_graph(graph)
        reading = drawn or Reading("civitai")
        reading.airs = airs
        _add_settings(reading, meta)
        _add_models(reading, meta, airs)
    else:
        reading = Reading("civitai", hidden=True, airs=airs)
        add_resources(reading, hidden)
    named = (reading.model, reading.vae, *reading.loras, *reading.embeddings)
    known = SAFETY_EMBEDDINGS | {each.version_id for each in named}
    ids = (positive_of(raw) for raw in versions[:_MOST])
    reading.other_version_ids = [id for id in ids if id is not None and id not in known]
    return reading


def _add_settings(reading: Reading, meta: Mapping[str, Any]) -> None:
    told = read_fields(meta, {**CLIENT_KEYS, "size": "Size", "width": "width", "height": "height"})
    told["base_model"] = text_of(meta.get("baseModel"))[:60]
    for name, value in told.items():
        if value not in (None, ""):
            setattr(reading, name, value)
    if sampler := text_of(meta.get("sampler")):
        schedule = meta.get("Schedule type", meta.get("scheduler"))
        reading.sampling = read_sampling(sampler, schedule)
    denoise = partial_of(meta.get("denoise", meta.get("Denoising strength")))
    if denoise is not None and "Hires upscale" not in meta:
        reading.denoise, reading.needs_source_image = denoise, True


def _add_models(reading: Reading, meta: Mapping[str, Any], airs: Mapping[int, str]) -> None:
    hash = hash_of(meta.get("Model hash")) or hash_of(read(meta, "hashes", dict).get("model"))
    reading.model = Named(name_of(meta.get("Model")), hash) or reading.model
    reading.loras = list(_listed(meta)) or reading.loras
    for key in ("civitaiResources", "additionalResources"):
        add_resources(reading, read_list(meta, key, dict))
    model = reading.model
    if model.air is None and model.version_id is not None and model.version_id in airs:
        reading.model = replace(model, air=airs[model.version_id])


def _listed(meta: Mapping[str, Any]) -> Iterator[Named]:
    """What the site read of hashes: {type, name, weight, hash}."""
    for each in read_list(meta, "resources", dict)[:_MOST]:
        if text_of(each.get("type")).lower() in LORA_TYPES:
            weight = weight_of(each.get("weight"))
            yield Named(name_of(each.get("name")), hash_of(each.get("hash")), weight=weight)


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
