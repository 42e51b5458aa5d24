"""Submitting: a template becomes a record with a price, outputs and a fate, or an estimate."""

from __future__ import annotations

from typing import Any, cast

import httpx

from civitai_skill.sandbox import check, money, reuse, stamps
from civitai_skill.sandbox.answers import Answered, problem
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Asked
from civitai_skill.sandbox.draft import Draft
from civitai_skill.sandbox.faults import Fault

Record = dict[str, Any]

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
    bench.check_tags(asked.literal("tags", []))
    record = _record(bench, account, asked, whatif)
    Draft(bench, asked, record, fault).add_steps()
    _pay(bench, account, record, asked)
    account["last"] = round(record["created"] * 1000)
    account["workflows"] += not whatif
    account["workflowsCharged"] += not whatif and bool(record["transactions"])
    bench.memory.keep_account(account)
    if whatif:
        _keep_estimate(bench, record)
        return record
    for place, step in enumerate(record["steps"]):
        _keep_outputs(bench, record, place)
        reuse.keep(bench.memory, record, place)
        step.pop("recipes")
    bench.keep(record)
    return record


def _keep_estimate(bench: Bench, record: Record) -> None:
    switches = bench.switches
    if switches.whatif_claims_key and record["external"] is not None:
        bench.keep(record)
    elif switches.whatif_persists:
        bench.keep({**record, "external": None})


def check_room(bench: Bench, account: Record) -> None:
    """Refuse a submit above the account's unfinished workflows, where these are limited."""
    most = bench.switches.unfinished_at_most
    if most is not None and bench.memory.unfinished(account["user"]) >= most:
        raise Answered(problem(429, f"At most {most} unfinished workflows at a time."))


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


# -- outputs -------------------------------------------------------------------------------------
def _keep_outputs(bench: Bench, record: Record, place: int) -> None:
    one = record["steps"][place]
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
