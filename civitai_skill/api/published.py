"""What the service publishes about itself, for everybody and without a key: its document, its
catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.replies import is_object, read_answer
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


def places(base_url: str) -> Iterator[str]:
    """Where the document is looked for, in order."""
    yield base_url + PATH
    if base_url == SERVICE_URL:
        yield ELSEWHERE


def fetch_document(service: Service) -> Flow[tuple[str, Document]]:
    """The document's address and the document. Raises TransportFailed where no place has it."""
    service, troubles = _patient(service), list[str]()
    for url in places(service.base_url):
        request = service.anonymous("GET", url, read=60.0, limit=LARGEST)
        request.headers["Accept"] = "application/json"
        try:
            response = yield from send_with_retry(
                service, request, Purpose("the document"), usable=is_object
            )
            found: Document = yield Work(partial(_read, response))
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
    service, found = _patient(service), dict[str, Offered]()
    offset = 0
    for _ in range(_MOST_PAGES):
        url = f"{service.base_url}/v2/services"
        params = {"category": "image", "limit": _PAGE, "offset": offset}
        request = service.anonymous("GET", url, params=params, read=60.0, limit=LARGEST)
        request.headers["Accept"] = "application/json"
        response = yield from send_with_retry(
            service, request, Purpose("the catalogue"), usable=_is_page
        )
        page = read_answer(response)
        for item in page["items"]:
            offered = Offered.read(item) if isinstance(item, Mapping) else None
            if offered is not None:
                found[offered.id] = offered
        offset += len(page["items"])
        total = page.get("totalCount")
        if not page["items"] or (isinstance(total, int) and offset >= total):
            break
    return tuple(found.values())


def _read(response: httpx.Response) -> Document:
    return document.read(read_answer(response))


def _is_page(response: httpx.Response) -> bool:
    return is_object(response) and isinstance(read_answer(response).get("items"), list)


def _patient(service: Service) -> Service:
    """Few tries: nothing hangs on it, and there is a second place."""
    return replace(service, retry=replace(service.retry, tries=min(service.retry.tries, 3)))
