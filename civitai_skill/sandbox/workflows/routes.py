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
from civitai_skill.sandbox.wire import Abort, Answer, Record, misfit, problem, refuse, reply
from civitai_skill.sandbox.workflows import responses

# A waiting request looks again after this many seconds at the latest, so that a cancel is noticed.
_LOOK = 1.0

# Of a JSON Patch (RFC 6902).
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")

# What a patch may remove, and what is then left.
_EMPTY: Record = {"metadata": {}, "tags": []}


# -- read ----------------------------------------------------------------------------------------
def get(context: Context, id: str) -> Answer:
    """GET /workflows/{id}, with `wait` and `until`."""
    query = context.query
    seconds, until = query.whole("wait", 0), query.get("until")
    known = ("completion", "change") if context.switches.until_known else ()
    if until is not None and until not in known:
        raise query.refuse("until")
    with context.workflow(id) as (_, record):
        is_gone = record["ephemeral"] and life.is_over(record, context.clock())
    if is_gone:
        raise Abort(problem(404))
    record, met = yield from wait(context, record, seconds, change=until == "change")
    body = responses.render_workflow(context, record, hide=query.flag("hideMatureContent"))
    return reply(200 if met or seconds <= 0 else 202, body)


def wait(
    context: Context, record: Record, seconds: float, *, change: bool = False
) -> Generator[float, None, tuple[Record, bool]]:
    """Wait for the end, or for any change of status; gives the last record, and if it came."""
    user, id = record["user"], record["id"]
    deadline = context.clock() + min(max(seconds, 0), context.switches.longest_wait)
    first = _statuses(record, context.clock())
    while True:
        now = context.clock()
        met = life.is_over(record, now) or (change and _statuses(record, now) != first)
        if met or now >= deadline or record["whatif"]:
            break
        later = (t for step in record["steps"] for t in step["at"] if t > now)
        yield max(0.001, min(deadline, now + _LOOK, *later) - now)
        with context.memory.change():
            record = context.memory.workflow(user, id) or record
    if life.is_over(record, context.clock()):
        with context.account():  # settles it
            record = context.memory.workflow(user, id) or record
    return record, met


def _statuses(record: Record, now: float) -> list[str]:
    return [life.step_status(record, step, now) for step in record["steps"]]


def get_step(context: Context, id: str, name: str) -> httpx.Response:
    """GET /workflows/{id}/steps/{name}."""
    with context.workflow(id) as (_, record):
        step = _find_step(record, name)
    return reply(200, responses.Look(context, record).step(step))


def _find_step(record: Record, name: str) -> Record:
    for step in record["steps"]:
        if step["name"] == name:
            return step  # type: ignore[no-any-return]
    raise Abort(problem(404))


# -- change --------------------------------------------------------------------------------------
def put(context: Context, id: str) -> httpx.Response:
    """PUT /workflows/{id}; with `whatif` it is only told what the change would come to."""
    changes, is_old = context.body(), context.switches.answers == "old"
    whatif = not is_old and context.query.flag("whatif")
    _check(shapes.Update, changes)
    changes = {key: value for key, value in changes.items() if value is not None}
    with context.workflow(id) as (account, record):
        if context.switches.metadata_merges and "metadata" in changes:
            changes["metadata"] = record["metadata"] | changes["metadata"]
        if whatif:
            account, record = deepcopy((account, record))
        _change(context, account, record, changes)
    return reply(204) if is_old else reply(200, responses.render_workflow(context, record))


def patch_workflow(context: Context, id: str) -> httpx.Response:
    """PATCH /workflows/{id}: a JSON Patch with the effects of PUT."""
    operations = context.body()
    with context.workflow(id) as (account, record):
        before = {
            "status": life.status(record, context.clock()), "metadata": record["metadata"],
            "tags": record["tags"], "allowMatureContent": record["allowMature"],
        }  # fmt: skip
        after = _EMPTY | _patch(before, operations)
        if set(after) - set(before):
            raise misfit("Only metadata, tags, status and allowMatureContent.")
        changes = {key: after.get(key) for key in before if after.get(key) != before[key]}
        changes = {k: _EMPTY.get(k) if value is None else value for k, value in changes.items()}
        kept = {k: ["It can't be removed."] for k, value in changes.items() if value is None}
        if kept:
            raise Abort(problem(400, errors=kept))
        _check(shapes.Update, changes)
        _change(context, account, record, changes)
    return reply(204)


def _patch(document: Record, operations: Any) -> Record:
    try:
        after = _apply_patch(document, operations)
    except ValueError as error:
        raise misfit(f"{error}.") from None
    if not isinstance(after, dict) or wire.is_too_deep(after):
        raise misfit("The patch leaves no object, or one too deep.")
    return after


def _check(shape: type[shapes.Shape], value: Any) -> None:
    found = check.misfits(shape, value, "")
    if found:
        raise Abort(problem(400, errors=found))


def _change(context: Context, account: Record, record: Record, changes: Record) -> None:
    now = context.clock()
    if "tags" in changes:
        record["tags"] = context.check_tags(changes["tags"])
    if "metadata" in changes:
        record["metadata"] = changes["metadata"]
    allow = changes.get("allowMatureContent")
    if allow is True and not record["allowMature"]:
        if not money.upgrade(account, record):
            raise context.refuse_short()
    elif allow is False and record["allowMature"]:
        raise refuse("allowMatureContent can only be set to true.")
    if changes.get("status") == "canceled":
        code = context.switches.cancel_after_end
        if not _cancel(account, record, now) and code != 204:
            raise Abort(problem(code, "The workflow is over."))


def _cancel(account: Record, record: Record, now: float) -> bool:
    """Cancel what is not over; False where it is."""
    if life.is_over(record, now):
        return False
    record["canceled"] = now
    money.settle(account, record, now)
    return True


def delete(context: Context, id: str) -> httpx.Response:
    """DELETE /workflows/{id}: it stays in memory but is not found any more."""
    now = context.clock()
    with context.workflow(id) as (account, record):
        _cancel(account, record, now)
        record["deleted"] = now
    return reply(204)


def tag(context: Context, id: str, name: str | None = None) -> httpx.Response:
    """POST and DELETE /workflows/{id}/tags, DELETE /workflows/{id}/tags/{tag}."""
    new = context.body() if context.request.method == "POST" else None
    if context.request.method == "POST" and not (new and isinstance(new, str)):
        raise misfit("The body must be a tag: a JSON text.")
    with context.workflow(id) as (_, record):
        if new:
            record["tags"] = context.check_tags([*record["tags"], new])
        else:
            record["tags"] = [t for t in record["tags"] if name is not None and t != name]
    return reply(204)


def change_step(context: Context, id: str, name: str) -> httpx.Response:
    """PUT and PATCH /workflows/{id}/steps/{name}: its metadata."""
    given = context.body()
    with context.workflow(id) as (_, record):
        step = _find_step(record, name)
        if context.request.method == "PATCH":
            given = _patch({"metadata": step["metadata"]}, given)
        _check(shapes.StepUpdate, given)
        step["metadata"] = given["metadata"]
    return reply(204)


# -- JSON Patch ----------------------------------------------------------------------------------
def _apply_patch(document: Any, operations: Any) -> Any:
    """A patched copy. Raises ValueError with why the patch can't be applied."""
    root = {"": deepcopy(document)}
    if not isinstance(operations, list):
        raise ValueError("a JSON Patch is a list of operations")
    for operation in operations:
        op = operation.get("op") if isinstance(operation, dict) else None
        if op not in _OPERATIONS:
            raise ValueError(f"op must be one of {', '.join(_OPERATIONS)}")
        if op in ("add", "replace", "test") and "value" not in operation:
            raise ValueError(f"{op} needs a value")
        value, is_new = operation.get("value"), op in ("add", "move", "copy")
        if op in ("move", "copy"):
            parent, key = _find(root, operation.get("from"))
            value = parent.pop(key) if op == "move" else deepcopy(parent[key])
        parent, key = _find(root, operation.get("path"), new=is_new)
        if op == "remove":
            del parent[key]
        elif op == "test" and parent[key] != value:
            raise ValueError(f"the test of {operation['path']} failed")
        elif is_new and isinstance(parent, list):
            parent.insert(key, value)
        else:
            parent[key] = value
    return root.get("")


def _find(root: Any, pointer: Any, *, new: bool = False) -> tuple[Any, Any]:
    """What holds the value that a JSON Pointer names, and its key there, which may be a new one."""
    if not isinstance(pointer, str) or not f"{pointer}/".startswith("/"):
        raise ValueError("path and from must be JSON Pointers")
    node: Any = {"": root}
    key: Any = ""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    for i, part in enumerate(parts):
        node, is_new = node[key], new and i == len(parts) - 1
        if isinstance(node, dict):
            key = part if part in node or is_new else None
        elif isinstance(node, list):
            end = len(node) + is_new
            key = end - 1 if is_new and part == "-" else wire.parse_index(part, end)
        else:
            key = None
        if key is None:
            raise ValueError(f"there is nothing at {pointer}")
    return node, key
