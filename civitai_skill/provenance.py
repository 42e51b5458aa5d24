"""What made a picture: NAME.json beside it, so that it can be made once more or varied.

The picture's own bytes stay as they were delivered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from civitai_skill import __version__
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.files import replaced
from civitai_skill.request import ImageRequest
from civitai_skill.sources import guiding, is_control

#: What the file says it is.
KIND = "civitai-skill picture"

_MOST_BYTES = 128 * 1024 * 1024


def beside(picture: Path) -> Path:
    """The file that tells how a picture was made."""
    return picture.with_suffix(".json")


def fields_of(request: ImageRequest) -> dict[str, Any]:
    """What a request said, as JSON; local sources by their full path."""
    said = {name: getattr(request, name) for name in sorted(request.model_fields_set)}
    fields = {n: v for n, v in said.items() if v not in (None, [], {})}
    if "loras" in fields:
        fields["loras"] = [lora.model_dump() for lora in request.loras]
    if "images" in fields:
        fields["images"] = [_lasting(text) for text in request.images]
    for key, nets in request.options.items():
        if is_control(key) and isinstance(nets, list):
            lasting = [_lasting_net(net) for net in nets]
            fields["options"] = {**fields["options"], key: lasting}
    return fields


def _lasting_net(net: Any) -> Any:
    paths = {part: _lasting(text) for part, text in guiding(net)}
    return {**net, **paths} if paths else net


def _lasting(source: str) -> str:
    if source[:8].lower().startswith(("https://", "http://", "data:")):
        return source
    return str(Path(source).expanduser().absolute())


def written_note(facts: Mapping[str, Any]) -> bytes:
    """The file's content. Foreign text is escaped, so that it can't move a terminal's cursor."""
    told = {"kind": KIND, "version": __version__, **facts}
    return (json.dumps(told, indent=2) + "\n").encode()


def keep(path: Path, content: bytes) -> None:
    """Write the note, if it does not stand there already. Raises OSError."""
    if not path.exists():
        replaced(path, content)


def may_write(path: Path, key: str, n: int) -> bool:
    """Is the note's place free, or is it this very picture's?"""
    if not path.exists():
        return True
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and (told.get("key"), told.get("n")) == (key, n)


def request_of(picture: Path) -> dict[str, Any]:
    """The fields of the request for this one picture again. Raises RequestInvalid."""
    note = picture
    accepted = "a picture of a batch, a sweep or again, with its NAME.json beside it"
    try:
        if picture.suffix != ".json":
            note = beside(picture)
        if note.stat().st_size > _MOST_BYTES:
            raise ValueError
        told = json.loads(note.read_bytes())
        if told["kind"] != KIND:
            raise ValueError
        fields, n = dict(told["request"]), int(told["n"])
        seed = told.get("seed")
    except OSError as error:
        why = f"{note.name}: {error.strerror or 'not readable'}"
        raise RequestInvalid(Problem("PICTURE", str(picture), accepted, None, why)) from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        why = f"{note.name} was not written by civitai-skill" if note.name else "is no file"
        raise RequestInvalid(Problem("PICTURE", str(picture), accepted, None, why)) from None
    fields.pop("quantity", None)
    for name in ("engine", "variant"):
        if isinstance(told.get(name), str):
            fields.setdefault(name, told[name])  # what was a default then may be another now
    if isinstance(seed, int):
        fields["seed"] = seed + n  # picture n of a workflow has its seed plus n
    return fields


def varied(picture: Path, said: Mapping[str, Any]) -> ImageRequest:
    """The request for a picture once more, with what is said otherwise. Raises RequestInvalid.

    Another engine or quality chooses its own variant.
    """
    fields = request_of(picture)
    if "engine" in said or "quality" in said:
        fields.pop("variant", None)
    if "engine" in said:
        for name in ("route", "model", "loras", "sampler", "scheduler", "options"):
            fields.pop(name, None)
    if "aspect_ratio" in said:
        fields = {n: v for n, v in fields.items() if n not in ("width", "height")}
    elif "width" in said or "height" in said:
        fields.pop("aspect_ratio", None)
    return ImageRequest(**{**fields, **said})


def note(
    request: ImageRequest, engine: str | None, variant: str | None, seed: int | None
) -> dict[str, Any]:
    """The part of a note that is known before the picture is."""
    return {"engine": engine, "variant": variant, "seed": seed, "request": fields_of(request)}
