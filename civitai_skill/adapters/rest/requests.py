"""What the routes read of a request: parameters, body, whether its caller is still there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Header, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request

from civitai_skill.adapters.rest.problems import KEY_HEADER
from civitai_skill.client import KEY, LONGEST_WAIT, MAX_KEY
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema import ids
from civitai_skill.schema.types import read_json
from civitai_skill.servers.session import UNREAD_MINUTES

Wait = Annotated[
    int,
    Query(ge=0, le=int(LONGEST_WAIT), description="Seconds to wait for the end before answering."),
]
MaxBuzz = Annotated[
    int | None,
    Query(ge=0, description="Refuse above this price in Buzz; can only lower the server's limit."),
]
Again = Annotated[
    bool,
    Query(
        description="Buy anew. Else the same request without a key of its own gets the same answer "
        f"for {UNREAD_MINUTES} minutes, unless it is seen that its client has read it."
    ),
]
Key = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        max_length=MAX_KEY,
        pattern=f"^{KEY.pattern}$",
        description="Your name for this purchase: with the same one it is never paid twice.",
    ),
]
WorkflowId = Annotated[str, Path(pattern=f"^{ids.PATTERN}$", description="As it was returned.")]


def refuse_unknown_parameters(request: Request) -> None:
    """A parameter that nobody reads is refused, and so is one that is given twice."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    given = request.query_params
    for name in given:
        if name not in known:
            accepted = "one of " + ", ".join(sorted(known)) if known else "no parameter"
            raise RequestInvalid(
                Problem(name, given[name], accepted, None, "there is no such parameter")
            )
        if name != "tags" and len(given.getlist(name)) > 1:
            raise RequestInvalid(Problem(name, given.getlist(name), "one value"))


def parse_body(headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises RequestInvalid, HTTPException for another type."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send the body as application/json.")
    try:
        found = read_json(content, parse_constant=_refuse_constant)
    except ValueError:
        raise RequestInvalid(Problem("body", None, "a JSON object", None, "not JSON")) from None
    if not isinstance(found, dict):
        raise RequestInvalid(Problem("body", found, "a JSON object"))
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


@contextlib.asynccontextmanager
async def watch_disconnect(
    request: Request, leave: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Call `leave` when the caller hangs up."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        await leave()

    watching = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
