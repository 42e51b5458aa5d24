"""A workflow's record as the service's JSON: nulls left out, keys in the order that was seen; and
pages of them, also as a zip of pictures.

Source of the forms: civitai-api facts, sections 1 and 2.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from civitai_skill.sandbox import wire
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.pictures import blobs
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.wire import Outcome, Query, Record, format_millis, reply

# Seconds that one job ahead in the queue seems to take, and bytes that a model seems to have.
_JOB = 25.0
_MODEL = 6_500_000_000

_CURSOR = re.compile(rb"[0-9]{1,12}\.[0-9]{1,9}")

# What an SVG lacks.
_OF_PIXELS = frozenset({"width", "height", "previewUrl", "previewUrlExpiresAt"})


def render_workflow(context: Context, record: Record, *, hide: bool = False) -> Record:
    """The whole workflow, in the form that the switches say."""
    look = Look(context, record, hide)
    now, steps = look.now, record["steps"]
    began = [t for t in (life.started(record, step, now) for step in steps) if t is not None]
    ended = life.ends(record) if life.is_over(record, now) else None
    short = {"insufficientBuzz": record["short"]} if record["whatif"] else {}
    return _present(
        id=record["id"], createdAt=format_millis(record["created"]),
        transactions={"list": record["transactions"], **short}, metadata=record["metadata"],
        status=look.told(life.status(record, now)), startedAt=_millis(min(began, default=None)),
        completedAt=_millis(ended), tags=record["tags"], arguments=record["arguments"],
        steps=[look.step(step) for step in steps], callbacks=record["callbacks"],
        tips=record["tips"], cost=_cost(record), nsfwLevel=record["nsfwLevel"],
        experimental=record["experimental"], allowMatureContent=record["allowMature"],
        upgradeMode=record["upgradeMode"], currencies=record["currencies"], forceRefunded=False,
        ephemeral=record["ephemeral"], externalId=record["external"],
    )  # fmt: skip


class Look:
    """How a record looks to one request at one moment."""

    def __init__(self, context: Context, record: Record, hide: bool = False) -> None:
        self.record, self.now, self.switches = record, context.clock(), context.switches
        self.sign, self.hide = context.sign(), hide

    def told(self, status: str) -> str:
        unheard = self.switches.unheard_status and status == "scheduled"
        return "throttled" if unheard else status

    def step(self, step: Record) -> Record:
        record, now, metadata = self.record, self.now, step["metadata"]
        status = life.step_status(record, step, now)
        ended = life.ends(record, step) if status in life.TERMINAL else None
        standing = self._standing(step, status, {
            "startedAt": _millis(life.started(record, step, now)), "completedAt": _millis(ended),
            "estimatedProgressRate": life.progress(record, step, now),
        })  # fmt: skip
        reasons = () if step["type"] in ("imageGen", "textToImage") else step["reasons"]
        if status == "failed" and reasons:
            # The output has no place for a reason (civitai-api facts, section 1.7).
            metadata = metadata | {"error": "; ".join(reasons)}
        told = _present(
            output=self._output(step, status), name=step["name"], priority=step["priority"],
            timeout=step["timeout"], retries=step["retries"], **standing,
            status=self.told(status), metadata=metadata,
        )  # fmt: skip
        return {"$type": step["type"], "input": step["input"], **told}

    def _standing(self, step: Record, status: str, times: Record) -> Record:
        """Where a step stands: times, queue, preparation, warnings; on its job in the old form."""
        answers, at, now = self.switches.answers, step["at"], self.now
        preparation = queue = None
        if status == "preparing" and step["resource"] is not None:
            preparation = {
                "resource": step["resource"], "queuePosition": 0,
                "progress": times["estimatedProgressRate"], "etaSeconds": math.ceil(at[2] - now),
            }  # fmt: skip
        if status in ("unassigned", "preparing", "scheduled"):
            support = "available" if status == "scheduled" else "unavailable"
            ahead = int((at[3] - now) // _JOB) + 1 if at[3] > now else 0
            queue = {"support": support, "precedingJobs": ahead}
        start, end = wire.format_ticks(at[3]), wire.format_ticks(at[4])
        found: Record = {**times, "preparation": preparation}
        if answers != "new":
            soon = queue and {**queue, "startAt": start, "completeAt": end}
            job = _present(id=step["job"], status=self.told(status), **times, cost=step["price"],
                           queuePosition=soon)  # fmt: skip
            found["jobs"] = [] if step["cached"] else [job]
        if answers != "old":
            soon = queue and {**queue, "estimatedStartAt": start, "estimatedCompleteAt": end}
            found |= {"queuePosition": soon, "warnings": step["warnings"] or None}
            if preparation is not None:
                found["preparation"] = [{"sizeBytes": _MODEL, "lane": "normal", **preparation}]
        return found

    def _output(self, step: Record, status: str) -> Record | None:
        if step["text"] is not None:
            return step["text"] if status == "succeeded" else None
        blobs = [self._blob(step, i, status) for i in range(len(step["outputs"]))]
        if step["type"] == "textToImage":
            return {"images": blobs}
        if step["type"] == "imageGen":
            # Always there once there is an output; empty lists were seen in failed workflows too.
            errors = step["reasons"] if status in ("failed", "expired") else []
            return {"images": blobs, "errors": errors}
        if not blobs:
            return None
        lacks = _OF_PIXELS if step["key"] == "svg" else ()
        blob = {name: value for name, value in blobs[0].items() if name not in lacks}
        return {step["key"]: {"type": "image", **blob}}

    def _blob(self, step: Record, index: int, status: str) -> Record:
        """A picture of a step. The address stands on unavailable ones too (seen)."""
        id, (width, height) = step["outputs"][index], step["sizes"][index]
        done = status == "succeeded"
        blocked = step["blocked"] if done else None
        is_kept = done and is_hidden(self.record, step, self.hide)
        url, until = (None, None) if is_kept else self.sign(id)
        level = ("x" if step["mature"] else "pg") if done and blocked is None else None
        return _present(
            width=width, height=height, previewUrl=url, previewUrlExpiresAt=until, id=id,
            available=done and life.delivers(step, index), url=url, urlExpiresAt=until,
            nsfwLevel=level, blockedReason=blocked,
        )  # fmt: skip


def is_hidden(record: Record, step: Record, hide: bool) -> bool:
    """Is a step's picture kept from whoever asks like this?"""
    return bool(step["mature"]) and (hide or not record["allowMature"])


def _cost(record: Record) -> Record:
    """The price. After a refund the total is what was kept; the factors still tell the price."""
    price = base = money.price(record)
    quantity = sum(step["quantity"] for step in record["steps"]) or 1
    tips = money.compute_tips(price, record["tips"])
    if not record["whatif"] and any(t["type"] == "credit" for t in record["transactions"]):
        kept = sum(money.net(record).values())
        if kept < price + sum(tips.values()):
            tips = {"civitai": 0, "creators": 0}
        base = kept - sum(tips.values())
    each = price / quantity if price % quantity else price // quantity
    return {
        **({"variable": True} if record.get("variable") else {}),
        "base": base, "factors": {"base": each, "quantity": quantity}, "tips": tips,
        "total": base + sum(tips.values()),
    }  # fmt: skip


def _millis(moment: float | None) -> str | None:
    return None if moment is None else format_millis(moment)


def _present(**values: Any) -> Record:
    return {key: value for key, value in values.items() if value is not None}


# -- pages ----------------------------------------------------------------------------------------
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
    items = [render_workflow(context, record, hide=hide) for record in page]
    if len(found) <= take:
        return reply(200, {"items": items})
    mark = f"{page[-1]['created']:.3f}".encode()
    return reply(200, {"next": base64.urlsafe_b64encode(mark).decode(), "items": items})


def _filter(context: Context, given: Query) -> Callable[[Record], bool]:
    tags, words = set(given.get_list("tags")), given.get("query", "").lower()
    first, last = _moment(given, "fromDate", 0), _moment(given, "toDate", math.inf)
    no_failed = given.flag("excludeFailed")

    def fits(record: Record) -> bool:
        status = life.status(record, context.clock())
        leaves = (n for n in wire.walk(record["metadata"]) if not isinstance(n, dict | list | None))
        texts = (n if isinstance(n, str) else json.dumps(n) for n in leaves)
        return not (
            record["whatif"]
            or (record["ephemeral"] and status in life.TERMINAL)
            or not tags <= set(record["tags"])
            or (words and not any(words in text.lower() for text in texts))
            or not first <= record["created"] <= last
            or (no_failed and status in ("failed", "expired", "canceled"))
        )

    return fits


def _moment(given: Query, name: str, default: float) -> float:
    moment = wire.parse_date(given[name]) if name in given else default
    if moment is None:
        raise given.refuse(name)
    return moment


def _cursor(given: Query) -> float | None:
    mark, text = b"", given.get("cursor")
    if not text:
        return None
    with suppress(ValueError):
        mark = base64.urlsafe_b64decode(text)
    if not _CURSOR.fullmatch(mark):
        raise given.refuse("cursor")
    return float(mark)


def _zip(context: Context, page: list[Record], now: float, hide: bool) -> httpx.Response:
    """Every picture that the page's reader may see."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for record in page:
            for step in record["steps"]:
                if is_hidden(record, step, hide):
                    continue
                for i, id in enumerate(step["outputs"]):
                    found = life.is_available(record, step, i, now) and blobs.load(context, id)
                    if found:
                        archive.writestr(f"{record['id']}/{id}", found[1])
    kind = {"Content-Type": "application/zip"}
    return httpx.Response(200, headers=kind, content=out.getvalue())
