"""The endpoints of blobs: fetch, refresh, upload.

A signed address works without a key until it expires; both it and the blob's id redirect to
`/v2/consumer/blobs/content/<token>`, relative, where the bytes are (civitai-api facts, section 6).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable

import httpx

from civitai_skill.sandbox import wire
from civitai_skill.sandbox.context import ROOT, Context, new_id
from civitai_skill.sandbox.state import money
from civitai_skill.sandbox.steps import sources
from civitai_skill.sandbox.steps.sources import KINDS
from civitai_skill.sandbox.wire import Abort, Record, problem, reply

# Seconds that a presigned address for an upload lives, and a content token after the redirect.
_UPLOAD_LIFE, _TOKEN_LIFE = 3600.0, 300.0

# From tame to mature, in the document's order; `na` as the highest to be shown leaves nothing out.
_LEVELS = ("pg", "pg13", "r", "x", "xxx", "na")


# -- fetch ---------------------------------------------------------------------------------------
def fetch(context: Context, id: str, expired: bool = False) -> httpx.Response:
    """GET /blobs/{id}: by a signed address without a key, or by the id with one."""
    now, query, switches = context.clock(), context.query, context.switches
    if "sig" not in query:
        record, held = _find_own(context, id)
    else:
        mark = context.mark(id, query.get("exp", ""))
        if not hmac.compare_digest(mark.encode(), query["sig"].encode()):
            raise Abort(problem(403))
        until = wire.parse_date(query.get("exp", ""))
        if expired or until is None or until <= now:
            raise Abort(problem(switches.expired_url))
        with context.memory.change():
            record, held = _find(context, id)
    highest = query.get("nsfwLevel", "na")
    if highest not in _LEVELS:
        raise query.refuse("nsfwLevel")
    if _LEVELS.index(record["level"]) > _LEVELS.index(highest):
        raise Abort(problem(403))
    if held or (record["level"] == "x" and switches.mature_url_blocked and "sig" in query):
        where = f"blocked/{context.token('blocked', id=id)}"
    else:
        name = query.get("filename", "").replace("\\", "/").rpartition("/")[2]
        facts = {"name": name, "download": query.get("download", "").lower() == "true"}
        token = context.token("fetch", id=id, until=now + _TOKEN_LIFE, **facts)
        where = f"content/{token}"
    return reply(switches.blob_redirect, headers={"Location": f"{ROOT}/{where}"})


def _find(context: Context, id: str, user: int | None = None) -> tuple[Record, bool]:
    """A blob whose picture is there, and whether it is held back as mature. Raises Abort (404)."""
    memory = context.memory
    record = memory.record("blobs WHERE id = ?", id)
    is_own = record is not None and user in (None, record["user"])
    if not record or not is_own or not context.is_there(record, context.clock()):
        raise Abort(problem(404))
    if record["level"] != "x":
        return record, False
    workflow = memory.workflow(record["user"], record["workflow"], deleted=True)
    return record, workflow is not None and money.is_held(workflow)


def _find_own(context: Context, id: str) -> tuple[Record, bool]:
    with context.account() as account:
        return _find(context, id, account["user"])


def content(context: Context, token: str) -> Callable[[], httpx.Response]:
    """GET /blobs/content/{token}: the bytes, without a key."""
    facts = context.facts("fetch", token)
    if facts is None:
        raise Abort(problem(400))
    if facts["until"] < context.clock():
        raise Abort(problem(context.switches.expired_url))
    return lambda: _send(context, facts)


def _send(context: Context, facts: Record) -> httpx.Response:
    found = load(context, facts["id"])
    if found is None:
        return problem(404)
    record, data = found
    headers = {"Content-Type": record["kind"], "x-nsfw-level": record["level"]}
    headers["Cache-Control"] = "private, max-age=300"
    name = "".join(c for c in facts["name"] if c.isascii() and c.isprintable())
    if name or facts["download"]:
        way = "attachment" if facts["download"] else "inline"
        quoted = (name or record["id"]).replace('"', "")
        headers["Content-Disposition"] = f'{way}; filename="{quoted}"'
    return httpx.Response(200, headers=headers, content=data)


def head(context: Context, id: str) -> httpx.Response:
    """HEAD /blobs/{id}: is it there, and how mature?"""
    record, _ = _find_own(context, id)
    return reply(204, headers={"x-nsfw-level": record["level"]})


def refresh(context: Context, id: str) -> httpx.Response:
    """POST /blobs/{id}/refresh: the blob with a fresh address."""
    record, held = _find_own(context, id)
    return reply(200, _render(context, record, available=not held))


def _render(context: Context, record: Record, *, available: bool) -> Record:
    url, until = context.sign()(record["id"])
    return {
        "type": "image", "width": record["width"], "height": record["height"], "id": record["id"],
        "available": available, "url": url, "urlExpiresAt": until, "nsfwLevel": record["level"],
    }  # fmt: skip


# -- upload --------------------------------------------------------------------------------------
def upload(context: Context) -> httpx.Response:
    """POST /blobs: raw bytes, with a key or to a presigned address."""
    token = context.query.get("upload")
    if token is None:
        with context.account() as account:
            user = account["user"]
    else:
        facts = context.facts("upload", token)
        if facts is None or facts["until"] < context.clock():
            raise Abort(problem(403))
        user = facts["user"]
    data, kind, largest = context.request.read(), context.media_type, context.switches.largest_blob
    if kind not in KINDS:
        raise Abort(problem(415, f"Content-Type must be one of {', '.join(KINDS)}."))
    if not data:
        raise Abort(problem(400, "The body is empty."))
    if len(data) > largest:
        raise Abort(problem(413, f"The body is larger than {largest} bytes."))
    found = sources.measure(data)
    if found is None or found[0] != kind:
        raise Abort(problem(422, f"The body is not a picture of type {kind}."))
    record = {
        "id": new_id(KINDS[kind]), "user": user, "kind": kind, "level": "pg",
        "width": found[1][0], "height": found[1][1], "created": context.clock(),
    }  # fmt: skip
    with context.memory.change():
        context.memory.keep("blobs", record, id=record["id"], user=user, data=data)
    return reply(201, _render(context, record, available=True))


def presign(context: Context) -> httpx.Response:
    """GET /blobs/upload: an address that takes one upload without a key."""
    until = context.clock() + _UPLOAD_LIFE
    with context.account() as account:
        token = context.token("upload", user=account["user"], until=until)
    url = f"{context.base}{ROOT}?upload={token}"
    return reply(200, {"uploadUrl": url, "expiresAt": wire.format_ticks(until)})


# -- bytes ---------------------------------------------------------------------------------------
def load(context: Context, id: str) -> tuple[Record, bytes] | None:
    """The record and the bytes of a blob, drawn where it is no upload; None when there is none."""
    query = "SELECT record, data FROM blobs WHERE id = ?"
    with context.memory.change():
        row = context.memory.execute(query, (id,)).fetchone()
    if row is None:
        return None
    record = json.loads(row[0])

    def load_source(text: str) -> bytes | None:
        """The bytes of a source picture; None for one that lies elsewhere."""
        own = sources.blob_id(text)
        found = load(context, own) if own else (None, sources.data_of(text))
        return found[1] if found and sources.measure(found[1] or b"") else None

    return record, row[1] or context.gallery.picture(id, record["recipe"], load_source)
