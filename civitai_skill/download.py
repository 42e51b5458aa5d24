"""Bring pictures home: fetched without the key, checked, written under a temporary name, renamed.

A file under its final name is whole: length, type and decoding were checked before. The suffix
follows the bytes, not the URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx

from civitai_skill.errors import (
    ApiError,
    Forbidden,
    NotFound,
    Problem,
    RequestInvalid,
    TransportFailed,
    Unauthorized,
)
from civitai_skill.exchange import Flow, Service, Work, answered
from civitai_skill.files import written
from civitai_skill.pixels import Unreadable, kind_of, opened
from civitai_skill.replies import json_of
from civitai_skill.workflow import Image

BLOBS = "/v2/consumer/blobs"

#: Bytes and pixels of one picture; the largest engine makes 8192 x 4320, an upscaler 16384 x 16384.
MAX_BYTES = 256 * 1024 * 1024
MAX_PIXELS = 300_000_000
# 164 KB were seen to take 9 s (civitai-api facts, section 6).
READ_TIMEOUT = 60.0
_HOPS = 5
#: How often one way is tried that brought something broken; `answered` has tries of its own.
_TRIES = 3
_SUFFIXES = {"JPEG": ".jpeg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}


@dataclass(frozen=True)
class Fetched:
    """The checked bytes of one picture; `size` is pixels, `suffix` what the bytes are."""

    data: bytes
    suffix: str
    size: tuple[int, int]


class _Broken(Exception):
    """What came is no whole picture. `passing` says that the same way may lead to one yet."""

    def __init__(self, why: str, *, passing: bool = True) -> None:
        super().__init__(why)
        self.passing = passing


def fetch(service: Service, image: Image, workflow_id: str) -> Flow[Fetched]:
    """Fetch one picture: by its signed URL, after a refresh, at last by its id.

    The key goes to the service only, never to where a URL or a redirect points. Raises
    TransportFailed (the Buzz is spent, the picture still there) when nothing whole comes.
    """
    ways = [_by_url, _by_refresh, _by_id] if image.url else [_by_refresh, _by_id]
    last = "it has no address"
    for way in ways:
        for attempt in range(1, _TRIES + 1):
            try:
                response = yield from way(service, image)
                checked = yield Work(partial(_checked, response))
                assert isinstance(checked, Fetched)
                return checked
            except (Unauthorized, Forbidden, NotFound) as error:
                last = f"status {error.status}"
                break
            except _Broken as error:
                last = str(error)
                pause = service.retry.pause(attempt)
                if not error.passing or attempt == _TRIES or pause is None:
                    break
                yield pause
            except (TransportFailed, ApiError) as error:
                last = error.message
                break
    raise TransportFailed(
        f"Picture {image.id} of workflow {workflow_id} could not be fetched: {last}",
        spent="yes",
        workflow_id=workflow_id,
        hint=f"It is paid for and kept for 30 days. Fetch it with: civitai-skill get {workflow_id}",
    )


def _by_url(service: Service, image: Image) -> Flow[httpx.Response]:
    return (yield from _followed(service, image.url or ""))


def _by_refresh(service: Service, image: Image) -> Flow[httpx.Response]:
    request = service.request("POST", f"{BLOBS}/{quote(image.id, safe='')}/refresh")
    response = yield from answered(service, request, about="a fresh address for a picture")
    blob = json_of(response)
    url = blob.get("url") if isinstance(blob, dict) else None
    if not isinstance(url, str) or not url:
        raise _Broken("the fresh address is missing")
    return (yield from _followed(service, url))


def _by_id(service: Service, image: Image) -> Flow[httpx.Response]:
    request = service.request(
        "GET", f"{BLOBS}/{quote(image.id, safe='')}", read=READ_TIMEOUT, limit=MAX_BYTES
    )
    response = yield from answered(service, request, about="a picture")
    if response.is_redirect:
        return (yield from _followed(service, _target(response)))
    return response


def _followed(service: Service, url: str) -> Flow[httpx.Response]:
    for _ in range(_HOPS):
        try:
            if urlsplit(url).scheme not in ("https", "http"):
                raise _Broken("its address is not http or https", passing=False)
            request = service.anonymous("GET", url, read=READ_TIMEOUT, limit=MAX_BYTES)
        except (ValueError, httpx.InvalidURL):
            raise _Broken("its address can't be read", passing=False) from None
        response = yield from answered(service, request, about="a picture")
        if not response.is_redirect:
            return response
        url = _target(response)
    raise _Broken("its address redirects without end", passing=False)


def _target(response: httpx.Response) -> str:
    location: str = response.headers.get("location", "")
    if not location:
        raise _Broken("a redirect leads nowhere")
    try:
        return str(urljoin(str(response.request.url), str(location)))
    except ValueError:
        raise _Broken("a redirect leads to an address that can't be read", passing=False) from None


def _checked(response: httpx.Response) -> Fetched:
    data = response.content
    told = response.headers.get("content-length", "")
    if told.isdigit() and int(told) != len(data):
        raise _Broken(f"only {len(data)} of {told} bytes came")
    if not data:
        raise _Broken("the answer was empty")
    try:
        with opened(data, list(_SUFFIXES), MAX_PIXELS) as picture:
            return Fetched(data, _SUFFIXES[kind_of(picture)], picture.size)
    except Unreadable as error:
        raise _Broken(f"what came is {error}", passing=error.broken) from None


# -- the disk --------------------------------------------------------------------------
def ready_folder(out: Path) -> Path:
    """Make the output folder and try it, before anything is paid. Raises RequestInvalid."""
    try:
        str(out.absolute()).encode()  # the ledger keeps it, and answers name it
        out.mkdir(parents=True, exist_ok=True)
        with written(out, b""):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise RequestInvalid(
            Problem("out", str(out), "a folder that can be written to", None, reason)
        ) from None
    return out


def save(fetched: Fetched, out: Path, stem: str) -> Path:
    """Write a picture under its final name, whole or not at all. Raises OSError."""
    path = out / (re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip(".") + fetched.suffix)
    with written(out, fetched.data) as part:
        part.replace(path)
    return path
