"""A workflow's record as the service's JSON: nulls left out, keys in the order that was seen.

Source of the forms: civitai-api facts, sections 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from civitai_skill.sandbox import life, money, stamps

Json = dict[str, Any]
Record = dict[str, Any]

#: Makes the signed address of a blob, and says when it expires.
Sign = Callable[[str], tuple[str, float]]

# A prompt whose pictures turned out mature, and all others.
_MATURE, _TAME = "x", "pg"

# Seconds that one job ahead in the queue seems to take.
_JOB = 25.0


def workflow(record: Record, now: float, sign: Sign, *, hide_mature: bool = False) -> Json:
    """The whole workflow."""
    status = life.status(record, now)
    over = status in life.TERMINAL
    began = [t for s in record["steps"] if (t := life.started(record, s, now)) is not None]
    return _present(
        id=record["id"],
        createdAt=stamps.millis(record["created"]),
        transactions=_transactions(record),
        metadata=record["metadata"],
        status=status,
        startedAt=stamps.millis(min(began)) if began else None,
        completedAt=stamps.millis(life.ends(record)) if over else None,
        tags=record["tags"],
        arguments=record["arguments"],
        steps=[
            step(record, i, now, sign, hide_mature=hide_mature) for i in range(len(record["steps"]))
        ],
        callbacks=record["callbacks"],
        tips=record["tips"],
        cost=cost(record),
        nsfwLevel=record["nsfwLevel"],
        experimental=record["experimental"],
        allowMatureContent=record["allowMature"],
        upgradeMode=record["upgradeMode"],
        currencies=record["currencies"],
        forceRefunded=False,
        ephemeral=record["ephemeral"],
        externalId=record["external"],
    )


def step(record: Record, index: int, now: float, sign: Sign, *, hide_mature: bool = False) -> Json:
    """One step."""
    one = record["steps"][index]
    status = life.step_status(record, one, now)
    began, ended = life.started(record, one, now), life.completed(record, one, now)
    return {
        "$type": one["type"],
        "input": one["input"],
        **_present(output=_output(record, one, now, sign, hide_mature)),
        **_present(
            name=one["name"],
            priority=one["priority"],
            timeout=one["timeout"],
            retries=one["retries"],
            estimatedProgressRate=life.progress(record, one, now),
            preparation=_preparation(record, one, now),
            jobs=_jobs(record, one, now),
            status=status,
            startedAt=None if began is None else stamps.millis(began),
            completedAt=None if ended is None else stamps.millis(ended),
            metadata=_metadata(one, status),
        ),
    }


def _metadata(one: Record, status: str) -> Json:
    """The step's metadata, with the reason where the output has no place for one (civitai-api
    facts, section 1.7)."""
    metadata: Json = one["metadata"]
    if one["type"] == "imageGen" or status != "failed" or not one["reasons"]:
        return metadata
    return metadata | {"error": "; ".join(one["reasons"])}


def _preparation(record: Record, one: Record, now: float) -> Json | None:
    """The model that is being fetched, where the input names one."""
    if one["resource"] is None or life.step_status(record, one, now) != "preparing":
        return None
    return _present(
        resource=one["resource"],
        queuePosition=0,
        progress=life.progress(record, one, now),
        etaSeconds=math.ceil(one["at"][2] - now),
    )


def _jobs(record: Record, one: Record, now: float) -> list[Json]:
    if one["cached"]:
        return []
    status = life.step_status(record, one, now)
    began, ended = life.started(record, one, now), life.completed(record, one, now)
    queue = None
    if status in ("unassigned", "preparing", "scheduled"):
        at = one["at"]
        queue = {
            "support": "available" if status == "scheduled" else "unavailable",
            "precedingJobs": int((at[3] - now) // _JOB) + 1 if at[3] > now else 0,
            "startAt": stamps.ticks(at[3]),
            "completeAt": stamps.ticks(at[4]),
        }
    return [
        _present(
            id=one["job"],
            status=status,
            startedAt=None if began is None else stamps.millis(began),
            completedAt=None if ended is None else stamps.millis(ended),
            queuePosition=queue,
            cost=one["price"],
            estimatedProgressRate=life.progress(record, one, now),
        )
    ]


# -- outputs -------------------------------------------------------------------------------------
def _output(record: Record, one: Record, now: float, sign: Sign, hide_mature: bool) -> Json | None:
    status = life.step_status(record, one, now)
    if one["text"] is not None:
        return one["text"] if status == "succeeded" else None
    blobs = [blob(record, one, i, now, sign, hide_mature) for i in range(len(one["outputs"]))]
    if one["type"] == "imageGen":
        # Always there once there is an output; empty lists were seen in failed workflows too.
        errors = one["reasons"] if status in ("failed", "expired") else []
        return {"images": blobs, "errors": errors}
    if not blobs:
        return None
    key = "image" if one["type"] == "imageBackgroundRemoval" else "blob"
    return {key: {"type": "image", **blobs[0]}}


def blob(
    record: Record, one: Record, index: int, now: float, sign: Sign, hide_mature: bool = False
) -> Json:
    """A picture of a step. The address stands on unavailable ones too (seen)."""
    id, (width, height) = one["outputs"][index], one["sizes"][index]
    done = life.delivered(record, one, now)
    mature = bool(one["mature"])
    blocked = one["blocked"] if done else None
    hidden = done and is_hidden(record, one, hide_mature)
    url, expires = sign(id)
    signed = None if hidden else (url, stamps.ticks(expires))
    return _present(
        width=width,
        height=height,
        previewUrl=signed and signed[0],
        previewUrlExpiresAt=signed and signed[1],
        id=id,
        available=is_available(record, one, index, now),
        url=signed and signed[0],
        urlExpiresAt=signed and signed[1],
        nsfwLevel=(_MATURE if mature else _TAME) if done and blocked is None else None,
        blockedReason=blocked,
    )


def is_available(record: Record, one: Record, index: int, now: float) -> bool:
    """Is there a picture behind the address?"""
    return life.delivered(record, one, now) and comes(one, index)


def comes(one: Record, index: int) -> bool:
    """Does a step that succeeds deliver this picture?"""
    came = len(one["outputs"]) - int(one["missing"])
    return index < came and one["blocked"] is None


def is_hidden(record: Record, one: Record, hide_mature: bool) -> bool:
    """Is a step's picture kept from whoever asks like this?"""
    return bool(one["mature"]) and (hide_mature or not record["allowMature"])


# -- money ---------------------------------------------------------------------------------------
def cost(record: Record) -> Json:
    """The price. After a refund the total is what was kept; the factors still tell the price."""
    price = money.price(record)
    quantity = sum(step["quantity"] for step in record["steps"]) or 1
    tips = money.tip(price, record["tips"])
    if not record["whatif"] and any(t["type"] == "credit" for t in record["transactions"]):
        kept = sum(money.net(record).values())
        tips = tips if kept >= price + sum(tips.values()) else {"civitai": 0, "creators": 0}
        base = kept - sum(tips.values())
    else:
        base = price
    return {
        "base": base,
        "factors": {"base": price / quantity if price % quantity else price // quantity,
                    "quantity": quantity},
        "tips": tips,
        "total": base + sum(tips.values()),
    }  # fmt: skip


def _transactions(record: Record) -> Json:
    if record["whatif"]:
        return {"list": record["transactions"], "insufficientBuzz": record["short"]}
    return {"list": record["transactions"]}


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}
