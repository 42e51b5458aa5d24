"""A workflow's record as the service's JSON: nulls left out, keys in the order that was seen.

Source of the forms: civitai-api facts, sections 1 and 2.
"""

from __future__ import annotations

import math
from typing import Any

from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.wire import Record, format_millis, format_ticks

# Seconds that one job ahead in the queue seems to take, and bytes that a model seems to have.
_JOB = 25.0
_MODEL = 6_500_000_000

# What an SVG lacks.
_OF_PIXELS = frozenset({"width", "height", "previewUrl", "previewUrlExpiresAt"})


def render_workflow(context: Context, record: Record, *, hide: bool = False) -> Record:
    """The whole workflow, in the form that the switches say, with addresses on the host that the
    request came to."""
    look = Look(context, record, hide)
    now, steps = look.now, record["steps"]
    began = [t for step in steps if (t := life.started(record, step, now)) is not None]
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
        """Where a step stands: its times, its queue, its preparation, warnings; on its job in the
        old form."""
        answers, at, now = self.switches.answers, step["at"], self.now
        preparation = queue = None
        if status == "preparing" and step["resource"] is not None:
            preparation = {
                "resource": step["resource"], "queuePosition": 0,
                "progress": times["estimatedProgressRate"], "etaSeconds": math.ceil(at[2] - now),
            }  # fmt: skip
        if status in ("unassigned", "preparing", "scheduled"):
            queue = {
                "support": "available" if status == "scheduled" else "unavailable",
                "precedingJobs": int((at[3] - now) // _JOB) + 1 if at[3] > now else 0,
            }
        soon = {"startAt": format_ticks(at[3]), "completeAt": format_ticks(at[4])}
        found: Record = {**times, "preparation": preparation}
        if answers != "new":
            job = _present(id=step["job"], status=self.told(status), **times, cost=step["price"],
                           queuePosition=queue and {**queue, **soon})  # fmt: skip
            found["jobs"] = [] if step["cached"] else [job]
        if answers != "old":
            estimated = {f"estimated{k[0].upper()}{k[1:]}": moment for k, moment in soon.items()}
            found["queuePosition"] = queue and {**queue, **estimated}
            found["warnings"] = step.get("warnings") or None
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
        blob = {"type": "image", **blobs[0]}
        if step["key"] == "svg":
            blob = {name: value for name, value in blob.items() if name not in _OF_PIXELS}
        return {step["key"]: blob}

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
