"""The resources: pictures by workflow and number, and the skill's own pages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio.to_thread
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import FunctionResource
from mcp.types import ResourceLink

from civitai_skill.client import AsyncCivitai, Generation
from civitai_skill.errors import CivitaiError, NotFound, Problem, RequestInvalid, WorkflowFailed
from civitai_skill.schema import ids
from civitai_skill.servers.session import ServerSession

PICTURES = "civitai://images/"
TEMPLATE = PICTURES + "{workflow}/{n}"
_TYPES = {".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
_OF_ALL = "civitai-skill"


def resource_links(generation: Generation) -> Iterator[ResourceLink]:
    """Where the whole pictures can be read."""
    for n, picture in enumerate(generation.pictures):
        if picture.path is not None:
            yield ResourceLink(
                uri=f"{PICTURES}{generation.id}/{n}",
                name=picture.path.name,
                mime_type=_TYPES.get(picture.path.suffix),
            )


async def open_sources(
    session: ServerSession, arguments: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    """The arguments, whose source pictures may be resources of this server or file:// addresses, as
    clients hand them on. Raises RequestInvalid."""
    given = arguments["images"]
    images = [given] if isinstance(given, str) else list(given) if isinstance(given, list) else []
    for n, image in enumerate(images):
        if not isinstance(image, str):
            continue
        if image.startswith(PICTURES):
            try:
                data, kind = await read_picture(session, image, out)
            except ResourceError as error:
                accepted = f"{TEMPLATE}, as it was returned here"
                raise RequestInvalid(
                    Problem(f"images.{n}", image, accepted, None, str(error))
                ) from None
            images[n] = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
        elif image.startswith("file:"):
            images[n] = url2pathname(urlsplit(image).path)
    return {**arguments, "images": images or given}


async def read_picture(session: ServerSession, uri: str, out: Path) -> tuple[bytes, str]:
    """The bytes of a whole picture and their type.

    What is on disk is read; else the service is asked, and the picture saved. Raises
    ResourceNotFoundError, ResourceError.
    """
    id, slash, number = uri.removeprefix(PICTURES).partition("/")
    if not (slash and ids.is_workflow_id(id) and re.fullmatch(r"[0-9]{1,5}", number)):
        raise ResourceNotFoundError(f"There is no such picture: {TEMPLATE} names one.")
    try:
        path, changed = await anyio.to_thread.run_sync(_find_saved, session, id, int(number))
        if path is not None and not changed:
            return await _read_file(path)
        if not changed:
            return await _fetch(session.client, id, int(number), out)
        # What its owner has made of it since stays as it is, and is no picture of the workflow.
        with TemporaryDirectory() as apart:
            async with AsyncCivitai.like(session.client) as client:
                client.ledger = None
                return await _fetch(client, id, int(number), Path(apart))
    except NotFound as error:
        raise ResourceNotFoundError(error.message) from None
    except CivitaiError as error:
        raise ResourceError(f"{error.message} {error.advice}".strip()) from None
    except OSError as error:
        raise ResourceError(f"The picture can't be read: {error.strerror}.") from None


async def _fetch(client: AsyncCivitai, id: str, number: int, out: Path) -> tuple[bytes, str]:
    """A picture of a workflow, though others may be missing."""
    try:
        pictures = (await client.download(id, out)).pictures
    except WorkflowFailed as error:
        if error.result is None or not error.result.paths:
            raise
        pictures = error.result.pictures
    path = pictures[number].path if number < len(pictures) else None
    if path is None:
        raise ResourceNotFoundError(f"Workflow {id} has no picture {number}.")
    return await _read_file(path)


async def _read_file(path: Path) -> tuple[bytes, str]:
    return await anyio.to_thread.run_sync(path.read_bytes), _TYPES[path.suffix]


def _find_saved(session: ServerSession, id: str, number: int) -> tuple[Path | None, bool]:
    """The picture's file, where the ledger knows one; was it changed since it was saved?"""
    run = session.ledger.find_by_workflow(id)
    for row in [] if run is None else session.ledger.pictures(run.key):
        path = Path(row["path"])
        if row["n"] == number and path.suffix in _TYPES and path.is_file():
            same = hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
            return path, not same
    return None, False


def list_pages(bundle: Path) -> Iterator[FunctionResource]:
    """The skill's Markdown."""
    for path in [bundle / "SKILL.md", *sorted((bundle / "skills").rglob("*.md"))]:
        parts = path.relative_to(bundle).parts
        place = "/".join((_OF_ALL, *parts) if len(parts) == 1 else parts[1:])
        yield FunctionResource(
            uri=f"skill://{place}",
            name=place,
            description="How to use these tools well.",
            mime_type="text/markdown",
            fn=partial(path.read_text, "utf-8"),
        )
