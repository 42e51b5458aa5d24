"""The tools as plain functions, for use with no framework at all.

    generate_image("a red fox", engine="z-image", out="pictures").paths

Each has an async twin with an `a` before its name. `client` is a Civitai (an AsyncCivitai for the
twins); left out, one is made from the environment and closed again. Errors are raised as those of
`civitai_skill.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from civitai_skill.api.changes import Canceled
from civitai_skill.api.models import Workflow
from civitai_skill.api.workflows import Page, Quote
from civitai_skill.client.base import Folder
from civitai_skill.client.clients import (
    TIMEOUT,
    AsyncCivitai,
    Civitai,
    aopen_client,
    open_client,
)
from civitai_skill.client.history import parse_since as moment
from civitai_skill.client.options import (
    AgainOptions,
    PriceOptions,
    PurchaseOptions,
    QueryFilters,
    RemixOptions,
    RequestLike,
)
from civitai_skill.engines.choose import Choice, choose_engine
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.purchase.result import Generation, summarize_unsaved, workflow_failed_error

if TYPE_CHECKING:
    from civitai_skill.remix.remix import Remix


# -- making ----------------------------------------------------------------------------------------
def generate_image(
    prompt: RequestLike,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: Civitai | None = None,
    **given: Unpack[PurchaseOptions],
) -> Generation:
    """Price, submit, wait and save the pictures in the folder `out`.

    `given` are the fields of an ImageRequest and what surrounds a purchase (max_buzz, tags, ...).
    With `wait_seconds` 0 it submits only. Raises StillRunning when the wait is over, with the id to
    go on with; WorkflowFailed when fewer pictures came; OverBudget above max_buzz.
    """
    with open_client(client) as civitai:
        if wait_seconds == 0:
            return summarize_unsaved(civitai.submit(prompt, out=out, **given))
        return civitai.generate(prompt, out=out, timeout=wait_seconds, **given)


async def agenerate_image(
    prompt: RequestLike,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: AsyncCivitai | None = None,
    **given: Unpack[PurchaseOptions],
) -> Generation:
    """See generate_image."""
    async with aopen_client(client) as civitai:
        if wait_seconds == 0:
            return summarize_unsaved(await civitai.submit(prompt, out=out, **given))
        return await civitai.generate(prompt, out=out, timeout=wait_seconds, **given)


def submit_image(
    prompt: RequestLike, *, client: Civitai | None = None, **given: Unpack[PurchaseOptions]
) -> Workflow:
    """Price and submit; the pictures come with get_image."""
    with open_client(client) as civitai:
        return civitai.submit(prompt, **given)


async def asubmit_image(
    prompt: RequestLike, *, client: AsyncCivitai | None = None, **given: Unpack[PurchaseOptions]
) -> Workflow:
    """See submit_image."""
    async with aopen_client(client) as civitai:
        return await civitai.submit(prompt, **given)


def estimate_image(
    prompt: RequestLike, *, client: Civitai | None = None, **given: Unpack[PriceOptions]
) -> Quote:
    """Ask the service for the price in Buzz. Spends nothing."""
    with open_client(client) as civitai:
        return civitai.estimate(prompt, **given)


async def aestimate_image(
    prompt: RequestLike, *, client: AsyncCivitai | None = None, **given: Unpack[PriceOptions]
) -> Quote:
    """See estimate_image."""
    async with aopen_client(client) as civitai:
        return await civitai.estimate(prompt, **given)


def again_image(
    picture: Folder,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: Civitai | None = None,
    **given: Unpack[AgainOptions],
) -> Generation:
    """Make a picture of ours once more, with what is said otherwise: `quality="high"` is the same
    but better. See Civitai.again."""
    with open_client(client) as civitai:
        return civitai.again(picture, out=out, timeout=wait_seconds, **given)


async def aagain_image(
    picture: Folder,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: AsyncCivitai | None = None,
    **given: Unpack[AgainOptions],
) -> Generation:
    """See again_image."""
    async with aopen_client(client) as civitai:
        return await civitai.again(picture, out=out, timeout=wait_seconds, **given)


def remix(source: Any, *, client: Civitai | None = None, **changes: Unpack[RemixOptions]) -> Remix:
    """Make a request of a picture's generation data: a file, a text, or the address of a picture's
    page on Civitai. Spends nothing; `generate_image(remix(source).request)` buys it."""
    with open_client(client) as civitai:
        return civitai.remix(source, **changes)


async def aremix(
    source: Any, *, client: AsyncCivitai | None = None, **changes: Unpack[RemixOptions]
) -> Remix:
    """See remix."""
    async with aopen_client(client) as civitai:
        return await civitai.remix(source, **changes)


# -- looking ---------------------------------------------------------------------------------------
def get_image(
    id: str,
    *,
    out: Folder | None = ".",
    wait_seconds: float = 0.0,
    client: Civitai | None = None,
) -> Generation:
    """Read a workflow, after waiting up to `wait_seconds`; save its pictures when it has ended.

    With `out` None nothing is saved. Raises StillRunning when a wait was over first, WorkflowFailed
    when pictures are missing.
    """
    with open_client(client) as civitai:
        workflow = civitai.get(id)
        if not workflow.done and wait_seconds > 0:
            workflow = civitai.wait(workflow, timeout=wait_seconds)
        if not _is_to_be_saved(workflow, out):
            return summarize_unsaved(workflow)
        return civitai.download(workflow, out or ".")


async def aget_image(
    id: str,
    *,
    out: Folder | None = ".",
    wait_seconds: float = 0.0,
    client: AsyncCivitai | None = None,
) -> Generation:
    """See get_image."""
    async with aopen_client(client) as civitai:
        workflow = await civitai.get(id)
        if not workflow.done and wait_seconds > 0:
            workflow = await civitai.wait(workflow, timeout=wait_seconds)
        if not _is_to_be_saved(workflow, out):
            return summarize_unsaved(workflow)
        return await civitai.download(workflow, out or ".")


def _is_to_be_saved(workflow: Workflow, out: Folder | None) -> bool:
    """Is there something to save, and somebody who wants it? Raises WorkflowFailed where nothing
    came."""
    if workflow.fruitless:
        raise workflow_failed_error(summarize_unsaved(workflow), workflow.wanted)
    return workflow.done and out is not None and any(i.deliverable for i in workflow.images)


def query_images(
    *, cursor: str | None = None, client: Civitai | None = None, **filters: Unpack[QueryFilters]
) -> Page:
    """One page of past workflows, newest first.

    `since` and `until` are ISO dates, or 7d, 12h, 30m, 2w ago; `Page.next` is the next cursor.
    """
    with open_client(client) as civitai:
        return civitai.page(cursor, **_parse_dates(filters))


async def aquery_images(
    *,
    cursor: str | None = None,
    client: AsyncCivitai | None = None,
    **filters: Unpack[QueryFilters],
) -> Page:
    """See query_images."""
    async with aopen_client(client) as civitai:
        return await civitai.page(cursor, **_parse_dates(filters))


def _parse_dates(filters: QueryFilters) -> QueryFilters:
    dated = filters.copy()
    if "since" in dated:
        dated["since"] = moment(dated["since"])
    if "until" in dated:
        dated["until"] = moment(dated["until"])
    return dated


def cancel_image(id: str, *, client: Civitai | None = None) -> Canceled:
    """Cancel a workflow; says what was refunded. One that has ended is left as it is."""
    with open_client(client) as civitai:
        return civitai.cancel(id)


async def acancel_image(id: str, *, client: AsyncCivitai | None = None) -> Canceled:
    """See cancel_image."""
    async with aopen_client(client) as civitai:
        return await civitai.cancel(id)


async def achoose_engine(needs: Sequence[str] = (), **limits: Any) -> list[Choice]:
    """See choose_engine. It asks nobody and so never waits."""
    return choose_engine(needs, **limits)


# -- the published capability's names --------------------------------------------------------------
def submitimagegen(
    body: Mapping[str, Any], *, max_buzz: int | None = None, client: Civitai | None = None
) -> dict[str, Any]:
    """Submit a workflow body of the service's own form and give its answer as it came.

    The money rules hold: the service is asked for the price first, and above `max_buzz` (the
    client's limit when left out) OverBudget is raised.
    """
    with open_client(client) as civitai:
        return dict(civitai.submit(WorkflowBody(body), max_buzz=max_buzz).raw)


async def asubmitimagegen(
    body: Mapping[str, Any], *, max_buzz: int | None = None, client: AsyncCivitai | None = None
) -> dict[str, Any]:
    """See submitimagegen."""
    async with aopen_client(client) as civitai:
        return dict((await civitai.submit(WorkflowBody(body), max_buzz=max_buzz)).raw)


def queryimagegens(
    take: int | None = None,
    cursor: str | None = None,
    tags: Sequence[str] | None = None,
    *,
    client: Civitai | None = None,
) -> dict[str, Any]:
    """Query past workflows and give them as they came: `items`, and `next` where there is more."""
    with open_client(client) as civitai:
        return _raw_page(civitai.page(cursor, **_make_filters(take, tags)))


async def aqueryimagegens(
    take: int | None = None,
    cursor: str | None = None,
    tags: Sequence[str] | None = None,
    *,
    client: AsyncCivitai | None = None,
) -> dict[str, Any]:
    """See queryimagegens."""
    async with aopen_client(client) as civitai:
        return _raw_page(await civitai.page(cursor, **_make_filters(take, tags)))


def _make_filters(take: int | None, tags: Sequence[str] | None) -> QueryFilters:
    found: QueryFilters = {"tags": tags or ()}
    if take is not None:
        found["take"] = take
    return found


def _raw_page(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = {"items": [dict(workflow.raw) for workflow in page.items]}
    return found if page.next is None else {**found, "next": page.next}
