"""What may be done with a workflow that exists: read, wait, change, cancel, delete."""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from typing import Any

import httpx

from civitai_skill.sandbox import wire
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.steps import check, shapes
from civitai_skill.sandbox.wire import Abort, Query, Record, problem, refusal, reply, validation
from civitai_skill.sandbox.workflows import responses
from civitai_skill.sandbox.workflows.patch import apply_patch

# A waiting request looks again after this many seconds at the latest, so that a cancel is noticed.
_LOOK = 1.0

# What a patch may remove, and what is then left.
_EMPTY: Record = {"metadata": {}, "tags": []}


# -- read ----------------------------------------------------------------------------------------
def get(
    context: Context, request: httpx.Request, id: str
) -> Generator[float, None, httpx.Response]:
    """GET /workflows/{id}, with `wait` and `until`."""
    query = Query(request)
    seconds, until = query.whole("wait", 0), query.text("until")
    known = ("completion", "change") if context.switches.until_known else ()
    if until is not None and until not in known:
        raise query.refuse("until")
    with context.account(request) as account:
        record = context.find(account, id)
    if record["ephemeral"] and life.is_over(record, context.clock()):
        raise Abort(problem(404))
    record, met = yield from wait(context, request, record, seconds, change=until == "change")
    hide = query.flag("hideMatureContent", False)
    body = _render(context, request, record, hide_mature=hide)
    return reply(200 if met or seconds <= 0 else 202, body)


def _render(
    context: Context, request: httpx.Request, record: Record, *, hide_mature: bool = False
) -> Record:
    now, sign = context.clock(), context.sign(request)
    return responses.render_workflow(record, now, sign, context.switches, hide_mature=hide_mature)


def wait(
    context: Context, request: httpx.Request, record: Record, seconds: float, *,
    change: bool = False,
) -> Generator[float, None, tuple[Record, bool]]:  # fmt: skip
    """Wait for the end, or for any change of status; yields seconds to sleep.

    Returns the latest record and whether what was waited for came.
    """
    memory, user, id = context.memory, record["user"], record["id"]
    deadline = context.clock() + min(max(seconds, 0), context.switches.longest_wait)
    first = _statuses(record, context.clock())
    while True:
        now = context.clock()
        met = life.is_over(record, now) or (change and _statuses(record, now) != first)
        if met or now >= deadline or record["whatif"]:
            break
        at = life.next_change(record, now)
        yield max(0.001, min(deadline, at or deadline, now + _LOOK) - now)
        with memory.change():
            record = memory.workflow(user, id) or record
    if life.is_over(record, context.clock()):
        with context.account(request):  # settles it
            record = memory.workflow(user, id) or record
    return record, met


def _statuses(record: Record, now: float) -> list[str]:
    return [life.step_status(record, step, now) for step in record["steps"]]


def get_step(context: Context, request: httpx.Request, id: str, name: str) -> httpx.Response:
    """GET /workflows/{id}/steps/{name}."""
    with context.account(request) as account:
        record = context.find(account, id)
    step, now, sign = _find_step(record, name), context.clock(), context.sign(request)
    return reply(200, responses.render_step(record, step, now, sign, context.switches))


def _find_step(record: Record, name: str) -> Record:
    for step in record["steps"]:
        if step["name"] == name:
            found: Record = step
            return found
    raise Abort(problem(404))


# -- change --------------------------------------------------------------------------------------
def put(context: Context, request: httpx.Request, id: str) -> httpx.Response:
    """PUT /workflows/{id}; with `whatif` it is only told what the change would come to."""
    changes, is_old = wire.body_of(request), context.switches.answers == "old"
    whatif = not is_old and Query(request).flag("whatif", False)
    _check(shapes.Update, changes)
    changes = {key: value for key, value in changes.items() if value is not None}
    with context.account(request) as account:
        record = context.find(account, id)
        if context.switches.metadata_merges and "metadata" in changes:
            changes["metadata"] = record["metadata"] | changes["metadata"]
        if whatif:
            account, record = deepcopy((account, record))
        _change(context, account, record, changes, keep=not whatif)
    return reply(204) if is_old else reply(200, _render(context, request, record))


def patch_workflow(context: Context, request: httpx.Request, id: str) -> httpx.Response:
    """PATCH /workflows/{id}: a JSON Patch with the effects of PUT."""
    operations = wire.body_of(request)
    with context.account(request) as account:
        record = context.find(account, id)
        before = {
            "status": life.status(record, context.clock()),
            "metadata": record["metadata"],
            "tags": record["tags"],
            "allowMatureContent": record["allowMature"],
        }
        after = _EMPTY | _patch(before, operations)
        if set(after) - set(before):
            text = "Only metadata, tags, status and allowMatureContent."
            raise Abort(validation({"$": [text]}))
        changes = {key: after.get(key) for key in before if after.get(key) != before[key]}
        changes = {k: _EMPTY.get(k) if value is None else value for k, value in changes.items()}
        kept = [key for key, value in changes.items() if value is None]
        if kept:
            raise Abort(validation({key: ["It can't be removed."] for key in kept}))
        _check(shapes.Update, changes)
        _change(context, account, record, changes)
    return reply(204)


def _patch(document: Record, operations: Any) -> Record:
    try:
        after = apply_patch(document, operations)
    except ValueError as error:
        raise Abort(validation({"$": [f"{error}."]})) from None
    if not isinstance(after, dict) or wire.is_too_deep(after):
        raise Abort(validation({"$": ["The patch leaves no object, or one too deep."]}))
    return after


def _check(shape: type[shapes.Shape], value: Any) -> None:
    found = check.misfits(shape, value, "")
    if found:
        raise Abort(validation(found))


def _change(
    context: Context, account: Record, record: Record, changes: Record, *, keep: bool = True
) -> None:
    now = context.clock()
    if "tags" in changes:
        record["tags"] = context.check_tags(changes["tags"])
    if "metadata" in changes:
        record["metadata"] = changes["metadata"]
    allow = changes.get("allowMatureContent")
    if allow is True and not record["allowMature"]:
        if not money.upgrade(account, record):
            raise Abort(context.refuse_short())
    elif allow is False and record["allowMature"]:
        raise Abort(refusal("allowMatureContent can only be set to true."))
    if changes.get("status") == "canceled":
        code = context.switches.cancel_after_end
        if not life.is_over(record, now):
            _cancel(account, record, now)
        elif code != 204:
            raise Abort(problem(code, "The workflow is over."))
    if keep:
        context.memory.keep_account(account)
        context.keep(record)


def _cancel(account: Record, record: Record, now: float) -> None:
    record["canceled"] = now
    money.settle(account, record, now)


def delete(context: Context, request: httpx.Request, id: str) -> httpx.Response:
    """DELETE /workflows/{id}: it stays in memory but is not found any more."""
    now = context.clock()
    with context.account(request) as account:
        record = context.find(account, id)
        if not life.is_over(record, now):
            _cancel(account, record, now)
            context.memory.keep_account(account)
        record["deleted"] = now
        context.keep(record)
    return reply(204)


def tag(context: Context, request: httpx.Request, id: str, name: str | None) -> httpx.Response:
    """POST and DELETE /workflows/{id}/tags, DELETE /workflows/{id}/tags/{tag}."""
    is_new = request.method == "POST"
    given: Any = wire.body_of(request) if is_new else name
    if is_new and not (given and isinstance(given, str)):
        raise Abort(validation({"$": ["The body must be a tag: a JSON text."]}))
    with context.account(request) as account:
        record = context.find(account, id)
        if is_new:
            record["tags"] = context.check_tags([*record["tags"], given])
        else:
            record["tags"] = [t for t in record["tags"] if name is not None and t != name]
        context.keep(record)
    return reply(204)


def change_step(context: Context, request: httpx.Request, id: str, name: str) -> httpx.Response:
    """PUT and PATCH /workflows/{id}/steps/{name}: its metadata."""
    given = wire.body_of(request)
    with context.account(request) as account:
        record = context.find(account, id)
        step = _find_step(record, name)
        if request.method == "PATCH":
            given = _patch({"metadata": step["metadata"]}, given)
        _check(shapes.StepUpdate, given)
        step["metadata"] = given["metadata"]
        context.keep(record)
    return reply(204)
