"""The request that made a picture of ours: by its sidecar, by its digest in the ledger, or by what
stands in the file itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from civitai_skill.api.models import Workflow
from civitai_skill.errors import ConfigError, Problem, RequestInvalid
from civitai_skill.errors.next_steps import Advice, Remix, Vary
from civitai_skill.images.decode import Unreadable
from civitai_skill.images.embedded import read_text
from civitai_skill.images.save import Label
from civitai_skill.images.sidecar import merge_fields, read_request, request_of
from civitai_skill.images.sources import SourcePolicy, local_path
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.remix.texts import read_picture
from civitai_skill.schema.pictures import MAX_BYTES
from civitai_skill.schema.request import ImageRequest

#: How far another seed is from a picture's: those between are of pictures made together.
_APART = 100


def vary_picture(
    picture: Path, said: Mapping[str, Any], ledger: Ledger | None = None
) -> ImageRequest:
    """The request for a picture once more, with other values for some fields.

    It keeps engine, prompt and seed. Raises RequestInvalid for a picture that nobody knows here.
    """
    return ImageRequest(**merge_fields(_find(picture, ledger), said))


def find_own(source: Any, policy: SourcePolicy, ledger: Ledger | None) -> dict[str, Any] | None:
    """The request that made a source, where that is a picture of ours by its sidecar or by the
    ledger; None for any other source. A source that may not be read is not looked at."""
    if isinstance(source, bytes):
        return _from_ledger(ledger, source)
    if not isinstance(source, str | Path) or not policy.local:
        return None
    try:
        path = local_path(str(source))
        data = _read(path)
    except (RequestInvalid, ValueError, RuntimeError):
        return None
    with suppress(RequestInvalid):
        is_note = path.suffix == ".json"
        return read_request(path, None if is_note else hashlib.sha256(data).hexdigest())
    return _from_ledger(ledger, data)


def same_again(request: ImageRequest) -> tuple[str, ...]:
    """What is said of a request for a picture once more in which nothing was said otherwise."""
    if request.seed is None:
        return ()
    other = request.seed + (_APART if request.seed < _APART * 10**6 else -_APART)
    same = f"The same picture again, seed {request.seed}; another seed makes another."
    return (Advice(same, Vary("seed", other)),)


def _find(picture: Path, ledger: Ledger | None) -> dict[str, Any]:
    data = b"" if picture.suffix == ".json" else _read(picture)
    try:
        # One that lies beside it by chance has another picture's digest.
        return read_request(picture, hashlib.sha256(data).hexdigest() if data else None)
    except RequestInvalid as error:
        refused = error.replace()
    found = _from_ledger(ledger, data) or _from_file(data)
    if found is not None:
        return found
    with suppress(RequestInvalid):
        return read_request(picture)  # the picture was changed since
    if picture.suffix == ".json" or picture.with_suffix(".json").exists():
        raise refused
    problem = replace(refused.problems[0], why="was not made here, as far as is known")
    raise RequestInvalid(problem, next=[Remix(str(picture))])


def _read(picture: Path) -> bytes:
    try:
        if not picture.is_file() or picture.stat().st_size > MAX_BYTES:
            raise OSError(0, "no picture's file")
        return picture.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable path"
        raise RequestInvalid(Problem("PICTURE", str(picture), "a picture", None, why)) from None


def _from_ledger(ledger: Ledger | None, data: bytes) -> dict[str, Any] | None:
    found: tuple[Run, int] | None = None
    if ledger is not None and data:
        with suppress(ConfigError):
            found = ledger.find_picture(hashlib.sha256(data).hexdigest())
    if found is None:
        return None
    run, n = found
    facts = None if run.label is None else Label.from_json(run.label).facts
    if facts:
        return request_of({**facts, "n": n})
    try:
        made = Workflow.read(json.loads(run.body)).input
    except ValueError:
        return None
    fields = read_text(made.get("imageMetadata"))
    if fields is not None and isinstance(fields.get("seed"), int):
        fields["seed"] += n
    return fields


def _from_file(data: bytes) -> dict[str, Any] | None:
    with suppress(Unreadable, RequestInvalid):
        reading = read_picture(data) if data else None
        return None if reading is None else reading.own_request()
    return None
