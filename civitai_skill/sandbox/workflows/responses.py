"""A workflow's record as the service's JSON: nulls left out, keys in the order that was seen.

Source of the forms: civitai-api facts, sections 1 and 2.
"""

from __future__ import annotations

import math
from typing import Any

from civitai_skill.sandbox.pictures.signing import Sign
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.switches import Switches
from civitai_skill.sandbox.wire import Record, format_millis, format_ticks

# Seconds that one job ahead in the queue seems to take, and bytes that a model seems to have.
_JOB = 25.0
_MODEL = 6_500_000_000

# What an SVG lacks.
_OF_PIXELS = frozenset({"width", "height", "previewUrl", "previewUrlExpiresAt"})


def render_workflow(
    record: Record, now: float, sign: Sign, switches: Switches, *, hide_mature: bool
) -> Record:
    """The whole workflow, in the form that the switches say."""
    began = [t for s in record["steps"] if (t := life.started(record, s, now)) is not None]
    return _present(
        id=record["id"],
        createdAt=format_millis(record["created"]),
        transactions=_transactions(record),
        metadata=record["metadata"],
        status=_told(life.status(record, now), switches),
        startedAt=_millis(min(began, default=None)),
        completedAt=format_millis(life.ends(record)) if life.is_over(record, now) else None,
        tags=record["tags"],
        arguments=record["arguments"],
        steps=[
            render_step(record, step, now, sign, switches, hide_mature=hide_mature)
            for step in record["steps"]
        ],
        callbacks=record["callbacks"],
        tips=record["tips"],
        cost=_cost(record),
        nsfwLevel=record["nsfwLevel"],
        experimental=record["experimental"],
        allowMatureContent=record["allowMature"],
        upgradeMode=record["upgradeMode"],
        currencies=record["currencies"],
        forceRefunded=False,
        ephemeral=record["ephemeral"],
        externalId=record["external"],
    )


def render_step(
    record: Record, step: Record, now: float, sign: Sign, switches: Switches, *,
    hide_mature: bool = False,
) -> Record:  # fmt: skip
    """One step."""
    status, progress = life.step_status(record, step, now), life.progress(record, step, now)
    times = {
        "startedAt": _millis(life.started(record, step, now)),
        "completedAt": _millis(life.completed(record, step, now)),
    }
    metadata = step["metadata"]
    if step["type"] not in ("imageGen", "textToImage") and status == "failed" and step["reasons"]:
        # The output has no place for a reason (civitai-api facts, section 1.7).
        metadata = metadata | {"error": "; ".join(step["reasons"])}
    return {
        "$type": step["type"],
        "input": step["input"],
        **_present(
            output=_output(record, step, now, sign, hide_mature),
            name=step["name"],
            priority=step["priority"],
            timeout=step["timeout"],
            retries=step["retries"],
            estimatedProgressRate=progress,
            **_standing(step, status, progress, now, times, switches),
            status=_told(status, switches),
            **times,
            metadata=metadata,
        ),
    }


def _standing(
    step: Record, status: str, progress: float | None, now: float, times: Record,
    switches: Switches,
) -> Record:  # fmt: skip
    """Where a step stands: its queue, its preparation, warnings; on its job in the old form."""
    is_old, at = switches.answers == "old", step["at"]
    preparation = queue = None
    if status == "preparing" and step["resource"] is not None:
        preparation = {
            "resource": step["resource"],
            "queuePosition": 0,
            "progress": progress,
            "etaSeconds": math.ceil(at[2] - now),
        }
    if status in ("unassigned", "preparing", "scheduled"):
        queue = {
            "support": "available" if status == "scheduled" else "unavailable",
            "precedingJobs": int((at[3] - now) // _JOB) + 1 if at[3] > now else 0,
        }
    soon = {"startAt": format_ticks(at[3]), "completeAt": format_ticks(at[4])}
    found: Record = {"preparation": preparation}
    if switches.answers != "new":
        job = _present(
            id=step["job"],
            status=_told(status, switches),
            **times,
            queuePosition=queue and {**queue, **soon},
            cost=step["price"],
            estimatedProgressRate=progress,
        )
        found["jobs"] = [] if step["cached"] else [job]
    if not is_old:
        estimated = {f"estimated{k[0].upper()}{k[1:]}": moment for k, moment in soon.items()}
        found["queuePosition"] = queue and {**queue, **estimated}
        found["warnings"] = step.get("warnings") or None
        if preparation is not None:
            speed = {"sizeBytes": _MODEL, "lane": "normal"}
            found["preparation"] = [{**speed, **preparation}]
    return found


def _told(status: str, switches: Switches) -> str:
    return "throttled" if switches.unheard_status and status == "scheduled" else status


# -- outputs -------------------------------------------------------------------------------------
def _output(record: Record, step: Record, now: float, sign: Sign, hide: bool) -> Record | None:
    status = life.step_status(record, step, now)
    if step["text"] is not None:
        return step["text"] if status == "succeeded" else None
    blobs = [_blob(record, step, i, now, sign, hide) for i in range(len(step["outputs"]))]
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


def _blob(record: Record, step: Record, index: int, now: float, sign: Sign, hide: bool) -> Record:
    """A picture of a step. The address stands on unavailable ones too (seen)."""
    id, (width, height) = step["outputs"][index], step["sizes"][index]
    done = life.delivered(record, step, now)
    blocked = step["blocked"] if done else None
    url, until = (None, None) if done and is_hidden(record, step, hide) else sign(id)
    return _present(
        width=width,
        height=height,
        previewUrl=url,
        previewUrlExpiresAt=until,
        id=id,
        available=life.is_available(record, step, index, now),
        url=url,
        urlExpiresAt=until,
        nsfwLevel=("x" if step["mature"] else "pg") if done and blocked is None else None,
        blockedReason=blocked,
    )


def is_hidden(record: Record, step: Record, hide_mature: bool) -> bool:
    """Is a step's picture kept from whoever asks like this?"""
    return bool(step["mature"]) and (hide_mature or not record["allowMature"])


# -- money ---------------------------------------------------------------------------------------
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
    return {
        **({"variable": True} if record.get("variable") else {}),
        "base": base,
        "factors": {
            "base": price / quantity if price % quantity else price // quantity,
            "quantity": quantity,
        },
        "tips": tips,
        "total": base + sum(tips.values()),
    }


def _transactions(record: Record) -> Record:
    short = {"insufficientBuzz": record["short"]} if record["whatif"] else {}
    return {"list": record["transactions"], **short}


def _millis(moment: float | None) -> str | None:
    return None if moment is None else format_millis(moment)


def _present(**values: Any) -> Record:
    return {key: value for key, value in values.items() if value is not None}
