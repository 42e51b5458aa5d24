"""GET /workflows: pages of what an account has, as JSON or as a zip of pictures."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator

import httpx

from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.pictures import blobs
from civitai_skill.sandbox.state import life
from civitai_skill.sandbox.wire import Answer, Query, Record, parse_date, reply, walk
from civitai_skill.sandbox.workflows import responses

_CURSOR = re.compile(rb"[0-9]{1,12}\.[0-9]{1,9}")


def query(context: Context, request: httpx.Request) -> Answer:
    """A page, newest first. `next` is left out on the last one (seen)."""
    given = Query(request)
    take, ascending = given.whole("take", 100), given.flag("ascending", False)
    if take < 1:
        raise given.refuse("take")
    hide = given.flag("hideMatureContent", True)
    fits, after = _filter(context, given), _cursor(given)
    found: list[Record] = []
    with context.account(request) as account:
        for record in context.memory.workflows(account["user"], ascending):
            created = record["created"]
            is_behind = after is None or (created > after if ascending else created < after)
            if is_behind and fits(record):
                found.append(record)
            if len(found) > take:
                break
    page, now = found[:take], context.clock()
    if "application/zip" in request.headers.get("Accept", ""):
        shown = list(_visible_blobs(page, now, hide))
        data = yield lambda: _zip(context, shown)
        return httpx.Response(200, headers={"Content-Type": "application/zip"}, content=data)
    sign = context.sign(request)
    items = [
        responses.render_workflow(r, now, sign, context.switches, hide_mature=hide) for r in page
    ]
    if len(found) <= take:
        return reply(200, {"items": items})
    mark = f"{page[-1]['created']:.3f}".encode()
    return reply(200, {"next": base64.urlsafe_b64encode(mark).decode(), "items": items})


# -- which ---------------------------------------------------------------------------------------
def _filter(context: Context, given: Query) -> Callable[[Record], bool]:
    tags, words = set(given.texts("tags")), (given.text("query") or "").lower()
    first, last = _moment(given, "fromDate"), _moment(given, "toDate")
    no_failed = given.flag("excludeFailed", False)

    def fits(record: Record) -> bool:
        status = life.status(record, context.clock())
        leaves = (n for n in walk(record["metadata"]) if not isinstance(n, dict | list | None))
        texts = (n if isinstance(n, str) else json.dumps(n) for n in leaves)
        return not (
            record["whatif"]
            or (record["ephemeral"] and status in life.TERMINAL)
            or not tags <= set(record["tags"])
            or (words and not any(words in text.lower() for text in texts))
            or (first is not None and record["created"] < first)
            or (last is not None and record["created"] > last)
            or (no_failed and status in ("failed", "expired", "canceled"))
        )

    return fits


def _moment(given: Query, name: str) -> float | None:
    text = given.text(name)
    moment = None if text is None else parse_date(text)
    if text is not None and moment is None:
        raise given.refuse(name)
    return moment


def _cursor(given: Query) -> float | None:
    text = given.text("cursor")
    if not text:
        return None
    try:
        mark = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        mark = b""
    if not _CURSOR.fullmatch(mark):
        raise given.refuse("cursor")
    return float(mark)


# -- as a zip ------------------------------------------------------------------------------------
def _visible_blobs(page: list[Record], now: float, hide: bool) -> Iterator[tuple[str, str]]:
    """Workflow and blob of every picture that the page's reader may see."""
    for record in page:
        for step in record["steps"]:
            if not responses.is_hidden(record, step, hide):
                for i, id in enumerate(step["outputs"]):
                    if life.is_available(record, step, i, now):
                        yield record["id"], id


def _zip(context: Context, shown: list[tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for workflow, id in shown:
            archive.writestr(f"{workflow}/{id}", blobs.load(context, id) or b"")
    return out.getvalue()
