"""The bytes of pictures: fetch one and check that it is whole, upload a source."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote, urljoin, urlsplit

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.models import Image
from civitai_skill.api.replies import is_object, read_answer
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
    kind_of,
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
    ways = (
        [_fetch_by_url, _fetch_by_refresh, _fetch_by_id]
        if image.url
        else [_fetch_by_refresh, _fetch_by_id]
    )
    last = "it has no address"

    def not_fetched(why: str) -> TransportFailed:
        return TransportFailed(
            f"Picture {image.id} of workflow {workflow_id} could not be fetched: {why}",
            spent="yes",
            workflow_id=workflow_id,
            advice="It is paid for and kept for 30 days.",
            next=[Look(workflow_id, save=True)],
        )

    for way in ways:
        for attempt in range(1, _TRIES + 1):
            try:
                response = yield from way(service, image)
                checked = yield Work(partial(_check_picture, response, image.vector))
                assert isinstance(checked, FetchedPicture)
                return checked
            except ShortOfMemory as error:  # the next one would be as large
                raise not_fetched(str(error)) from None
            except (Unauthorized, Forbidden, NotFound) as error:
                last = f"status {error.status}"
                break
            except _BrokenPicture as error:
                last = str(error)
                pause = service.retry.pause(attempt)
                if not error.passing or attempt == _TRIES or pause is None:
                    break
                yield pause
            except (TransportFailed, ApiError) as error:
                last = error.message
                break
    raise not_fetched(last)


def fetch_source(service: Service, url: str, field: str) -> Flow[bytes]:
    """The bytes of a source picture that is an address, without the key. Raises RequestInvalid."""
    try:
        response = yield from _fetch_by_url(service, Image(), url)
        checked = yield Work(partial(_check_picture, response, False))
    except (_BrokenPicture, ShortOfMemory, TransportFailed, ApiError) as error:
        why = f"could not be fetched: {error}"
        raise RequestInvalid(Problem(field, url, "the address of a picture", None, why)) from None
    assert isinstance(checked, FetchedPicture)
    return checked.data


def _fetch_by_url(service: Service, image: Image, url: str = "") -> Flow[httpx.Response]:
    url = url or image.url or ""
    for _ in range(_HOPS):
        try:
            if urlsplit(url).scheme not in ("https", "http"):
                raise _BrokenPicture("its address is not http or https", passing=False)
            if is_private(url) and not is_private(service.base_url):
                raise _BrokenPicture("its address leads into a private network", passing=False)
            request = service.anonymous("GET", url, read=READ_TIMEOUT, limit=MAX_BYTES)
        except (ValueError, httpx.InvalidURL):
            raise _BrokenPicture("its address can't be read", passing=False) from None
        response = yield from send_with_retry(service, request, _A_PICTURE)
        if not response.is_redirect:
            return response
        url = _redirect_target(response)
    raise _BrokenPicture("its address redirects without end", passing=False)


def _fetch_by_refresh(service: Service, image: Image) -> Flow[httpx.Response]:
    request = service.request("POST", f"{BLOBS}/{quote(image.id, safe='')}/refresh")
    response = yield from send_with_retry(
        service, request, Purpose("a fresh address for a picture")
    )
    blob = read_answer(response)
    url = blob.get("url") if isinstance(blob, dict) else None
    if not isinstance(url, str) or not url:
        raise _BrokenPicture("the fresh address is missing")
    return (yield from _fetch_by_url(service, image, url))


def _fetch_by_id(service: Service, image: Image) -> Flow[httpx.Response]:
    request = service.request(
        "GET", f"{BLOBS}/{quote(image.id, safe='')}", read=READ_TIMEOUT, limit=MAX_BYTES
    )
    response = yield from send_with_retry(service, request, _A_PICTURE)
    if response.is_redirect:
        return (yield from _fetch_by_url(service, image, _redirect_target(response)))
    return response


def _redirect_target(response: httpx.Response) -> str:
    location: str = response.headers.get("location", "")
    if not location:
        raise _BrokenPicture("a redirect leads nowhere")
    try:
        return str(urljoin(str(response.request.url), str(location)))
    except ValueError:
        raise _BrokenPicture(
            "a redirect leads to an address that can't be read", passing=False
        ) from None


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
            return FetchedPicture(data, SUFFIXES[kind_of(picture)], picture.size)
    except ShortOfMemory:
        raise
    except Unreadable as error:
        raise _BrokenPicture(f"what came is {error}", passing=error.broken) from None


def upload(service: Service, source: Source, give_up_at: float | None = None) -> Flow[str]:
    """Upload a picture; gives the URL that a step may name. Costs no Buzz. `give_up_at` is the
    caller's deadline (time.monotonic).

    Raises RequestInvalid when the service blocks the picture, TransportFailed or ApiError.
    """
    request = service.request("POST", BLOBS, content=source.data, kind=source.mime)
    response = yield from send_with_retry(
        service, request, Purpose("the upload of a source picture"), usable=is_object,
        give_up_at=give_up_at,
    )  # fmt: skip
    blob = read_answer(response)
    blocked, url = blob.get("blockedReason"), blob.get("url")
    refused = isinstance(blocked, str) and blocked.lower() != "none"
    if refused or not isinstance(url, str) or not url or blob.get("available") is False:
        why = f"blocked by the service: {blocked}" if refused else "the service did not keep it"
        raise RequestInvalid(
            Problem("images", f"{len(source.data)} bytes", "another picture", None, why)
        )
    return url
