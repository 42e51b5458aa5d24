"""The tools as plain functions, for use with no framework at all.

    generate_image("a red fox", engine="z-image", out="pictures").paths

Each has an async twin with an `a` before its name. `client` is a Civitai (an AsyncCivitai for the
twins); left out, one is made from the environment and closed again. Errors are raised as those of
`civitai_skill.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Unpack

from civitai_skill.base import Folder
from civitai_skill.choose import Choice, choose_engine
from civitai_skill.client import TIMEOUT, AsyncCivitai, Civitai
from civitai_skill.delivery import Generation, looked_at, workflow_failed
from civitai_skill.flows import Canceled, Page, Quote
from civitai_skill.history import since as moment
from civitai_skill.options import Asked, Buying, Filters, Pricing
from civitai_skill.workflow import Workflow


@contextmanager
def _opened(client: Civitai | None) -> Iterator[Civitai]:
    if client is not None:
        yield client
        return
    with Civitai() as own:
        yield own


@asynccontextmanager
async def _aopened(client: AsyncCivitai | None) -> AsyncIterator[AsyncCivitai]:
    if client is not None:
        yield client
        return
    async with AsyncCivitai() as own:
        yield own


# -- making ----------------------------------------------------------------------------------------
def generate_image(
    prompt: Asked,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: Civitai | None = None,
    **given: Unpack[Buying],
) -> Generation:
    """Price, submit, wait and save the pictures in the folder `out`.

    `given` are the fields of an ImageRequest and what surrounds a purchase (max_buzz, tags, ...).
    With `wait_seconds` 0 it submits only. Raises StillRunning when the wait is over, with the id to
    go on with; WorkflowFailed when fewer pictures came; OverBudget above max_buzz.
    """
    with _opened(client) as civitai:
        if wait_seconds == 0:
            return looked_at(civitai.submit(prompt, out=out, **given))
        return civitai.generate(prompt, out=out, timeout=wait_seconds, **given)


async def agenerate_image(
    prompt: Asked,
    *,
    out: Folder = ".",
    wait_seconds: float = TIMEOUT,
    client: AsyncCivitai | None = None,
    **given: Unpack[Buying],
) -> Generation:
    """See generate_image."""
    async with _aopened(client) as civitai:
        if wait_seconds == 0:
            return looked_at(await civitai.submit(prompt, out=out, **given))
        return await civitai.generate(prompt, out=out, timeout=wait_seconds, **given)


def submit_image(
    prompt: Asked, *, client: Civitai | None = None, **given: Unpack[Buying]
) -> Workflow:
    """Price and submit; the pictures come with get_image."""
    with _opened(client) as civitai:
        return civitai.submit(prompt, **given)


async def asubmit_image(
    prompt: Asked, *, client: AsyncCivitai | None = None, **given: Unpack[Buying]
) -> Workflow:
    """See submit_image."""
    async with _aopened(client) as civitai:
        return await civitai.submit(prompt, **given)


def estimate_image(
    prompt: Asked, *, client: Civitai | None = None, **given: Unpack[Pricing]
) -> Quote:
    """Ask the service for the price in Buzz. Spends nothing."""
    with _opened(client) as civitai:
        return civitai.estimate(prompt, **given)


async def aestimate_image(
    prompt: Asked, *, client: AsyncCivitai | None = None, **given: Unpack[Pricing]
) -> Quote:
    """See estimate_image."""
    async with _aopened(client) as civitai:
        return await civitai.estimate(prompt, **given)


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
    with _opened(client) as civitai:
        workflow = civitai.get(id)
        if not workflow.done and wait_seconds > 0:
            workflow = civitai.wait(workflow, timeout=wait_seconds)
        if _settled_without(workflow, out):
            return _as_it_is(workflow)
        return civitai.download(workflow, out or ".")


async def aget_image(
    id: str,
    *,
    out: Folder | None = ".",
    wait_seconds: float = 0.0,
    client: AsyncCivitai | None = None,
) -> Generation:
    """See get_image."""
    async with _aopened(client) as civitai:
        workflow = await civitai.get(id)
        if not workflow.done and wait_seconds > 0:
            workflow = await civitai.wait(workflow, timeout=wait_seconds)
        if _settled_without(workflow, out):
            return _as_it_is(workflow)
        return await civitai.download(workflow, out or ".")


def _settled_without(workflow: Workflow, out: Folder | None) -> bool:
    """Is there nothing to save, or nobody who wants it saved?"""
    return not workflow.done or out is None or not any(i.deliverable for i in workflow.images)


def _as_it_is(workflow: Workflow) -> Generation:
    if workflow.fruitless:
        raise workflow_failed(looked_at(workflow), workflow.wanted)
    return looked_at(workflow)


def query_images(
    *, cursor: str | None = None, client: Civitai | None = None, **filters: Unpack[Filters]
) -> Page:
    """One page of past workflows, newest first.

    `since` and `until` are ISO dates, or 7d, 12h, 30m, 2w ago; `Page.next` is the next cursor.
    """
    with _opened(client) as civitai:
        return civitai.page(cursor, **_dated(filters))


async def aquery_images(
    *, cursor: str | None = None, client: AsyncCivitai | None = None, **filters: Unpack[Filters]
) -> Page:
    """See query_images."""
    async with _aopened(client) as civitai:
        return await civitai.page(cursor, **_dated(filters))


def _dated(filters: Filters) -> Filters:
    dated = filters.copy()
    if "since" in dated:
        dated["since"] = moment(dated["since"])
    if "until" in dated:
        dated["until"] = moment(dated["until"])
    return dated


def cancel_image(id: str, *, client: Civitai | None = None) -> Canceled:
    """Cancel a workflow; says what was refunded. One that has ended is left as it is."""
    with _opened(client) as civitai:
        return civitai.cancel(id)


async def acancel_image(id: str, *, client: AsyncCivitai | None = None) -> Canceled:
    """See cancel_image."""
    async with _aopened(client) as civitai:
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
    with _opened(client) as civitai:
        return dict(civitai.submit_body(body, max_buzz=max_buzz).raw)


async def asubmitimagegen(
    body: Mapping[str, Any], *, max_buzz: int | None = None, client: AsyncCivitai | None = None
) -> dict[str, Any]:
    """See submitimagegen."""
    async with _aopened(client) as civitai:
        return dict((await civitai.submit_body(body, max_buzz=max_buzz)).raw)


def queryimagegens(
    take: int | None = None,
    cursor: str | None = None,
    tags: Sequence[str] | None = None,
    *,
    client: Civitai | None = None,
) -> dict[str, Any]:
    """Query past workflows and give them as they came: `items`, and `next` where there is more."""
    with _opened(client) as civitai:
        return _raw(civitai.page(cursor, **_asked(take, tags)))


async def aqueryimagegens(
    take: int | None = None,
    cursor: str | None = None,
    tags: Sequence[str] | None = None,
    *,
    client: AsyncCivitai | None = None,
) -> dict[str, Any]:
    """See queryimagegens."""
    async with _aopened(client) as civitai:
        return _raw(await civitai.page(cursor, **_asked(take, tags)))


def _asked(take: int | None, tags: Sequence[str] | None) -> Filters:
    found: Filters = {"tags": tags or ()}
    if take is not None:
        found["take"] = take
    return found


def _raw(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = {"items": [dict(workflow.raw) for workflow in page.items]}
    return found if page.next is None else {**found, "next": page.next}
