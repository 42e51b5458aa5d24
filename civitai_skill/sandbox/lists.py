"""GET /workflows: pages of what an account has, as JSON or as a zip of pictures."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from civitai_skill.sandbox import contents, life, render, stamps, work
from civitai_skill.sandbox.answers import reply
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Query
from civitai_skill.sandbox.work import Answer

Record = dict[str, Any]

_CURSOR = re.compile(rb"[0-9]{1,12}\.[0-9]{1,9}")


def query(bench: Bench, request: httpx.Request) -> Answer:
    """A page, newest first. `next` is left out on the last one (seen)."""
    asked = Query(request)
    take = asked.whole("take", 100)
    if take < 1:
        raise asked.bad("take")
    ascending = asked.flag("ascending", False)
    hide = asked.flag("hideMatureContent", True)
    fits = _filter(bench, asked)
    after = _cursor(asked)
    with bench.memory.change():
        account = bench.account(request)
        found: list[Record] = []
        for record in bench.memory.workflows(account["user"], ascending):
            later = record["created"] > after if after is not None else True
            if after is not None and (record["created"] == after or later is not ascending):
                continue
            if fits(record):
                found.append(record)
            if len(found) > take:
                break
    page, now = found[:take], bench.clock()
    if "application/zip" in request.headers.get("Accept", ""):
        shown = list(_shown(page, now, hide))
        data = yield from work.done(lambda: _zipped(bench, shown))
        return httpx.Response(200, headers={"Content-Type": "application/zip"}, content=data)
    items = [render.workflow(r, now, bench.sign(request), hide_mature=hide) for r in page]
    body: dict[str, Any] = {"items": items}
    if len(found) > take:
        mark = f"{page[-1]['created']:.3f}".encode()
        body = {"next": base64.urlsafe_b64encode(mark).decode(), **body}
    return reply(200, body)


# -- which ---------------------------------------------------------------------------------------
def _filter(bench: Bench, asked: Query) -> Callable[[Record], bool]:
    tags, words = set(asked.texts("tags")), (asked.text("query") or "").lower()
    first, last = _moment(asked, "fromDate"), _moment(asked, "toDate")
    no_failed = asked.flag("excludeFailed", False)

    def fits(record: Record) -> bool:
        status = life.status(record, bench.clock())
        return not (
            record["whatif"]
            or (record["ephemeral"] and status in life.TERMINAL)
            or not tags <= set(record["tags"])
            or (words and not any(words in text.lower() for text in _texts(record["metadata"])))
            or (first is not None and record["created"] < first)
            or (last is not None and record["created"] > last)
            or (no_failed and status in ("failed", "expired", "canceled"))
        )

    return fits


def _texts(value: Any) -> Iterator[str]:
    """Every key and every value inside, as text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)


def _moment(asked: Query, name: str) -> float | None:
    text = asked.text(name)
    moment = None if text is None else stamps.read(text)
    if text is not None and moment is None:
        raise asked.bad(name)
    return moment


def _cursor(asked: Query) -> float | None:
    text = asked.text("cursor")
    if not text:
        return None
    try:
        mark = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        raise asked.bad("cursor") from None
    if not _CURSOR.fullmatch(mark):
        raise asked.bad("cursor")
    return float(mark)


# -- as a zip ------------------------------------------------------------------------------------
def _shown(page: list[Record], now: float, hide: bool) -> Iterator[tuple[str, str]]:
    """Workflow and blob of every picture that the page's reader may see."""
    for record in page:
        for step in record["steps"]:
            for i, id in enumerate(step["outputs"]):
                hidden = render.is_hidden(record, step, hide)
                if render.is_available(record, step, i, now) and not hidden:
                    yield record["id"], id


def _zipped(bench: Bench, shown: list[tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for workflow, id in shown:
            archive.writestr(f"{workflow}/{id}", contents.picture(bench, id) or b"")
    return out.getvalue()
