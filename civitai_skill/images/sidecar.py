"""Sidecars: NAME.json beside a picture says what made it, so that it can be repeated or varied.

The picture's own bytes stay as they were delivered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from civitai_skill._version import __version__
from civitai_skill.engines.planning.sources import with_sources
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import local_path, scheme_of
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import read_json

#: What the file says it is.
KIND = "civitai-skill picture"

_MOST_BYTES = 128 * 1024 * 1024


def sidecar_facts(
    request: ImageRequest,
    engine: str | None = None,
    variant: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The part of a sidecar that is known before the picture is: what the request said, local
    sources by their full path, and what was decided."""
    fields = {n: v for n, v in sorted(request.said().items()) if v not in (None, [], {})}
    if "loras" in fields:
        fields["loras"] = [lora.model_dump() for lora in request.loras]

    def lasting(_at: object, _mark: object, source: str) -> str:
        from_afar = scheme_of(source) in ("https", "http", "data")
        return source if from_afar else str(local_path(source).absolute())

    said = fields | with_sources(request, lasting)
    return {"engine": engine, "variant": variant, "seed": seed, "request": said}


def encode_sidecar(facts: Mapping[str, Any]) -> bytes:
    """The file's content. Foreign text is escaped, so that it can't move a terminal's cursor."""
    content = {"kind": KIND, "version": __version__, **facts}
    return (json.dumps(content, indent=2) + "\n").encode()


def is_of(path: Path, facts: Mapping[str, Any]) -> bool:
    """Is a file the sidecar of this very picture?"""
    try:
        found = read_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and all(found.get(k) == facts[k] for k in ("key", "n"))


def read_request(picture: Path, digest: str | None = None) -> dict[str, Any]:
    """The fields of the request for this one picture again; with a `digest` (SHA-256) only where
    the sidecar is that picture's. Raises RequestInvalid."""
    path = picture
    try:
        path = picture.with_suffix(".json")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError
        found = read_json(path.read_bytes())
        if found["kind"] != KIND or digest not in (None, found.get("sha256")):
            raise ValueError
        return request_of(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{path.name} was not written by civitai-skill" if path.name else "is no file"
        if isinstance(error, OSError):
            why = f"{path.name}: {error.strerror or 'not readable'}"
        accepted = (
            "a picture that was made here: its NAME.json is beside it, or the ledger knows it"
        )
        raise RequestInvalid(Problem("PICTURE", str(picture), accepted, None, why)) from None


def request_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The request's fields for one picture, from what its sidecar says. Raises ValueError, KeyError
    or TypeError for what no sidecar says."""
    fields, n, seed = dict(facts["request"]), facts["n"], facts.get("seed")
    if not isinstance(n, int):
        raise ValueError
    fields.pop("quantity", None)
    for name in ("engine", "variant"):
        if isinstance(facts.get(name), str):
            fields.setdefault(name, facts[name])  # what was a default then may be another now
    if isinstance(seed, int):
        fields["seed"] = seed + n  # picture n of a workflow has its seed plus n
    return fields


#: What goes with a field that is said otherwise; with an engine, what seldom means the same to
#: another one.
_GOES_WITH = {
    "engine": (
        "variant", "route", "model", "loras", "embeddings", "vae", "control_nets", "sampler",
        "scheduler", "options",
    ),
    "quality": ("variant",),
    "aspect_ratio": ("exact", "width", "height"),
    "width": ("exact", "aspect_ratio"),
    "height": ("exact", "aspect_ratio"),
    "exact": ("aspect_ratio", "width", "height"),
}  # fmt: skip


def merge_fields(fields: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a picture's request with what is `said` otherwise."""
    gone = {name for field in said for name in _GOES_WITH.get(field, ())}
    return {**{n: v for n, v in fields.items() if n not in gone}, **said}
