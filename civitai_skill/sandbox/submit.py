"""Submitting: a template becomes a record with a price, outputs and a fate, or an estimate."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, cast, get_args

import httpx

from civitai_skill.sandbox import asks, blobs, check, life, money, refs, stamps
from civitai_skill.sandbox.answers import Answered, refusal
from civitai_skill.sandbox.asks import MARK, Ask
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Asked, StepAsked
from civitai_skill.sandbox.faults import Fate, Fault

Record = dict[str, Any]

#: Prompt markers that are answered at once; the other markers are the fates.
_REFUSING = {
    "refused": "Prompt blocked as it may violate TOS",
    "needs-mature": "Prompt requires mature content but workflow does not allow it",
}
_MARKS = (*get_args(Fate), *_REFUSING)

_NO_PICTURE = "The provider could not make a picture from this prompt."
_DEPENDENCY = "A step that this one refers to did not succeed."

_TIMEOUT_TEXT = "00:20:00"
_KINDS = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}


def prompts_of(asked: Asked) -> str:
    """Every prompt of a template, for faults that look for words."""
    return "\n".join(str(step.input.get("prompt", "")) for step in asked.steps)


def replayed(bench: Bench, account: Record, asked: Asked) -> Record | None:
    """The workflow that already has this externalId, whatever the new body says."""
    external = asked.literal("externalId")
    if external is None:
        return None
    return bench.memory.by_external(account["user"], f"{account['user']}-{external}")


def create(
    bench: Bench, account: Record, asked: Asked, *, whatif: bool, fault: Fault | None
) -> Record:
    """A new record: charged and kept, or only an estimate. Raises Answered when refused."""
    if bench.switches.long_tags_refused:
        _check_tags(asked)
    record = _record(bench, account, asked, whatif)
    scope: dict[str, Any] = {refs.ARGUMENTS: record["arguments"]}
    for i, step in enumerate(asked.steps):
        _add_step(bench, account, record, scope, i, step, fault, asked)
    _pay(bench, account, record, asked)
    if whatif:
        if bench.switches.whatif_persists:
            bench.keep(record)
        return record
    account["workflows"] += 1
    account["workflowsCharged"] += bool(record["transactions"])
    account["last"] = round(record["created"] * 1000)
    bench.memory.keep_account(account)
    for step in record["steps"]:
        _keep_outputs(bench, record, step)
    for step in record["steps"]:
        step.pop("recipes")
    bench.keep(record)
    return record


def _check_tags(asked: Asked) -> None:
    long = [tag for tag in asked.literal("tags", []) if len(tag) > 200]
    if long:
        raise Answered(refusal("A tag can be at most 200 characters long."))


def _record(bench: Bench, account: Record, asked: Asked, whatif: bool) -> Record:
    created = max(int(bench.clock() * 1000), account["last"] + 1) / 1000
    external = asked.literal("externalId")
    tips = asked.given.get("tips")
    return {
        "id": f"{account['user']}-{stamps.digits(created)}",
        "user": account["user"],
        "created": created,
        "external": None if external is None else f"{account['user']}-{external}",
        "metadata": asked.given.get("metadata") or {},
        "tags": asked.literal("tags", []),
        "arguments": asked.given.get("arguments") or {},
        "callbacks": asked.literal("callbacks", []),
        "tips": tips if isinstance(tips, dict) and "$ref" not in tips else
        {"civitai": 0, "creators": 0},
        "nsfwLevel": asked.literal("nsfwLevel"),
        "experimental": asked.literal("experimental"),
        "allowMature": asked.literal("allowMatureContent"),
        "upgradeMode": asked.literal("upgradeMode", "manual"),
        "currencies": [c for c in asked.literal("currencies", []) if c is not None],
        "ephemeral": asked.literal("ephemeral"),
        "whatif": whatif,
        "steps": [],
        "transactions": [],
        "short": False,
        "settled": False,
        "canceled": None,
        "deleted": None,
    }  # fmt: skip


# -- steps ---------------------------------------------------------------------------------------
def _add_step(
    bench: Bench, account: Record, record: Record, scope: dict[str, Any], index: int,
    step: StepAsked, fault: Fault | None, asked: Asked,
) -> None:  # fmt: skip
    ask = asks.work_out(step, scope, bench.memory.blob)
    marks = _marks(ask.prompt, asked)
    if fault is not None:
        marks = {**marks, fault.fate: fault.seconds or None}
    name = step.literal("name", f"${index}")
    needed = [s for s in record["steps"] if _names(step, s, record)]
    begin = max((s["at"][4] for s in needed), default=record["created"])
    one: Record = {
        "type": ask.type,
        "name": name,
        "input": ask.echo,
        "priority": step.literal("priority", "low"),
        "timeout": step.literal("timeout", _TIMEOUT_TEXT),
        "retries": step.literal("retries"),
        "metadata": step.given.get("metadata") or {},
        "price": ask.price,
        "quantity": ask.quantity,
        "job": str(uuid.uuid4()),
        "text": ask.text,
        "recipes": ask.recipes,
        "outputs": [blobs.new_id(r["format"]) for r in ask.recipes],
        "sizes": [[r["width"], r["height"]] for r in ask.recipes],
        "digest": ask.digest,
        "cached": False,
        "fate": "succeeded",
        "reasons": [],
        "blocked": None,
        "missing": 0,
        "mature": False,
        "stuck": False,
    }
    _decide(bench, one, ask, marks, begin, fault)
    if any(s["fate"] != "succeeded" for s in needed):
        one |= {"fate": "failed", "reasons": [_DEPENDENCY], "at": life.moments(begin, 0.0)}
    _reuse(bench, account, one, begin)
    record["steps"].append(one)
    scope[f"${index}"] = scope[name] = _as_scope(one)


def _names(step: StepAsked, other: Record, record: Record) -> bool:
    index = record["steps"].index(other)
    return any(r["$ref"] in (other["name"], f"${index}") for r in refs.references(step.input))


def _marks(prompt: str, asked: Asked) -> dict[str, float | None]:
    marks = {m[1]: float(m[2]) if m[2] else None for m in MARK.finditer(prompt)}
    unknown = [name for name in marks if name not in _MARKS]
    if unknown:
        known = ", ".join(_MARKS)
        raise Answered(
            refusal(f"[sandbox:{unknown[0]}] is no marker of the sandbox; it has {known}.")
        )
    if "refused" in marks:
        raise Answered(refusal(_REFUSING["refused"]))
    if "needs-mature" in marks and asked.literal("allowMatureContent") is False:
        raise Answered(refusal(_REFUSING["needs-mature"]))
    return marks


def _decide(
    bench: Bench, one: Record, ask: Ask, marks: Mapping[str, float | None], begin: float,
    fault: Fault | None,
) -> None:  # fmt: skip
    """The fate of a step, and when it comes true."""
    reason = fault.reason if fault is not None else None
    seconds = marks.get("slow") or bench.seconds
    timeout = None
    if "stuck" in marks or (ask.hangs and bench.switches.foreign_air_hangs):
        timeout = stamps.span(one["timeout"]) or life.TIMEOUT
        one |= {"stuck": True, "fate": "expired"}
    elif ask.trouble is not None or "failed-silent" in marks:
        one |= {"fate": "failed", "reasons": [ask.trouble] if ask.trouble else []}
    elif "failed" in marks:
        one |= {"fate": "failed", "reasons": [reason or _NO_PICTURE]}
    elif "expired" in marks or "canceled" in marks:
        one["fate"] = "expired" if "expired" in marks else "canceled"
    if "blocked" in marks:
        one["blocked"] = reason or "NSFWLevel"
    if "partial" in marks:
        one["missing"] = 1
    one["mature"] = "mature" in marks or "needs-mature" in marks
    one["at"] = life.moments(begin, seconds, timeout)


def _reuse(bench: Bench, account: Record, one: Record, begin: float) -> None:
    """Identical steps whose outcome holds no chance cost nothing the second time."""
    if one["digest"] is None or one["fate"] != "succeeded":
        return
    found = bench.memory.cached(account["user"], one["digest"], bench.clock())
    if found is not None:
        one |= found | {"price": 0, "cached": True, "recipes": [], "at": life.moments(begin, 0.0)}


def _as_scope(one: Record) -> Record:
    """What later steps may refer to. Addresses lack a host: nothing is fetched from them."""
    pictures = [
        {
            "type": "image",
            "id": id,
            "available": True,
            "url": f"sandbox:{blobs.ROOT}/{id}",
            "width": size[0],
            "height": size[1],
        }
        for id, size in zip(one["outputs"], one["sizes"], strict=True)
    ]
    output: Record = {"images": pictures, "errors": []}
    if one["text"] is not None:
        output = one["text"]
    elif one["type"] == "imageBackgroundRemoval":
        output = {"image": pictures[0]}
    elif one["type"] != "imageGen" and pictures:
        output = {"blob": pictures[0]}
    return {
        "input": one["input"],
        "output": output,
        "name": one["name"],
        "metadata": one["metadata"],
    }


def _keep_outputs(bench: Bench, record: Record, one: Record) -> None:
    place = record["steps"].index(one)
    for i, recipe in enumerate(one["recipes"]):
        bench.memory.add_blob(
            {
                "id": one["outputs"][i],
                "user": record["user"],
                "kind": _KINDS[recipe["format"]],
                "level": "x" if one["mature"] else "pg",
                "width": recipe["width"],
                "height": recipe["height"],
                "created": record["created"],
                "workflow": record["id"],
                "step": place,
                "index": i,
                "recipe": recipe,
            }
        )
    whole = not (one["missing"] or one["blocked"] or one["mature"] or one["cached"])
    if one["digest"] and one["fate"] == "succeeded" and whole:
        outputs = {"outputs": one["outputs"], "sizes": one["sizes"]}
        bench.memory.keep_cached(record["user"], one["digest"], one["at"][4], outputs)


# -- money ---------------------------------------------------------------------------------------
def _pay(bench: Bench, account: Record, record: Record, asked: Asked) -> None:
    price = money.price(record)
    total = price + sum(money.tip(price, record["tips"]).values())
    wanted = cast("bool | None", asked.literal("allowMatureContent"))
    able = money.allowed(record["currencies"], wanted)
    paid = money.draw(account["balance"], total, able)
    if paid is None and not record["whatif"]:
        raise Answered(bench.short())
    record["short"] = paid is None
    if wanted is None:
        record["allowMature"] = bool(paid) and set(paid or ()) == {"yellow"}
    if not record["currencies"]:
        record["currencies"] = able
    if record["whatif"]:
        record["transactions"] = [
            {"type": "debit", "amount": amount, "accountType": currency}
            for currency, amount in (paid or {}).items()
        ]
    else:
        money.charge(account, record, paid or {})


def cost_headers(cost: Record, record: Record) -> dict[str, str]:
    """What an estimate says in its headers."""
    split = ";".join(f"{t['accountType']}={t['amount']}" for t in record["transactions"])
    return {
        "X-Civitai-Cost-Total": str(cost["total"]),
        "X-Civitai-Cost-By-Currency": split,
        "X-Civitai-Insufficient-Buzz": str(record["short"]).lower(),
    }


def ask_of(request: httpx.Request) -> Asked:
    """The template in a request; raises Answered with a 400."""
    return check.template(check.body_of(request))
