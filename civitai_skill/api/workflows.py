"""Workflows at the service: their price, the submit, a look, the list. No I/O (see service.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from civitai_skill.api.failures import Purpose
from civitai_skill.api.models import Cost, Workflow
from civitai_skill.api.parse import read, read_answer, read_list
from civitai_skill.api.progress import ServiceWarning
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import POLL_MARGIN, PRICE_TIMEOUT, Flow, Retry, Service
from civitai_skill.errors import ApiError, Forbidden, TransportFailed, Unauthorized

WORKFLOWS = "/v2/consumer/workflows"

#: How a price of the sandbox is told: it is no price of the service's.
SIMULATED = "simulated by the sandbox"

#: Longer ago nothing was begun that is still running: a step times out after 20 minutes.
_MAY_RUN = timedelta(days=2)


@dataclass(frozen=True)
class Quote:
    """A price told by the service (`whatif`), in Buzz. The id of a quote is never a job.

    `plan` is what was priced, where a request was (see engines.planning)."""

    cost: Cost
    insufficient_buzz: bool
    raw: Mapping[str, Any]
    #: What the service warns of, such as a model that is going.
    warnings: tuple[ServiceWarning, ...] = ()
    plan: Any = field(default=None, repr=False)
    #: Was the price made up by the sandbox?
    simulated: bool = False

    @property
    def teller(self) -> str:
        """Who says this price."""
        return SIMULATED if self.simulated else "says the service"

    @property
    def total(self) -> int | None:
        return self.cost.total

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"total": self.total}
        if self.cost.paid:
            out["by_currency"] = dict(self.cost.paid)
        out["variable"] = self.cost.variable
        out["insufficient_buzz"] = self.insufficient_buzz
        if self.warnings:
            out["warnings"] = [str(warning) for warning in self.warnings]
        return {**out, "simulated": True} if self.simulated else out


@dataclass(frozen=True)
class Page:
    """One page of past workflows, newest first; `next` is the cursor of the following one."""

    items: tuple[Workflow, ...]
    next: str | None


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The bytes that are sent for a body; every retry sends the same ones."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def estimate(
    service: Service, body: Mapping[str, Any], *, give_up_at: float | None = None
) -> Flow[Quote]:
    """Ask for the price; `give_up_at` (of `service.now`) is the caller's deadline. Spends nothing.

    The key is left out: the document says that a price request claims it.
    """
    if "externalId" in body:
        body = {name: value for name, value in body.items() if name != "externalId"}
    request = service.request(
        "POST",
        WORKFLOWS,
        params={"whatif": "true"},
        content=encode_body(body),
        read=PRICE_TIMEOUT if give_up_at is None else max(1.0, give_up_at - service.now()),
    )
    workflow: Workflow = yield from send_with_retry(
        service, request, Purpose("the price request"), read=_read, give_up_at=give_up_at
    )
    return Quote(
        workflow.cost,
        workflow.insufficient_buzz,
        workflow.raw,
        workflow.warnings,
        simulated=service.simulated,
    )


def _read(response: httpx.Response, id: str | None = None) -> Workflow | None:
    """The workflow that an answer tells of, under the `id` that was asked for, whatever it says."""
    answer = read_answer(response)
    if answer is not None and id is not None:
        answer = {**answer, "id": id}
    return None if answer is None else Workflow.read(answer, response.status_code)


def submit(
    service: Service, content: bytes, key: str, *, give_up_at: float | None = None
) -> Flow[Workflow]:
    """Submit once, however often it must be sent: the bytes carry the key.

    `wait` stays 0, so that the id is known as early as can be. Raises TransportFailed with the key
    when it is not known whether the service took it; `give_up_at` as of `estimate`.
    """
    foreign: list[str | None] = []

    def read_ours(response: httpx.Response) -> Workflow | None:
        workflow = _read(response)
        if workflow is None or not workflow.id:
            return None
        # The service puts the account before the key.
        told = workflow.external_id
        if (told is not None and told.endswith(key)) or _is_about(workflow, content):
            return workflow
        foreign.append(workflow.id)
        return None

    request = service.request("POST", WORKFLOWS, params={"wait": 0}, content=content)
    try:
        workflow: Workflow = yield from send_with_retry(
            service, request, Purpose("the submit", key), read=read_ours, give_up_at=give_up_at
        )
    except TransportFailed as error:
        if not foreign:
            raise
        message = f"The service answered the submit with another workflow, {foreign[-1]}."
        raise error.replace(message=message) from None
    return workflow


def _is_about(workflow: Workflow, sent: bytes) -> bool:
    """Was a workflow that lacks our key made from what was sent? It says so by its prompt; what
    tells neither key nor prompt is believed."""
    prompts = [w.input.get("prompt") for w in (workflow, Workflow.read(json.loads(sent)))]
    if all(isinstance(prompt, str) for prompt in prompts):
        theirs, ours = (str(prompt).casefold().split() for prompt in prompts)
        return ours == theirs
    return workflow.external_id is None


def get(
    service: Service,
    workflow_id: str,
    *,
    wait: float = 0.0,
    give_up_at: float | None = None,
    committed: bool = False,
) -> Flow[Workflow]:
    """Read a workflow; with `wait` the service may hold the answer that many seconds.

    `committed` says that it is known as paid, so that no error tells otherwise.
    """
    request = service.request(
        "GET",
        f"{WORKFLOWS}/{quote(workflow_id, safe='')}",
        params={"wait": int(wait)} if wait >= 1 else None,
        read=max(30.0, wait + POLL_MARGIN),
    )
    workflow: Workflow = yield from send_with_retry(
        service,
        request,
        Purpose(f"reading workflow {workflow_id}", paid=workflow_id if committed else None),
        read=partial(_read, id=workflow_id),
        give_up_at=give_up_at,
    )
    return workflow


def query(service: Service, *, running: bool = False, **filters: Any) -> Flow[Page]:
    """One page of past workflows; see `_read_page` for the filters.

    With `running` only those that have not ended, of the last days where nothing else is said: the
    service has no such filter, so its pages are read until `take` are found, or all.
    """
    if not running:
        return (yield from _read_page(service, **filters))
    take = filters.pop("take", 20)
    if filters.get("since") is None:
        filters["since"] = (datetime.now(UTC) - _MAY_RUN).isoformat(timespec="seconds")
    found: list[Workflow] = []
    while True:
        page = yield from _read_page(service, **filters | {"take": 100, "exclude_failed": True})
        found += [workflow for workflow in page.items if not workflow.done]
        if len(found) >= take or page.next in (None, filters.get("cursor")):
            return Page(tuple(found), page.next)
        filters["cursor"] = page.next


def _read_page(
    service: Service,
    *,
    tags: Sequence[str] = (),
    take: int = 20,
    cursor: str | None = None,
    text: str | None = None,
    since: str | None = None,
    until: str | None = None,
    ascending: bool | None = None,
    exclude_failed: bool = False,
) -> Flow[Page]:
    """One page of past workflows. `since` and `until` are ISO dates.

    The list hides mature pictures by default where the other calls do not; here it never does.
    """
    params = {
        "take": take, "hideMatureContent": "false", "tags": list(tags) or None,
        "cursor": cursor, "query": text, "fromDate": since, "toDate": until,
        "ascending": None if ascending is None else str(ascending).lower(),
        "excludeFailed": "true" if exclude_failed else None,
    }  # fmt: skip
    said = {name: value for name, value in params.items() if value is not None}
    request = service.request("GET", WORKFLOWS, params=said)
    body = yield from send_with_retry(service, request, Purpose("the query"), read=read_answer)
    items = tuple(map(Workflow.read, read_list(body, "items", dict)))
    return Page(items, read(body, "next", str) or None)


@dataclass(frozen=True)
class Health:
    """Does the service answer, and does it take the key (None: not asked, there is none)?"""

    reachable: bool
    key_accepted: bool | None
    detail: str = ""


def health(service: Service) -> Flow[Health]:
    """Look once, without retries: the catalogue needs no key, the list of workflows does."""
    once = replace(service, retry=Retry(tries=1))
    catalogue = once.request("GET", f"{service.base_url}/v2/services?limit=1", read=10.0)
    read_json = partial(read_answer, kind=object)
    try:
        yield from send_with_retry(once, catalogue, Purpose("the catalogue"), read=read_json)
    except ApiError as error:
        # Whoever sends a visitor elsewhere is a network's sign-in page, not the service.
        return Health(error.status >= 400, None, error.message)
    except TransportFailed as error:
        return Health(False, None, error.message)
    if not service.key:
        return Health(True, None)
    request = once.request("GET", WORKFLOWS, params={"take": 1}, read=10.0)
    try:
        listing = Purpose("the list of workflows")
        yield from send_with_retry(once, request, listing, read=read_answer)
    except (ApiError, TransportFailed) as error:
        refused = isinstance(error, Unauthorized | Forbidden)
        return Health(True, False if refused else None, error.message)
    return Health(True, True)
