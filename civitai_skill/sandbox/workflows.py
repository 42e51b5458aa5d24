"""What may be done with a workflow that exists: read, list, wait, change, cancel, delete."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import httpx

from civitai_skill.sandbox import check, life, money, patch, render, shapes
from civitai_skill.sandbox.answers import Answered, problem, refusal, reply, validation
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Query

Record = dict[str, Any]

# A waiting request looks again after this many seconds at the latest, so that a cancel is noticed.
_LOOK = 1.0

_MOST_TAGS = 10

# What a patch may remove, and what is then left.
_EMPTY: Record = {"metadata": {}, "tags": []}


# -- read ----------------------------------------------------------------------------------------
def get(bench: Bench, request: httpx.Request, id: str) -> Generator[float, None, httpx.Response]:
    """GET /workflows/{id}, with `wait` and `until`."""
    query = Query(request)
    seconds, until = query.whole("wait", 0), query.text("until")
    if until is not None and (
        until not in ("completion", "change") or not bench.switches.until_known
    ):
        raise query.bad("until")
    with bench.memory.change():
        record = bench.found(bench.account(request), id)
    if record["ephemeral"] and life.is_over(record, bench.clock()):
        raise Answered(problem(404))
    record, met = yield from wait(bench, request, record, seconds, change=until == "change")
    hide = query.flag("hideMatureContent", False)
    body = render.workflow(record, bench.clock(), bench.sign(request), hide_mature=hide)
    return reply(200 if met or seconds <= 0 else 202, body)


def wait(
    bench: Bench, request: httpx.Request, record: Record, seconds: float, *, change: bool = False
) -> Generator[float, None, tuple[Record, bool]]:
    """Wait for the end, or for any change of status; yields seconds to sleep.

    Returns the latest record and whether what was waited for came.
    """
    deadline = bench.clock() + min(max(seconds, 0), bench.switches.longest_wait)
    first = _statuses(record, bench.clock())
    while True:
        now = bench.clock()
        if life.is_over(record, now) or (change and _statuses(record, now) != first):
            met = True
            break
        if now >= deadline or record["whatif"]:
            met = False
            break
        at = life.next_change(record, now)
        yield max(0.001, min(deadline, at or deadline, now + _LOOK) - now)
        with bench.memory.change():
            record = bench.memory.workflow(record["user"], record["id"]) or record
    if life.is_over(record, bench.clock()):
        with bench.memory.change():
            bench.account(request)
            record = bench.memory.workflow(record["user"], record["id"]) or record
    return record, met


def _statuses(record: Record, now: float) -> list[str]:
    return [life.step_status(record, step, now) for step in record["steps"]]


def get_step(bench: Bench, request: httpx.Request, id: str, name: str) -> httpx.Response:
    """GET /workflows/{id}/steps/{name}."""
    with bench.memory.change():
        record = bench.found(bench.account(request), id)
    index = _step(record, name)
    return reply(200, render.step(record, index, bench.clock(), bench.sign(request)))


def _step(record: Record, name: str) -> int:
    for i, step in enumerate(record["steps"]):
        if step["name"] == name:
            return i
    raise Answered(problem(404))


# -- change --------------------------------------------------------------------------------------
def put(bench: Bench, request: httpx.Request, id: str) -> httpx.Response:
    """PUT /workflows/{id}."""
    changes = check.body_of(request)
    found = check.misfits(shapes.Update, changes, "")
    if found:
        raise Answered(validation(found))
    given = {key: value for key, value in changes.items() if value is not None}
    with bench.memory.change():
        account = bench.account(request)
        record = bench.found(account, id)
        if bench.switches.metadata_merges and "metadata" in given:
            given["metadata"] = record["metadata"] | given["metadata"]
        _change(bench, account, record, given)
    return reply(204)


def patch_workflow(bench: Bench, request: httpx.Request, id: str) -> httpx.Response:
    """PATCH /workflows/{id}: a JSON Patch with the effects of PUT."""
    operations = check.body_of(request)
    with bench.memory.change():
        account = bench.account(request)
        record = bench.found(account, id)
        before = {
            "status": life.status(record, bench.clock()),
            "metadata": record["metadata"],
            "tags": record["tags"],
            "allowMatureContent": record["allowMature"],
        }
        after = _EMPTY | _patched(before, operations)
        if set(after) - set(before):
            raise Answered(
                validation({"$": ["Only metadata, tags, status and allowMatureContent."]})
            )
        changes = {key: after.get(key) for key in before if after.get(key) != before[key]}
        kept = [key for key, value in changes.items() if value is None and key not in _EMPTY]
        if kept:
            raise Answered(validation({key: ["It can't be removed."] for key in kept}))
        changes = {k: _EMPTY[k] if value is None else value for k, value in changes.items()}
        found = check.misfits(shapes.Update, changes, "")
        if found:
            raise Answered(validation(found))
        _change(bench, account, record, changes)
    return reply(204)


def _patched(document: Any, operations: Any) -> Any:
    try:
        after = patch.apply(document, operations)
    except patch.BadPatch as error:
        raise Answered(validation({"$": [f"{error}."]})) from None
    if not isinstance(after, dict) or check.is_too_deep(after):
        raise Answered(validation({"$": ["The patch leaves no object, or one too deep."]}))
    return after


def _change(bench: Bench, account: Record, record: Record, changes: Record) -> None:
    now = bench.clock()
    tags = changes.get("tags")
    if tags is not None:
        record["tags"] = _checked(bench, tags)
    if changes.get("metadata") is not None:
        record["metadata"] = changes["metadata"]
    if changes.get("allowMatureContent") is True and not record["allowMature"]:
        if not money.upgrade(account, record):
            raise Answered(bench.short())
    elif changes.get("allowMatureContent") is False and record["allowMature"]:
        raise Answered(refusal("allowMatureContent can only be set to true."))
    if changes.get("status") == "canceled":
        if life.is_over(record, now):
            code = bench.switches.cancel_after_end
            if code != 204:
                raise Answered(problem(code, "The workflow is over."))
        else:
            _cancel(account, record, now)
    bench.memory.keep_account(account)
    bench.keep(record)


def _cancel(account: Record, record: Record, now: float) -> None:
    record["canceled"] = now
    money.settle(account, record, now)
    record["settled"] = True


def _checked(bench: Bench, tags: list[str]) -> list[str]:
    bench.check_tags(tags)
    if len(tags) > _MOST_TAGS:
        raise Answered(validation({"tags": [f"At most {_MOST_TAGS} tags."]}))
    return list(dict.fromkeys(tags))


def delete(bench: Bench, request: httpx.Request, id: str) -> httpx.Response:
    """DELETE /workflows/{id}: it stays in memory but is not found any more."""
    now = bench.clock()
    with bench.memory.change():
        account = bench.account(request)
        record = bench.found(account, id)
        if not life.is_over(record, now):
            _cancel(account, record, now)
        record["deleted"] = now
        bench.memory.keep_account(account)
        bench.keep(record)
    return reply(204)


def tag(bench: Bench, request: httpx.Request, id: str, name: str | None) -> httpx.Response:
    """POST and DELETE /workflows/{id}/tags, DELETE /workflows/{id}/tags/{tag}."""
    given = check.body_of(request) if request.method == "POST" else ""
    if not isinstance(given, str) or (request.method == "POST" and not given):
        raise Answered(validation({"$": ["The body must be a tag: a JSON text."]}))
    with bench.memory.change():
        account = bench.account(request)
        record = bench.found(account, id)
        if request.method == "POST":
            record["tags"] = _checked(bench, [*record["tags"], given])
        elif name is None:
            record["tags"] = []
        else:
            record["tags"] = [t for t in record["tags"] if t != name]
        bench.keep(record)
    return reply(204)


def change_step(bench: Bench, request: httpx.Request, id: str, name: str) -> httpx.Response:
    """PUT and PATCH /workflows/{id}/steps/{name}: its metadata."""
    given = check.body_of(request)
    with bench.memory.change():
        record = bench.found(bench.account(request), id)
        step = record["steps"][_step(record, name)]
        if request.method == "PATCH":
            given = _patched({"metadata": step["metadata"]}, given)
        found = check.misfits(shapes.StepUpdate, given, "")
        if found:
            raise Answered(validation(found))
        step["metadata"] = given["metadata"]
        bench.keep(record)
    return reply(204)
