"""A workflow of the service's own form as a tool's argument, beside the shaped ones."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from civitai_skill.bodies import taken
from civitai_skill.client import AsyncCivitai
from civitai_skill.delivery import looked_at
from civitai_skill.errors import StillRunning
from civitai_skill.scalars import Text, Whole
from civitai_skill.tools.answers import Result, running
from civitai_skill.tools.arguments import (
    WAIT,
    Arguments,
    GenerateImage,
    IncludeImage,
    Seconds,
)
from civitai_skill.tools.fixed import PURPOSE
from civitai_skill.tools.reading import read
from civitai_skill.tools.toolbox import Toolbox
from civitai_skill.workflow import Workflow

NAME = "civitai_generate_image"
#: The only step that gives words.
_WORDS = "promptEnhancement"

DESCRIPTION = (
    "Instead of prompt and its settings, for experts: a whole workflow template of the service's "
    "own form, imageGen and finishing steps only. Beside it only max_buzz, wait_seconds, "
    "estimate_only, folder and include_image."
)


class GenerateBody(Arguments):
    """What may be said with a body."""

    body: dict[str, Any]
    max_buzz: Annotated[Whole, Field(ge=0)] | None = None
    wait_seconds: Seconds = WAIT
    estimate_only: bool = False
    folder: Text | None = None
    include_image: IncludeImage = GenerateImage.model_fields["include_image"].default


def given_body(box: Toolbox, client: AsyncCivitai, arguments: Any) -> GenerateBody | None:
    """The arguments, where they hold a body. Raises RequestInvalid."""
    if not isinstance(arguments, dict) or arguments.get("body") is None:
        return None
    given = read({NAME: GenerateBody}, NAME, arguments)
    assert isinstance(given, GenerateBody)
    taken(given.body, box.fixed.sources(client.settings.base_url))
    return given


async def priced(box: Toolbox, client: AsyncCivitai, given: GenerateBody) -> Result:
    """The service's price for a body. Spends nothing."""
    quote = await client.estimate_body(given.body)
    limit = box.fixed.limit(given.max_buzz)
    within = quote.total is not None and quote.total <= limit
    data = {"buzz": quote.total, "enough_buzz": not quote.insufficient_buzz}
    return Result({**data, "within_limit": within, "limit": limit}, quote)


async def bought(box: Toolbox, client: AsyncCivitai, given: GenerateBody) -> Workflow:
    """Price it, hold the price against the limit, submit it."""
    box.fixed.folder(given.folder)  # refuse before paying
    limit = box.fixed.limit(given.max_buzz)
    return await client.submit_body(given.body, max_buzz=limit, purpose=PURPOSE)


def looking(workflow: Workflow, given: GenerateBody) -> dict[str, Any]:
    """The arguments that look at what was bought as the caller wanted it."""
    return {
        "id": workflow.id,
        "wait_seconds": given.wait_seconds,
        "folder": given.folder,
        "include_image": given.include_image,
    }


def gives_words(given: GenerateBody) -> bool:
    """Does no step of it make a picture?"""
    return all(step.get("$type") == _WORDS for step in given.body["steps"])


async def words(client: AsyncCivitai, workflow: Workflow, given: GenerateBody) -> Result:
    """Wait for a workflow that gives words, and tell them."""
    try:
        done = await client.wait(workflow, timeout=given.wait_seconds)
    except StillRunning as error:
        return running(looked_at(error.workflow))
    outputs = [step.get("output") for step in done.raw.get("steps", [])]
    data = {"id": done.id, "status": done.status, "buzz": done.cost.total, "outputs": outputs}
    return Result(data, done)
