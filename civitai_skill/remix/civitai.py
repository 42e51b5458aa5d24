"""What Civitai writes into its pictures: the resources that were used, and what its client sent.

A resource is known by its version, or by its AIR where others write the list; that goes before any
name or hash in the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from civitai_skill.images.embedded import KEY
from civitai_skill.remix.reading import Named, Reading, read_fields
from civitai_skill.remix.values import LONGEST_NAME, positive_of, text_of, weight_of
from civitai_skill.schema.air import LORA_TYPES, MODEL_TYPES, Air, is_air

#: The site's own, which it adds to a negative prompt by itself.
SAFETY_EMBEDDINGS = frozenset({250708, 250712, 106916})
#: How the site's client names the fields of a reading.
CLIENT_KEYS = {
    "prompt": "prompt", "negative_prompt": "negativePrompt", "steps": "steps", "seed": "seed",
    "guidance": "cfgScale", "clip_skip": "clipSkip|Clip skip",
}  # fmt: skip
_EMBEDDINGS = frozenset({"embed", "embedding", "textualinversion"})
_MOST = 60


def add_resources(reading: Reading, resources: Sequence[Any]) -> None:
    """Take models, LoRAs, embeddings and the VAE from the site's list."""
    found = list(_resources(resources))
    loras = [named for kind, named in found if kind in LORA_TYPES]
    reading.loras = loras or reading.loras
    others = [(kind, replace(named, weight=None)) for kind, named in found]
    embeddings = [named for kind, named in others if kind in _EMBEDDINGS]
    reading.embeddings = embeddings or reading.embeddings
    for kind, named in others:
        if kind in MODEL_TYPES and reading.model.version_id is None and reading.model.air is None:
            reading.model = replace(named, hash=reading.model.hash)
        elif kind == "vae":
            reading.vae = named


def _resources(resources: Sequence[Any]) -> Iterator[tuple[str, Named]]:
    for resource in resources[:_MOST]:
        if not isinstance(resource, Mapping):
            continue
        air = text_of(resource.get("air"))
        parsed = Air.parse(air) if len(air) <= LONGEST_NAME and is_air(air) else None
        kind = text_of(resource.get("type")) or (parsed.type or "" if parsed else "")
        version = positive_of(resource.get("modelVersionId"))
        if version is None and parsed is not None:
            version = positive_of(parsed.version)
        if (version is None and parsed is None) or version in SAFETY_EMBEDDINGS:
            continue
        name = text_of(resource.get("modelName", resource.get("name")))[:LONGEST_NAME] or None
        weight = weight_of(resource.get("weight", resource.get("strength")))
        yield kind.lower(), Named(name, None, version, air if parsed else None, weight)


def add_metadata(reading: Reading, metadata: Mapping[str, Any]) -> None:
    """Fill what the text does not say from what the site's client sent with the request."""
    own = metadata.get(KEY)
    if isinstance(own, Mapping):
        reading.own = own
    told = read_fields(metadata, CLIENT_KEYS)
    ratio = metadata.get("aspectRatio")
    if reading.width is None and isinstance(ratio, Mapping):
        told |= read_fields(ratio, {"width": "width", "height": "height"})
    for name, value in told.items():
        if getattr(reading, name) in (None, ""):
            setattr(reading, name, value)
    resources = metadata.get("resources")
    if not reading.model.version_id and not reading.loras and isinstance(resources, list):
        add_resources(reading, resources)
