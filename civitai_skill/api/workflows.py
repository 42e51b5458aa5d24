"""Every decision about a workflow: submit, price, wait, query, cancel. No I/O (see service.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from civitai_skill.api.failures import Purpose
from civitai_skill.api.models import Cost, Progress, Workflow
from civitai_skill.api.parse import read_text
from civitai_skill.api.replies import is_json, is_object, read_answer
from civitai_skill.api.retry import send_with_retry
from civitai_skill.api.service import MAX_JSON, POLL_MARGIN, PRICE_TIMEOUT, Flow, Retry, Service
from civitai_skill.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    StillRunning,
    TransportFailed,
    Unauthorized,
)
from civitai_skill.errors.next_steps import Look

WORKFLOWS = "/v2/consumer/workflows"

#: Seconds of one long-poll. The service's own limit for a request is 100 s; its widget uses 90.
LONG_POLL = 60.0
#: Shorter while somebody watches, so that the progress moves.
WATCHED_POLL = 10.0

Clock = Callable[[], float]


@dataclass(frozen=True)
class Quote:
    """A price told by the service (`whatif`), in Buzz. The id of a quote is never a job.

    `plan` is what was priced, where a request was (see engines.planning)."""

    cost: Cost
    insufficient_buzz: bool
    raw: Mapping[str, Any]
    plan: Any = field(default=None, repr=False)

    @property
    def total(self) -> int | None:
        return self.cost.total

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"total": self.total}
        accounts = self.cost.paid
        if accounts:
            out["by_currency"] = dict(accounts)
        out["variable"] = self.cost.variable
        out["insufficient_buzz"] = self.insufficient_buzz
        return out


@dataclass(frozen=True)
class Page:
    """One page of past workflows, newest first; `next` is the cursor of the following one."""

    items: tuple[Workflow, ...]
    next: str | None


@dataclass(frozen=True)
class Canceled:
    """What a cancel came to. `refunded` is Buzz; `was_done` says that it had ended before."""

    workflow: Workflow
    refunded: int
    was_done: bool

    def __str__(self) -> str:
        if self.was_done:
            return f"{self.workflow.id} had ended already ({self.workflow.status})"
        return f"{self.workflow.id}: {self.workflow.status}, {self.refunded} Buzz refunded"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.workflow.id,
            "status": self.workflow.status,
            "refunded": self.refunded,
            "was_done": self.was_done,
            "cost": self.workflow.cost.as_dict(),
        }


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The bytes that are sent for a body; every retry sends the same ones."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def estimate(service: Service, body: Mapping[str, Any]) -> Flow[Quote]:
    """Ask for the price. Spends nothing.

    The key is left out: the document says that a price request claims it.
    """
    asked = {name: value for name, value in body.items() if name != "externalId"}
    request = service.request(
        "POST", WORKFLOWS, params={"whatif": "true"}, content=encode_body(asked), read=PRICE_TIMEOUT
    )
    response = yield from send_with_retry(
        service, request, Purpose("the price request"), usable=is_object
    )
    workflow = Workflow.read(read_answer(response))
    return Quote(workflow.cost, workflow.insufficient_buzz, workflow.raw)


def submit(service: Service, content: bytes, key: str) -> Flow[Workflow]:
    """Submit once, however often it must be sent: the bytes carry the key.

    `wait` stays 0, so that the id is known as early as can be. Raises TransportFailed with the key
    when it is not known whether the service took it.
    """
    request = service.request("POST", WORKFLOWS, params={"wait": 0}, content=content)
    response = yield from send_with_retry(
        service,
        request,
        Purpose("the submit", key),
        usable=lambda got: is_object(got) and read_text(read_answer(got), "id") is not None,
    )
    return replace(Workflow.read(read_answer(response)), http_status=response.status_code)


def get(
    service: Service,
    workflow_id: str,
    *,
    wait: float = 0.0,
    give_up_at: float | None = None,
    now: Clock = time.monotonic,
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
    response = yield from send_with_retry(
        service,
        request,
        Purpose(f"reading workflow {workflow_id}", paid=workflow_id if committed else None),
        usable=is_object,
        give_up_at=give_up_at,
        now=now,
    )
    read = Workflow.read({**read_answer(response), "id": workflow_id})
    return replace(read, http_status=response.status_code)


def wait(
    service: Service,
    workflow: Workflow | str,
    *,
    timeout: float,
    tell: Callable[[Progress], None] | None = None,
    now: Clock = time.monotonic,
) -> Flow[Workflow]:
    """Wait until a workflow ends. Raises StillRunning at the deadline; never cancels.

    Long-polls; where the service answers early without being finished a gap is kept (1 s, then half
    the time already waited, at most 30 s), so that one that ignores `wait` is not flooded.
    """
    started = now()
    deadline = started + timeout
    if isinstance(workflow, str):
        workflow_id, latest = workflow, None
    else:
        workflow_id, latest = workflow.id or "", workflow
    poll = WATCHED_POLL if tell is not None else LONG_POLL
    gap = 0.0
    while True:
        if latest is not None:
            if latest.done:
                return latest
            if tell is not None:
                tell(latest.progress)
            if now() >= deadline:
                raise still_running_error(latest, timeout)
            if gap:
                yield min(gap, max(0.0, deadline - now()))
        asked = min(poll, max(0.0, deadline - now()))
        sent = now()
        try:
            latest = yield from get(
                service, workflow_id, wait=asked, give_up_at=deadline, now=now, committed=True
            )
        except BadRequest:
            if poll == 0:
                raise
            poll = 0.0  # an old deployment takes no number here; ask without
            continue
        except (TransportFailed, ApiError):
            if now() < deadline:
                raise
            raise still_running_error(latest or Workflow(workflow_id, "unknown"), timeout) from None
        early = now() - sent < asked - 0.5 or asked < 1
        waited = now() - started
        gap = min(30.0, max(1.0, waited / 2)) if early else 0.0


def still_running_error(workflow: Workflow, timeout: float) -> StillRunning:
    """The error at the caller's deadline: the id, the next call, and that the Buzz is committed."""
    return StillRunning(
        f"Workflow {workflow.id} is still running after {timeout:g} s ({workflow.progress}).",
        workflow=workflow,
        advice="It goes on, and nothing was canceled.",
        next=[Look(workflow.id)],
    )


def query(
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
    params: dict[str, Any] = {"take": take, "hideMatureContent": "false"}
    if tags:
        params["tags"] = list(tags)
    for name, value in {
        "cursor": cursor, "query": text, "fromDate": since, "toDate": until,
        "ascending": None if ascending is None else str(ascending).lower(),
        "excludeFailed": "true" if exclude_failed else None,
    }.items():  # fmt: skip
        if value is not None:
            params[name] = value
    request = service.request("GET", WORKFLOWS, params=params)
    response = yield from send_with_retry(service, request, Purpose("the query"), usable=is_object)
    body = read_answer(response)
    items = body.get("items")
    following = body.get("next")
    return Page(
        tuple(Workflow.read(i) for i in (items if isinstance(items, list) else [])
              if isinstance(i, Mapping)),
        following if isinstance(following, str) and following else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Health:
    """Does the service answer, and does it take the key (None: not asked, there is none)?"""

    reachable: bool
    key_accepted: bool | None
    detail: str = ""


def health(service: Service) -> Flow[Health]:
    """Look once, without retries: the catalogue needs no key, the list of workflows does."""
    once = replace(service, retry=Retry(tries=1))
    url = f"{service.base_url}/v2/services?limit=1"
    catalogue = once.anonymous("GET", url, read=10.0, limit=MAX_JSON)
    try:
        yield from send_with_retry(once, catalogue, Purpose("the catalogue"), usable=is_json)
    except ApiError as error:
        # Whoever sends a visitor elsewhere is a network's sign-in page, not the service.
        return Health(error.status >= 400, None, error.message)
    except TransportFailed as error:
        return Health(False, None, error.message)
    if not service.key:
        return Health(True, None)
    request = once.request("GET", WORKFLOWS, params={"take": 1}, read=10.0)
    try:
        yield from send_with_retry(
            once, request, Purpose("the list of workflows"), usable=is_object
        )
    except (ApiError, TransportFailed) as error:
        refused = isinstance(error, Unauthorized | Forbidden)
        return Health(True, False if refused else None, error.message)
    return Health(True, True)


def update(
    service: Service,
    workflow_id: str,
    change: Mapping[str, Any],
    *,
    pays: bool = False,
    committed: bool = False,
) -> Flow[None]:
    """Change a workflow (PUT); `pays` says that the change costs Buzz, `committed` that the
    workflow did."""
    request = service.request(
        "PUT", f"{WORKFLOWS}/{quote(workflow_id, safe='')}", content=encode_body(change)
    )
    paid = workflow_id if committed else None
    what = f"changing workflow {workflow_id}"
    yield from send_with_retry(service, request, Purpose(what, paid=paid, pays=pays))


def cancel(service: Service, workflow_id: str, *, committed: bool = False) -> Flow[Canceled]:
    """Cancel a workflow and read what was refunded; `committed` says that it is known as paid.

    What a cancel of a finished workflow answers is not documented, so 400 and 409 are read as
    "already finished" where the workflow says so itself.
    """
    before = yield from get(service, workflow_id, committed=committed)
    if before.done:
        return Canceled(before, 0, was_done=True)
    try:
        yield from update(service, workflow_id, {"status": "canceled"}, committed=True)
    except ApiError as error:
        after = yield from get(service, workflow_id, committed=True)
        if error.status in (400, 409) and after.done:
            return Canceled(after, 0, was_done=True)
        raise
    try:
        after = yield from get(service, workflow_id)
    except (TransportFailed, ApiError) as error:
        raise error.replace(
            message=f"The cancel was taken, but what came back is not known. {error.message}",
            advice="",
            next=(Look(workflow_id),),
            spent="unknown",
            workflow_id=workflow_id,
        ) from None
    refunded = sum(after.cost.refunded.values()) - sum(before.cost.refunded.values())
    return Canceled(after, refunded, was_done=after.done and after.status != "canceled")
