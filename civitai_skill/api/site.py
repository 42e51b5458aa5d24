"""The REST interface of the site: models, their versions, pictures. Public, a key is optional.

Read-only, so whatever fails may be asked again; 429 and 503 are obeyed like everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from civitai_skill.api.failures import Purpose
from civitai_skill.api.parse import read_answer
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import Flow, Service
from civitai_skill.errors import NotFound

Params = Sequence[tuple[str, str]]

#: Bytes; a page of a hundred models with all their files and pictures is a few million.
_MOST_BYTES = 32 * 1024 * 1024


def ask_site(
    service: Service, path: str, params: Params = (), *, what: str, seconds: float | None = None
) -> Flow[Mapping[str, Any] | None]:
    """An object of the site's (`path` such as `/models/1`), or None where it knows none.

    `what` says in errors what was asked for; no try begins after `seconds`. Raises TransportFailed
    and ApiError.
    """
    request = service.request(
        "GET", path, base=service.site_url, params=list(params) or None, limit=_MOST_BYTES
    )
    end = None if seconds is None else time.monotonic() + seconds
    asking = send_with_retry(service, request, Purpose(what), read=read_answer, give_up_at=end)
    try:
        found: Mapping[str, Any] = yield from asking
    except NotFound:
        return None
    return found
