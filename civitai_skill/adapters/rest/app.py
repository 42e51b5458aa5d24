"""The routes. Each one turns a request into a client call and its outcome into an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from civitai_skill._version import __version__
from civitai_skill.adapters.rest import openapi, problems, requests
from civitai_skill.adapters.rest.docs import POLICY, render_page
from civitai_skill.adapters.rest.metrics import Metrics
from civitai_skill.adapters.rest.openapi import PAGE, PROBLEM, WORKFLOW
from civitai_skill.adapters.rest.problems import IMAGE, KEY_HEADER, json_response
from civitai_skill.adapters.rest.readiness import Readiness
from civitai_skill.client import (
    SourcePolicy,
    Workflow,
    WorkflowBody,
    above_limit_error,
    aqueryimagegens,
    check_body,
    describe_engine,
    find,
    for_the_service,
    is_template,
    list_engines,
    set_key,
)
from civitai_skill.errors import CivitaiError, ConfigError, Problem, RequestInvalid, Stopping
from civitai_skill.schema.finish_request import FinishRequest, is_finishing
from civitai_skill.schema.request import ImageRequest
from civitai_skill.servers import http
from civitai_skill.servers.access import AccessPolicy
from civitai_skill.servers.session import Caller, ServerSession

#: They tell no secret, and whoever asks them seldom has a token: a probe, or a browser.
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/docs", "/openapi.json"})
#: Seconds that a look may take beyond the wait that was asked for, its repetitions included.
LATE = 20.0
#: The header of an answer that bought nothing new.
REPLAYED = "Idempotent-Replayed"
#: What the ledger says these purchases were made for.
PURPOSE = "rest"

router = APIRouter(dependencies=[Depends(requests.refuse_unknown_parameters)])


# -- workflows -----------------------------------------------------------------------------
@router.post(
    IMAGE,
    operation_id="submitimagegen",
    summary="Submit an image generation workflow",
    responses=WORKFLOW,
    openapi_extra={"requestBody": openapi.BODY},
)
async def submit(
    request: Request,
    wait: requests.Wait = 0,
    whatif: Annotated[bool, Query(description="Only tell the price; spends nothing.")] = False,
    max_buzz: requests.MaxBuzz = None,
    again: requests.Again = False,
    key: requests.Key = None,
) -> Response:
    """Take a request for a picture, or to finish some, or a workflow in the service's own form;
    price it, then submit it."""
    keys = request.headers.getlist(KEY_HEADER)
    if len(keys) > 1:
        raise RequestInvalid(Problem(KEY_HEADER, keys, "one value"))
    session: ServerSession = request.app.state.server_session
    if session.stopping.is_set():
        raise Stopping
    connection: http.Connection = request.scope["connection"]
    session.ledger.mark_read(*connection.told)  # who asks again here has read what came before
    client, body = session.client, requests.parse_body(request.headers, await request.body())
    ceiling = client.settings.max_buzz
    limit = ceiling if max_buzz is None else min(max_buzz, ceiling)
    # Files and networks of this machine are its owner's, not its callers'.
    sources = SourcePolicy(local=False, private=False, service=client.settings.base_url)
    if is_template(body):
        template = set_key(check_body(body, sources), key)
        quote = partial(client.estimate, WorkflowBody(template))
        buy = partial(client.submit, WorkflowBody(template))
    else:
        asked = FinishRequest(**body) if is_finishing(body) else ImageRequest(**body)
        image_request = for_the_service(asked)  # nothing is fetched here
        quote = partial(client.estimate, image_request, sources=sources)
        buy = partial(client.submit, image_request, sources=sources, external_id=key)
    if whatif:
        quoted = await quote()
        if quoted.total is not None and max_buzz is not None and quoted.total > max_buzz:
            raise above_limit_error(quoted.total, max_buzz)
        return _respond(session, quoted.raw)
    caller = Caller(session)

    async def end_answer(written: bool) -> None:
        if written and caller.key is not None:
            connection.told.add(caller.key)
        await session.end_answer(caller, written)

    request.scope["answered"].append(end_answer)
    async with requests.watch_disconnect(request, partial(session.leave, caller)):
        buying = buy(max_buzz=limit, purpose=PURPOSE, tell=caller, again=again)
        try:
            workflow = await session.run_to_end(buying, caller)
        except RequestInvalid as error:  # the key is named by the header that it came in
            names = {"external_id": KEY_HEADER}
            renamed = (replace(p, field=names.get(p.field, p.field)) for p in error.problems)
            raise error.about(*renamed) from None
        if wait and not workflow.done and workflow.id is not None:
            # It is paid for, so its id is told whatever becomes of this look.
            try:
                async with asyncio.timeout(wait + LATE):
                    look = client.get(workflow.id, wait=wait)
                    workflow = await session.run_until_stopped(look, caller.gone) or workflow
            except TimeoutError:
                pass
            except CivitaiError as error:
                request.app.state.metrics.count_error(error)
    caller.workflow = workflow
    answer = _respond(session, workflow)
    if caller.already:
        answer.headers[REPLAYED] = "true"
    return answer


@router.get(IMAGE, operation_id="queryimagegens", summary="List past workflows", responses=PAGE)
async def query(
    request: Request,
    take: Annotated[int, Query(ge=1, le=100, description="Rows.")] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    tags: Annotated[list[str] | None, Query(description="Only with all of these tags.")] = None,
) -> Response:
    """List past workflows, newest first."""
    session: ServerSession = request.app.state.server_session
    return _respond(session, await aqueryimagegens(take, cursor, tags, client=session.client))


@router.get(
    IMAGE + "/{id}", operation_id="getimagegen", summary="Look at a workflow", responses=WORKFLOW
)
async def get(request: Request, id: requests.WorkflowId, wait: requests.Wait = 0) -> Response:
    """Look at a workflow, after waiting for its end where that is asked for."""
    session: ServerSession = request.app.state.server_session
    caller = Caller(session)
    session.mark_read(id)
    try:
        leave = partial(session.leave, caller)
        async with requests.watch_disconnect(request, leave), asyncio.timeout(wait + LATE):
            look = session.client.get(id, wait=wait)
            found = await session.run_until_stopped(look, caller.gone)
            return _respond(session, found or await session.client.get(id))
    except TimeoutError:
        raise await session.late_answer_error(id) from None


@router.delete(
    IMAGE + "/{id}", operation_id="cancelimagegen", summary="Cancel a workflow", responses=WORKFLOW
)
async def cancel(request: Request, id: requests.WorkflowId) -> Response:
    """Cancel a workflow; one that has ended is left as it is."""
    session: ServerSession = request.app.state.server_session
    session.mark_read(id)
    canceled = await session.run_to_end(session.client.cancel(id))
    return _respond(session, canceled.workflow)


# -- engines -------------------------------------------------------------------------------
_engine = cache(describe_engine)  # by their own names only: others are without number


@router.get("/engines", operation_id="listengines", summary="The engines", responses=PROBLEM)
async def engines() -> list[dict[str, Any]]:
    """Sum up every engine: what it is good at, what it can, what it costs."""
    return list_engines()


@router.get(
    "/engines/{name:path}", operation_id="describeengine", summary="One engine", responses=PROBLEM
)
async def engine(name: str) -> Any:
    """Say everything about one engine: variants, sizes, fields with their limits, prices."""
    try:
        return _engine(find(name).name)
    except RequestInvalid as error:
        return problems.error_response(error, 404)


# -- the server itself ---------------------------------------------------------------------
@router.get("/health/live", operation_id="live", summary="Is it there", responses=PROBLEM)
async def live() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "live", "version": __version__}


@router.get("/health/ready", operation_id="ready", summary="Can it work", responses=PROBLEM)
async def ready(request: Request) -> Any:
    """Say whether the service answers and takes the key."""
    state = request.app.state
    if state.server_session.stopping.is_set():
        raise Stopping
    health = await state.readiness.check()
    if not health.reachable or health.key_accepted is not True:
        raise ConfigError(f"Not ready. {health.detail or 'No Civitai key is set.'}")
    body = {"status": "ready"}
    if not state.locked:  # else it is told to people who have no token
        settings = state.server_session.client.settings
        body["service"] = "the sandbox" if settings.sandbox else settings.base_url
    return body


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Counters in Prometheus' text form",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **PROBLEM},
)
async def metrics(request: Request) -> Response:
    """Tell requests, seconds, upstream errors and Buzz."""
    counted = generate_latest(request.app.state.metrics.registry)
    return Response(counted, media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the operations to a person."""
    headers = {"Content-Security-Policy": POLICY}
    return HTMLResponse(render_page(request.app.openapi()), headers=headers)


# -- together ------------------------------------------------------------------------------
def create_app(session: ServerSession, policy: AccessPolicy) -> http.App:
    """Build the application behind its access policy; pages of allowed origins may call it."""
    app = FastAPI(redirect_slashes=False, docs_url=None, redoc_url=None)
    app.state.server_session = session
    app.state.locked = policy.token is not None
    app.state.readiness = Readiness(session.client)
    app.state.metrics = Metrics(lambda: session.ledger.spent)
    app.include_router(router)
    app.state.routes = router.routes
    closed_but = policy.open_paths if app.state.locked else None
    app.openapi = partial(openapi.build_document, app, closed_but)  # type: ignore[method-assign]
    app.add_exception_handler(CivitaiError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_parameter)
    app.add_exception_handler(HTTPException, problems.on_http_exception)
    app.add_exception_handler(Exception, problems.on_defect)
    inner: Any = http.AccessMiddleware(app, policy)
    if policy.origins:
        # Around the guard, so that a page can read its refusals too.
        inner = CORSMiddleware(
            inner,
            allow_origins=list(policy.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", KEY_HEADER],
            expose_headers=["Retry-After", REPLAYED],
        )
    return _answer_head_as_get(app.state.metrics.wrap(inner))


def _answer_head_as_get(app: http.App) -> http.App:
    """Answer HEAD as GET; the server itself leaves the body out."""

    async def answered(scope: http.Message, receive: http.Receive, send: http.Send) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        await app(scope, receive, send)

    return answered


def _respond(session: ServerSession, told: Workflow | Mapping[str, Any]) -> Response:
    """The service's own JSON; the sandbox's says that it is."""
    value = told.raw if isinstance(told, Workflow) else told
    status = (told.http_status if isinstance(told, Workflow) else None) or 200
    marked = {"sandbox": True} if session.client.settings.sandbox else {}
    return json_response({**value, **marked}, status)
