"""Send one request until a usable answer comes, or until it is certain that none will."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx

from civitai_skill.api.failures import (
    NOT_SENT,
    Closed,
    Purpose,
    TooLarge,
    api_error,
    certificate_fault,
    is_refusal,
    transport_failed,
)
from civitai_skill.api.service import Flow, Service

#: Seconds by which a try may outlast its caller's deadline: an answer may just be on its way.
_LATE = 3.0


def send_with_retry(
    service: Service,
    request: httpx.Request,
    purpose: Purpose,
    *,
    read: Callable[[httpx.Response], Any] = lambda response: response,
    give_up_at: float | None = None,
) -> Flow[Any]:
    """Send until a usable answer comes, and give what `read` makes of it (None: it is of no use).

    The identical request goes out each time; a refusal ends it. Raises TransportFailed or ApiError.
    No pause goes past `give_up_at` (of `service.now`); it is raised then, and not before.
    """
    end = math.inf if give_up_at is None else give_up_at
    unsure, attempt = False, 0
    while True:
        attempt += 1
        response: httpx.Response | None = None
        trouble: Exception | None = None
        # No try goes on much longer than its caller waits.
        most, limits = max(0.0, end - service.now()) + _LATE, request.extensions["timeout"]
        limits |= {name: min(limits[name], most) for name in ("connect", "read", "write")}
        request.extensions["seconds"] = min(request.extensions["seconds"], most)
        try:
            response = yield request
        except httpx.TransportError as error:
            trouble = error
            unsure = unsure or not isinstance(error, NOT_SENT)
        if response is not None:
            good = response.is_success or response.is_redirect
            if good and (found := read(response)) is not None:
                return found
            if is_refusal(response, purpose):
                raise api_error(response, purpose, unsure=unsure)
            # Only a 429 says for certain that the request was not taken.
            unsure = unsure or response.status_code != 429
        # What does not end will not end the next time either, and a certificate stays as it is.
        lasting = isinstance(trouble, TooLarge | Closed) or certificate_fault(trouble) is not None
        pause = None if lasting else service.retry.pause(attempt, response)
        late = pause is not None and service.now() + pause > end
        if late:
            yield max(0.0, end - service.now())
        if pause is None or late:
            if response is not None and response.is_error:
                raise api_error(response, purpose, unsure=unsure)
            what = trouble or response
            raise transport_failed(what, purpose, attempt, request, unsure=unsure)
        yield pause
