"""GET /workflows: pages of what an account has, as JSON or as a zip of pictures."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
from collections.abc import Callable

import httpx

from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.pictures import blobs
from civitai_skill.sandbox.state import life
from civitai_skill.sandbox.wire import Outcome, Query, Record, parse_date, reply, walk
from civitai_skill.sandbox.workflows import responses

_CURSOR = re.compile(rb"[0-9]{1,12}\.[0-9]{1,9}")


def query(context: Context) -> Outcome:
    """A page, newest first. `next` is left out on the last one (seen)."""
    given = context.query
    take, ascending = given.whole("take", 100), given.flag("ascending")
    if take < 1:
        raise given.refuse("take")
    hide = given.flag("hideMatureContent", True)
    fits, after = _filter(context, given), _cursor(given)
    found: list[Record] = []
    with context.account() as account:
        order = f"workflows WHERE user = ? ORDER BY created {'ASC' if ascending else 'DESC'}"
        for record in context.memory.records(order, account["user"]):
            created = record["created"]
            is_behind = after is None or (created > after if ascending else created < after)
            if is_behind and not record["deleted"] and fits(record):
                found.append(record)
            if len(found) > take:
                break
    page = found[:take]
    if "application/zip" in context.request.headers.get("Accept", ""):
        return lambda: _zip(context, page, context.clock(), hide)
    items = [responses.render_workflow(context, record, hide=hide) for record in page]
    if len(found) <= take:
        return reply(200, {"items": items})
    mark = f"{page[-1]['created']:.3f}".encode()
    return reply(200, {"next": base64.urlsafe_b64encode(mark).decode(), "items": items})


def _filter(context: Context, given: Query) -> Callable[[Record], bool]:
    tags, words = set(given.get_list("tags")), given.get("query", "").lower()
    first, last = _moment(given, "fromDate"), _moment(given, "toDate")
    no_failed = given.flag("excludeFailed")

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
    moment = parse_date(given[name]) if name in given else None
    if name in given and moment is None:
        raise given.refuse(name)
    return moment


def _cursor(given: Query) -> float | None:
    text = given.get("cursor")
    if not text:
        return None
    try:
        mark = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        mark = b""
    if not _CURSOR.fullmatch(mark):
        raise given.refuse("cursor")
    return float(mark)


def _zip(context: Context, page: list[Record], now: float, hide: bool) -> httpx.Response:
    """Every picture that the page's reader may see."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for record in page:
            for step in record["steps"]:
                if responses.is_hidden(record, step, hide):
                    continue
                for i, id in enumerate(step["outputs"]):
                    found = life.is_available(record, step, i, now) and blobs.load(context, id)
                    if found:
                        archive.writestr(f"{record['id']}/{id}", found[1])
    kind = {"Content-Type": "application/zip"}
    return httpx.Response(200, headers=kind, content=out.getvalue())
