"""Put a source picture into the service's blob store."""

from __future__ import annotations

from civitai_skill.api.blobs import BLOBS
from civitai_skill.api.replies import is_object, json_of
from civitai_skill.api.service import Flow, Service, send_with_retry
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import Source


def upload(service: Service, source: Source) -> Flow[str]:
    """Upload a picture; gives the URL that a step may name. Costs no Buzz.

    Raises RequestInvalid when the service blocks the picture, TransportFailed or ApiError.
    """
    request = service.request("POST", BLOBS, content=source.data, kind=source.mime)
    response = yield from send_with_retry(
        service, request, usable=is_object, about="the upload of a source picture"
    )
    blob = json_of(response)
    blocked, url = blob.get("blockedReason"), blob.get("url")
    refused = isinstance(blocked, str) and blocked.lower() != "none"
    if refused or not isinstance(url, str) or not url or blob.get("available") is False:
        why = f"blocked by the service: {blocked}" if refused else "the service did not keep it"
        raise RequestInvalid(
            Problem("images", f"{len(source.data)} bytes", "another picture", None, why)
        )
    return url
