"""What is written into a picture about the request that made it (the forms' `imageMetadata`).

Prompts, AIRs, names and numbers; never a source picture, a path, a tag or a folder. The service
puts it into the file; `remix` reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import read_json

#: Where our part stands in what the service embeds.
KEY = "civitaiSkill"
#: Bytes of the whole text.
MOST_BYTES = 8 * 1024

#: What is written as it was said.
_WRITTEN = tuple(field.name for field in FIELDS if field.embedded)
#: What an option may be: names and numbers of the engine's own.
_PLAIN = (str, int, float, bool)
_LONGEST_OPTION = 100


def embed(request: ImageRequest, engine: str, variant: str, seed: int | None) -> str | None:
    """The text for `imageMetadata`; None where it would be larger than is sensible."""
    said = {name: getattr(request, name) for name in _WRITTEN if name in request.model_fields_set}
    fields = {name: value for name, value in said.items() if value not in (None, [], {})}
    fields |= {"engine": engine, "variant": variant}
    if request.loras:
        fields["loras"] = [lora.model_dump() for lora in request.loras]
    if options := {n: v for n, v in request.options.items() if _is_plain(v)}:
        fields["options"] = options
    fields |= {} if seed is None else {"seed": seed}
    text = json.dumps({KEY: fields}, separators=(",", ":"))
    return text if len(text.encode()) <= MOST_BYTES else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return (
            len(value) <= _LONGEST_OPTION and not set("/\\") & set(value) and ":" not in value[:8]
        )
    return isinstance(value, _PLAIN)


def read_text(text: Any) -> dict[str, Any] | None:
    """The request's fields of a whole `imageMetadata`; None where it is not of our own."""
    try:
        own = read_json(text)[KEY] if isinstance(text, str) else None
    except (ValueError, KeyError, TypeError):
        return None
    return read_embedded(own) if isinstance(own, Mapping) else None


def read_embedded(own: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request's fields of what `embed` wrote; None where others wrote it. Values are for the
    request to check: a stranger may have changed them."""
    known = (*_WRITTEN, "engine", "variant", "seed", "options")
    fields = {name: own[name] for name in known if name in own}
    return fields if isinstance(fields.get("prompt"), str) else None
