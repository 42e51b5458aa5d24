"""The endpoints of blobs: fetch, refresh, upload."""

from __future__ import annotations

from typing import Any

import httpx

from civitai_skill.sandbox import blobs, contents, money, stamps, work
from civitai_skill.sandbox.answers import Answered, problem, reply
from civitai_skill.sandbox.bench import Bench, base_of
from civitai_skill.sandbox.work import Answer

Record = dict[str, Any]

# How long a presigned address for an upload lives, in seconds.
_UPLOAD_LIFE = 3600.0


def fetch(bench: Bench, request: httpx.Request, id: str, *, expired: bool) -> httpx.Response:
    """GET /blobs/{id}: by a signed address without a key, or by the id with one."""
    now, query = bench.clock(), request.url.params
    with bench.memory.change():
        if "sig" in query:
            record = _signed(bench, id, query, now, expired)
        else:
            record = _owned(bench, bench.account(request), id)
        state = _state(bench, record, now)
    blobs.check_level(record, query.get("nsfwLevel"))
    if state == "gone":
        raise Answered(problem(404))
    mature = record["level"] == "x" and bench.switches.mature_url_blocked and "sig" in query
    if state == "held" or mature:
        where = f"{blobs.ROOT}/blocked/{bench.signer.token(blobs.BLOCKED, id=id)}"
        return reply(bench.switches.blob_redirect, headers={"Location": where})
    return blobs.redirect(bench.signer, record, now, query, bench.switches.blob_redirect)


def _signed(bench: Bench, id: str, query: httpx.QueryParams, now: float, expired: bool) -> Record:
    until = query.get("exp", "")
    if not bench.signer.is_signed(id, query["sig"], until):
        raise Answered(problem(403))
    moment = stamps.read(until)
    if expired or moment is None or moment <= now:
        raise Answered(problem(bench.switches.expired_url))
    record = bench.memory.blob(id)
    if record is None:
        raise Answered(problem(404))
    return record


def _owned(bench: Bench, account: Record, id: str) -> Record:
    record = bench.memory.blob(id)
    if record is None or record["user"] != account["user"]:
        raise Answered(problem(404))
    return record


def _state(bench: Bench, record: Record, now: float) -> str:
    """there, gone (not made, or not yet), or held back as mature."""
    if "workflow" not in record:
        return "there"
    workflow = bench.memory.workflow(record["user"], record["workflow"], deleted=True)
    if workflow is None or not bench.is_there(record, now):
        return "gone"
    mature = workflow["steps"][record["step"]]["mature"]
    return "held" if mature and money.is_held(workflow) else "there"


def content(bench: Bench, token: str) -> Answer:
    """GET /blobs/content/{token}: the bytes, without a key."""
    facts = bench.signer.facts(blobs.FETCH, token)
    if facts is None:
        raise Answered(problem(400))
    if facts["until"] < bench.clock():
        raise Answered(problem(bench.switches.expired_url))
    with bench.memory.change():
        record = bench.memory.blob(facts["id"])
    data = yield from work.done(lambda: contents.picture(bench, facts["id"]))
    if record is None or data is None:
        raise Answered(problem(404))
    return blobs.content(record, data, facts)


def head(bench: Bench, request: httpx.Request, id: str) -> httpx.Response:
    """HEAD /blobs/{id}: is it there, and how mature?"""
    with bench.memory.change():
        record = _owned(bench, bench.account(request), id)
        state = _state(bench, record, bench.clock())
    if state == "gone":
        raise Answered(problem(404))
    return reply(204, headers={"x-nsfw-level": record["level"]})


def refresh(bench: Bench, request: httpx.Request, id: str) -> httpx.Response:
    """POST /blobs/{id}/refresh: the blob with a fresh address."""
    with bench.memory.change():
        record = _owned(bench, bench.account(request), id)
        state = _state(bench, record, bench.clock())
    if state == "gone":
        raise Answered(problem(404))
    return reply(200, _shown(bench, request, record, state != "held"))


def upload(bench: Bench, request: httpx.Request) -> httpx.Response:
    """POST /blobs: raw bytes, with a key or to a presigned address."""
    token = request.url.params.get("upload")
    with bench.memory.change():
        if token is None:
            user = bench.account(request)["user"]
        else:
            facts = bench.signer.facts(blobs.UPLOAD, token)
            if facts is None or facts["until"] < bench.clock():
                raise Answered(problem(403))
            user = facts["user"]
    record, data = blobs.uploaded(user, request, bench.clock(), bench.switches.largest_blob)
    with bench.memory.change():
        bench.memory.add_blob(record, data)
    return reply(201, _shown(bench, request, record, True))


def presign(bench: Bench, request: httpx.Request) -> httpx.Response:
    """GET /blobs/upload: an address that takes one upload without a key."""
    with bench.memory.change():
        user = bench.account(request)["user"]
    until = bench.clock() + _UPLOAD_LIFE
    token = bench.signer.token(blobs.UPLOAD, user=user, until=until)
    return reply(
        200,
        {
            "uploadUrl": f"{base_of(request)}{blobs.ROOT}?upload={token}",
            "expiresAt": stamps.ticks(until),
        },
    )


def _shown(bench: Bench, request: httpx.Request, record: Record, available: bool) -> Record:
    url, expires = bench.sign(request)(record["id"])
    return {
        "type": "image",
        "width": record["width"],
        "height": record["height"],
        "id": record["id"],
        "available": available,
        "url": url,
        "urlExpiresAt": stamps.ticks(expires),
        "nsfwLevel": record["level"],
    }
