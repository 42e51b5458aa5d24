"""The bytes of pictures: fetch one and check that it is whole, upload a source."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.models import Image
from civitai_skill.api.parse import read, read_answer
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import (
    ApiError,
    Forbidden,
    NotFound,
    Problem,
    RequestInvalid,
    TransportFailed,
    Unauthorized,
)
from civitai_skill.errors.next_steps import Look
from civitai_skill.images.decode import (
    MAX_PIXELS,
    SUFFIXES,
    FetchedPicture,
    ShortOfMemory,
    Unreadable,
    decode,
)
from civitai_skill.images.sources import Source, is_private
from civitai_skill.images.svg import check_svg

BLOBS = "/v2/consumer/blobs"

#: Bytes of one picture.
MAX_BYTES = 256 * 1024 * 1024
# 164 KB were seen to take 9 s (civitai-api facts, section 6).
READ_TIMEOUT = 60.0
_HOPS = 5
#: How often one way is tried that brought something broken; `send_with_retry` has tries of its own.
_TRIES = 3
#: What a delivered picture may be, in Pillow's names.
KINDS = list(SUFFIXES)

_A_PICTURE = Purpose("a picture")


class _BrokenPicture(Exception):
    """What came is no whole picture. `passing` says that the same way may lead to one yet."""

    def __init__(self, why: str, *, passing: bool = True) -> None:
        super().__init__(why)
        self.passing = passing


def fetch(service: Service, image: Image, workflow_id: str) -> Flow[FetchedPicture]:
    """Fetch one picture: by its signed URL, after a refresh, at last by its id.

    The key goes to the service only, never to where a URL or a redirect points. Raises
    TransportFailed (the Buzz is spent, the picture still there) when nothing whole comes.
    """
    why, place = "it has no address", f"{BLOBS}/{quote(image.id, safe='')}"
    ways: list[Callable[[], Flow[httpx.Response]]] = [
        partial(_refresh, service, place),
        partial(_fetch_by_id, service, place),
    ]
    if image.url:
        ways.insert(0, partial(_follow, service, image.url))
    for way in ways:
        for attempt in range(1, _TRIES + 1):
            try:
                response = yield from way()
                picture: FetchedPicture = yield Work(
                    partial(_check_picture, response, image.vector)
                )
                return picture
            except ShortOfMemory as error:
                why = str(error)
                ways.clear()  # the next one would be as large
                break
            except (Unauthorized, Forbidden, NotFound) as error:
                why = f"status {error.status}"
                break
            except _BrokenPicture as error:
                why = str(error)
                pause = service.retry.pause(attempt)
                if not error.passing or attempt == _TRIES or pause is None:
                    break
                yield pause
            except (TransportFailed, ApiError) as error:
                why = error.message
                break
    raise TransportFailed(
        f"Picture {image.id} of workflow {workflow_id} could not be fetched: {why}",
        spent="yes",
        workflow_id=workflow_id,
        advice="It is paid for and kept for 30 days.",
        next=[Look(workflow_id, save=True)],
    )


def fetch_source(service: Service, url: str, field: str) -> Flow[bytes]:
    """The bytes of a source picture that is an address, without the key. Raises RequestInvalid."""
    try:
        response = yield from _follow(service, url)
        picture: FetchedPicture = yield Work(partial(_check_picture, response, False))
    except (_BrokenPicture, ShortOfMemory, TransportFailed, ApiError) as error:
        why = f"could not be fetched: {error}"
        raise RequestInvalid(Problem(field, url, "the address of a picture", None, why)) from None
    return picture.data


def _follow(service: Service, url: str, first: httpx.Request | None = None) -> Flow[httpx.Response]:
    """The answer of an address, or where its redirects lead. Only the `first` request, where it is
    given, may carry the key."""
    request = first
    for _ in range(_HOPS + (first is not None)):
        try:
            if request is None:
                if urlsplit(url).scheme not in ("https", "http"):
                    raise _BrokenPicture("its address is not http or https", passing=False)
                if is_private(url) and not is_private(service.base_url):
                    raise _BrokenPicture("its address leads into a private network", passing=False)
                request = service.request("GET", url, read=READ_TIMEOUT, limit=MAX_BYTES)
        except (ValueError, httpx.InvalidURL):
            raise _BrokenPicture("its address can't be read", passing=False) from None
        response: httpx.Response = yield from send_with_retry(service, request, _A_PICTURE)
        if not response.is_redirect:
            return response
        location = response.headers.get("location", "")
        if not location:
            raise _BrokenPicture("a redirect leads nowhere")
        try:
            url, request = urljoin(str(response.request.url), location), None
        except ValueError:
            raise _BrokenPicture(
                "a redirect leads to an address that can't be read", passing=False
            ) from None
    raise _BrokenPicture("its address redirects without end", passing=False)


def _refresh(service: Service, place: str) -> Flow[httpx.Response]:
    request = service.request("POST", f"{place}/refresh")
    purpose = Purpose("a fresh address for a picture")
    response: httpx.Response = yield from send_with_retry(service, request, purpose)
    url = read(read_answer(response) or {}, "url", str)
    if not url:
        raise _BrokenPicture("the fresh address is missing")
    return (yield from _follow(service, url))


def _fetch_by_id(service: Service, place: str) -> Flow[httpx.Response]:
    request = service.request("GET", place, read=READ_TIMEOUT, limit=MAX_BYTES)
    return (yield from _follow(service, "", request))


def _check_picture(response: httpx.Response, vector: bool) -> FetchedPicture:
    data = response.content
    told = response.headers.get("content-length", "")
    if told.isdigit() and int(told) != len(data):
        raise _BrokenPicture(f"only {len(data)} of {told} bytes came")
    if not data:
        raise _BrokenPicture("the answer was empty")
    try:
        if vector:
            return check_svg(data)
        with decode(data, KINDS, MAX_PIXELS) as picture:
            return FetchedPicture(data, SUFFIXES[picture.format], picture.size)
    except ShortOfMemory:
        raise
    except Unreadable as error:
        raise _BrokenPicture(f"what came is {error}", passing=error.broken) from None


def upload(service: Service, source: Source, give_up_at: float | None = None) -> Flow[str]:
    """Upload a picture; gives the URL that a step may name. Costs no Buzz. `give_up_at` is the
    caller's deadline (of `service.now`).

    Raises RequestInvalid when the service blocks the picture, TransportFailed or ApiError.
    """
    request = service.request("POST", BLOBS, content=source.data, kind=source.mime)
    blob: dict[str, Any] = yield from send_with_retry(
        service, request, Purpose("the upload of a source picture"), read=read_answer,
        give_up_at=give_up_at,
    )  # fmt: skip
    blocked, url = read(blob, "blockedReason", str), read(blob, "url", str)
    refused = blocked.lower() not in ("", "none")
    if refused or not url or blob.get("available") is False:
        why = f"blocked by the service: {blocked}" if refused else "the service did not keep it"
        raise RequestInvalid(
            Problem("images", f"{len(source.data)} bytes", "another picture", None, why)
        )
    return url
