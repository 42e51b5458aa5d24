"""The routes. Each one turns a request into a client call and its outcome into an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from civitai_skill import __version__
from civitai_skill.adapters.door import Door
from civitai_skill.adapters.http import App, Guard, Message, Receive, Send
from civitai_skill.adapters.rest import pages, problems
from civitai_skill.adapters.rest.docs import POLICY, page
from civitai_skill.adapters.rest.metrics import MEDIA, Metrics
from civitai_skill.adapters.rest.pages import PAGE, PROBLEM, WORKFLOW
from civitai_skill.adapters.rest.problems import said
from civitai_skill.adapters.rest.readiness import Readiness
from civitai_skill.adapters.rest.words import IMAGE, KEY_HEADER
from civitai_skill.base import LONGEST_WAIT
from civitai_skill.bodies import is_template, named, taken
from civitai_skill.calls import aqueryimagegens
from civitai_skill.desk import Customer, Desk
from civitai_skill.engines.catalog import find
from civitai_skill.engines.describe import describe_engine, list_engines
from civitai_skill.errors import (
    CivitaiError,
    ConfigError,
    Problem,
    RequestInvalid,
    Stopping,
)
from civitai_skill.pricing import above_limit
from civitai_skill.request import ImageRequest
from civitai_skill.sources import SourcePolicy
from civitai_skill.template import KEY, MAX_KEY
from civitai_skill.tools.arguments import ID
from civitai_skill.workflow import Workflow

#: They tell nothing that is anybody's secret, and who asks them seldom has a token: a probe, or a
#: browser that is sent to the page.
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/docs", "/openapi.json"})
#: Seconds that a look may take beyond the wait that was asked for, its repetitions included.
LATE = 20.0
#: The door's name in the ledger.
PURPOSE = "rest"

Wait = Annotated[
    int,
    Query(ge=0, le=int(LONGEST_WAIT), description="Seconds to wait for the end before answering."),
]
MaxBuzz = Annotated[
    int | None,
    Query(ge=0, description="Refuse above this price in Buzz; can only lower the server's limit."),
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
WorkflowId = Annotated[str, Path(pattern=f"^{ID.pattern}$", description="As it was returned.")]


def _only_known(request: Request) -> None:
    """A parameter that nobody reads is refused, and so is one that is said twice."""
    single, several = set(), {"tags"}
    for parameter in request.scope["route"].dependant.query_params:
        single.add(parameter.alias)
    given = request.query_params
    for name in given:
        if name not in single:
            accepted = "one of " + ", ".join(sorted(single)) if single else "no parameter"
            raise RequestInvalid(
                Problem(name, given[name], accepted, None, "there is no such parameter")
            )
        if name not in several and len(given.getlist(name)) > 1:
            raise RequestInvalid(Problem(name, given.getlist(name), "one value"))


router = APIRouter(dependencies=[Depends(_only_known)])


# -- workflows -----------------------------------------------------------------------------
@router.post(
    IMAGE,
    operation_id="submitimagegen",
    summary="Submit an image generation workflow",
    responses=WORKFLOW,
    openapi_extra={"requestBody": pages.BODY},
)
async def submit(
    request: Request,
    wait: Wait = 0,
    whatif: Annotated[bool, Query(description="Only tell the price; spends nothing.")] = False,
    max_buzz: MaxBuzz = None,
    key: Key = None,
) -> Response:
    """Take an image request, or a workflow in the service's own form; price it, then submit it."""
    keys = request.headers.getlist(KEY_HEADER)
    if len(keys) > 1:
        raise RequestInvalid(Problem(KEY_HEADER, keys, "one value"))
    desk: Desk = request.app.state.desk
    if desk.stopping.is_set():
        raise Stopping
    client, body = desk.client, _object(request.headers, await request.body())
    ceiling = client.settings.max_buzz
    limit = ceiling if max_buzz is None else min(max_buzz, ceiling)
    # Files and networks of this machine are its owner's, not its callers'.
    sources = SourcePolicy(local=False, private=False, service=client.settings.base_url)
    if is_template(body):
        template = named(taken(body, sources), key)
        quote, buy = (
            partial(client.estimate_body, template),
            partial(client.submit_body, template, max_buzz=limit, purpose=PURPOSE),
        )
    else:
        asked = ImageRequest(**body)
        quote = partial(client.estimate, asked, sources=sources)
        buy = partial(
            client.submit,
            asked,
            sources=sources,
            max_buzz=limit,
            external_id=key,
            purpose=PURPOSE,
        )
    if whatif:
        told = await quote()
        if told.total is not None and max_buzz is not None and told.total > max_buzz:
            raise above_limit(told.total, max_buzz)
        return said(told.raw)
    async with _caller(request) as gone:
        customer = Customer(desk.stopping, lambda: not gone.is_set())
        with _in_the_callers_words():
            buying = buy(tell=customer.hear, told=customer.told)
            workflow = await desk.kept(buying, customer.cut_short)
        if wait and not workflow.done and workflow.id is not None:
            # It is paid for, so its id is told whatever becomes of this look.
            try:
                async with asyncio.timeout(wait + LATE):
                    look = client.get(workflow.id, wait=wait)
                    workflow = await desk.unless(look, gone) or workflow
            except TimeoutError:
                pass
            except CivitaiError as error:
                request.app.state.metrics.failed(error)
        if gone.is_set():
            await desk.unheard(workflow)
    return _told(workflow)


@router.get(IMAGE, operation_id="queryimagegens", summary="List past workflows", responses=PAGE)
async def query(
    request: Request,
    take: Annotated[int, Query(ge=1, le=100, description="Rows.")] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    tags: Annotated[list[str] | None, Query(description="Only with all of these tags.")] = None,
) -> Response:
    """List past workflows, newest first."""
    return said(await aqueryimagegens(take, cursor, tags, client=request.app.state.desk.client))


@router.get(
    IMAGE + "/{id}", operation_id="getimagegen", summary="Look at a workflow", responses=WORKFLOW
)
async def get(request: Request, id: WorkflowId, wait: Wait = 0) -> Response:
    """Look at a workflow, after waiting for its end where that is asked for."""
    desk: Desk = request.app.state.desk
    try:
        async with _caller(request) as gone, asyncio.timeout(wait + LATE):
            found = await desk.unless(desk.client.get(id, wait=wait), gone)
            return _told(found or await desk.client.get(id))
    except TimeoutError:
        raise await desk.too_late(id) from None


@router.delete(
    IMAGE + "/{id}", operation_id="cancelimagegen", summary="Cancel a workflow", responses=WORKFLOW
)
async def cancel(request: Request, id: WorkflowId) -> Response:
    """Cancel a workflow; one that has ended is left as it is."""
    desk: Desk = request.app.state.desk
    return _told((await desk.kept(desk.client.cancel(id))).workflow)


# -- engines -------------------------------------------------------------------------------
_engines = cache(list_engines)
_engine = cache(describe_engine)  # by their own names only: others are without number


@router.get("/engines", operation_id="listengines", summary="The engines", responses=PROBLEM)
async def engines() -> list[dict[str, Any]]:
    """Sum up every engine: what it is good at, what it can, what it costs."""
    return _engines()


@router.get(
    "/engines/{name}", operation_id="describeengine", summary="One engine", responses=PROBLEM
)
async def engine(name: str) -> Any:
    """Say everything about one engine: variants, sizes, fields with their limits, prices."""
    try:
        return _engine(find(name).name)
    except RequestInvalid as error:
        return problems.refused(error, 404)


# -- the server itself ---------------------------------------------------------------------
@router.get("/health/live", operation_id="live", summary="Is it there", responses=PROBLEM)
async def live() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "live", "version": __version__}


@router.get("/health/ready", operation_id="ready", summary="Can it work", responses=PROBLEM)
async def ready(request: Request) -> Any:
    """Say whether the service answers and takes the key."""
    state = request.app.state
    if state.desk.stopping.is_set():
        raise Stopping
    health = await state.readiness.health()
    if not health.reachable or health.key_accepted is not True:
        raise ConfigError(f"Not ready. {health.detail or 'No Civitai key is set.'}")
    told = {"status": "ready"}
    if not state.locked:  # else it is told to people who have no token
        settings = state.desk.client.settings
        told["service"] = "the sandbox" if settings.sandbox else settings.base_url
    return told


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Counters in Prometheus' text form",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **PROBLEM},
)
async def metrics(request: Request) -> Response:
    """Tell requests, seconds, upstream errors and Buzz."""
    return Response(request.app.state.metrics.text(), media_type=MEDIA)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the operations to a person."""
    headers = {"Content-Security-Policy": POLICY}
    return HTMLResponse(page(request.app.openapi()), headers=headers)


# -- together ------------------------------------------------------------------------------
def made(desk: Desk, door: Door) -> App:
    """The application behind its door; pages of the origins that the door knows may call it."""
    app = FastAPI(redirect_slashes=False, docs_url=None, redoc_url=None)
    app.state.desk = desk
    app.state.locked = door.token is not None
    app.state.readiness = Readiness(desk.client)
    app.state.metrics = Metrics(lambda: desk.purse.spent)
    app.include_router(router)
    closed_but = door.open_paths if app.state.locked else None
    app.openapi = partial(pages.document, app, closed_but)  # type: ignore[method-assign]
    app.add_exception_handler(CivitaiError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_wrong_parameter)
    app.add_exception_handler(HTTPException, problems.on_wrong_place)
    app.add_exception_handler(Exception, problems.on_defect)
    inner: Any = Guard(app, door)
    if door.origins:
        # Around the guard, so that a page can read its refusals too.
        inner = CORSMiddleware(
            inner,
            allow_origins=list(door.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", KEY_HEADER],
            expose_headers=["Retry-After"],
        )
    return _with_heads(app.state.metrics.around(inner))


def _with_heads(app: App) -> App:
    """Answer HEAD as GET; the server itself leaves the body out."""

    async def answered(scope: Message, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        await app(scope, receive, send)

    return answered


def _told(workflow: Workflow) -> Response:
    return said(dict(workflow.raw), workflow.http_status or 200)


def _object(headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises RequestInvalid, HTTPException for another type."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send the body as application/json.")
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestInvalid(Problem("body", None, "a JSON object", None, "not JSON")) from None
    if not isinstance(found, dict):
        raise RequestInvalid(Problem("body", found, "a JSON object"))
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


@contextlib.contextmanager
def _in_the_callers_words() -> Iterator[None]:
    """A refusal of the key names the header that it came in."""
    try:
        yield
    except RequestInvalid as error:
        problems = (
            replace(one, field=KEY_HEADER) if one.field == "external_id" else one
            for one in error.problems
        )
        raise RequestInvalid(*problems, engine=error.engine, hint=error.hint) from None


@contextlib.asynccontextmanager
async def _caller(request: Request) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the caller hangs up."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.ensure_future(watch())
    try:
        yield gone
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
