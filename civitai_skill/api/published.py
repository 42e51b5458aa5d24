"""What the service publishes about itself, for everybody and without a key: its document, its
catalogue."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.parse import read_answer, read_list
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.config import SERVICE_URL
from civitai_skill.engines.published import document
from civitai_skill.engines.published.document import Document, NotADocument
from civitai_skill.engines.published.services import Service as Offered
from civitai_skill.errors import ApiError, TransportFailed

#: Where the document stands below the service's address, and the second place where it is read.
PATH = "/openapi/v2-consumers.json"
ELSEWHERE = f"https://developer.civitai.com{PATH}"

#: Bytes of the document; the one of November 2026 has 1.2 million.
LARGEST = 5_000_000

#: A page of the catalogue (the service's own default), and more pages than it has.
_PAGE, _MOST_PAGES = 50, 100


def fetch_document(service: Service) -> Flow[tuple[str, Document]]:
    """The document's address and the document. Raises TransportFailed where no place has it."""
    troubles: list[str] = []
    elsewhere = [ELSEWHERE] if service.base_url == SERVICE_URL else []
    for url in [service.base_url + PATH, *elsewhere]:
        try:
            answer = yield from _ask(service, url, "the document")
            found: Document = yield Work(partial(document.read, answer))
            return url, found
        except (ApiError, TransportFailed) as error:
            troubles.append(f"{url}: {error.message}")
        except NotADocument as error:
            troubles.append(f"{url}: {error}.")
    raise TransportFailed(
        f"The service's published document could not be had. {' '.join(troubles)}",
        advice="What was fetched before stays in force.",
    )


def fetch_services(service: Service) -> Flow[tuple[Offered, ...]]:
    """Every picture service of the catalogue, page by page. Raises ApiError or TransportFailed."""
    found: dict[str, Offered] = {}
    offset = 0
    for _ in range(_MOST_PAGES):
        params = {"category": "image", "limit": _PAGE, "offset": offset}
        url = f"{service.base_url}/v2/services"
        page = yield from _ask(service, url, "the catalogue", params, holds="items")
        for item in read_list(page, "items", dict):
            offered = Offered.read(item)
            if offered is not None:
                found[offered.id] = offered
        offset += len(page["items"])
        total = page.get("totalCount")
        if not page["items"] or (isinstance(total, int) and offset >= total):
            break
    return tuple(found.values())


def _ask(
    service: Service, url: str, what: str, params: Any = None, *, holds: str = ""
) -> Flow[dict[str, Any]]:
    """An object, with the list that it `holds` where one is named. Few tries: nothing hangs on it,
    and there is a second place."""

    def read(response: httpx.Response) -> dict[str, Any] | None:
        answer: dict[str, Any] | None = read_answer(response)
        usable = answer is not None and (not holds or isinstance(answer.get(holds), list))
        return answer if usable else None

    request = service.request("GET", url, params=params, read=60.0, limit=LARGEST)
    request.headers["Accept"] = "application/json"
    patient = replace(service, retry=replace(service.retry, tries=min(service.retry.tries, 3)))
    answer: dict[str, Any] = yield from send_with_retry(patient, request, Purpose(what), read=read)
    return answer
