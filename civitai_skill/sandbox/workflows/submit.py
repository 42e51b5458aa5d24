"""POST /workflows: a template becomes a record with a price, outputs and a fate, or an estimate."""

from __future__ import annotations

import math
import re

import httpx

from civitai_skill.sandbox import faults, wire
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.steps import check
from civitai_skill.sandbox.steps.check import ValidTemplate
from civitai_skill.sandbox.wire import Abort, Answer, Record, problem, refuse, reply
from civitai_skill.sandbox.workflows import responses, routes
from civitai_skill.sandbox.workflows.build import Builder


def receive(
    context: Context, recipe: str | None = None, *, counts: bool
) -> ValidTemplate | httpx.Response:
    """Count a submit, and read its template or why there is none; `recipe` is one step alone."""
    with context.account() as account:
        account["submits"] += counts
    try:
        body, query, tomorrow = context.body(), context.query, context.switches.tomorrow
        if recipe is None:
            return check.template(body, tomorrow)
        known = ("allowMatureContent", "experimental", "ephemeral")
        flags = {name: query.flag(name) for name in known if name in query}
        return check.recipe(recipe, body, flags, tomorrow)
    except Abort as abort:
        return abort.response


def submit(
    context: Context, template: ValidTemplate | httpx.Response, recipe: str | None = None
) -> Answer:
    """Charge and keep a workflow, or answer with the one that has its externalId, or only estimate;
    then wait as long as is asked: to the end where a step is called alone (`recipe`)."""
    if isinstance(template, httpx.Response):
        return template
    query, memory, switches = context.query, context.memory, context.switches
    whatif, hide = query.flag("whatif"), query.flag("hideMatureContent")
    seconds = query.whole("wait", 0) if recipe is None else math.ceil(switches.longest_wait)
    with context.account() as account:
        user, external = account["user"], template.literal("externalId")
        if external is not None:
            external = f"{user}-{external}"
        old = memory.record("workflows WHERE user = ? AND external = ?", user, external)
        if old is None:
            is_heard = whatif or seconds > 0 or template.literal("callbacks")
            if template.literal("ephemeral") and not is_heard:
                raise refuse("An ephemeral workflow needs a callback, or wait above 0.")
            most = switches.unfinished_at_most
            if most is not None and not whatif:
                open = memory.records("workflows WHERE user = ? AND due IS NOT NULL", user)
                if len(list(open)) >= most:
                    raise Abort(problem(429, f"At most {most} unfinished workflows at a time."))
        record = old or _create(context, account, template, external, whatif=whatif)
    if not whatif:
        record, _ = yield from routes.wait(context, record, seconds)
    now = context.clock()
    body, headers = responses.render_workflow(context, record, hide=hide), {}
    if whatif:
        drawn = [f"{t['accountType']}={t['amount']}" for t in record["transactions"]]
        headers = {
            "X-Civitai-Cost-Total": str(body["cost"]["total"]),
            "X-Civitai-Cost-By-Currency": ";".join(drawn),
            "X-Civitai-Insufficient-Buzz": str(record["short"]).lower(),
        }
    if recipe is not None:
        return _output(record, body["steps"][0], headers)
    is_done = old is not None or whatif or life.is_over(record, now)
    return reply(200 if is_done else 202, body, headers)


def _output(record: Record, step: Record, headers: dict[str, str]) -> httpx.Response:
    """What a step that is called alone is answered with: its output, and nothing else of it."""
    status = step["status"]
    if record["whatif"] or status == "succeeded":
        return reply(200, step.get("output"), headers)
    if status not in life.TERMINAL:
        return problem(504, "The step takes longer than a request may wait.")
    reasons = step.get("output", {}).get("errors") or [step["metadata"].get("error", "")]
    return problem(400, "; ".join(reasons) or f"The step {status}.")


def _create(
    context: Context, account: Record, template: ValidTemplate, external: str | None, *,
    whatif: bool,
) -> Record:  # fmt: skip
    """A new record: charged and kept, or only an estimate. Raises Abort when refused."""
    created = max(int(context.clock() * 1000), account["last"] + 1) / 1000
    no_tips = {"civitai": 0, "creators": 0}
    tips = template.literal("tips", no_tips)
    as_said = ("nsfwLevel", "experimental", "ephemeral")
    record: Record = {
        "id": f"{account['user']}-{re.sub(r'[^0-9]', '', wire.format_millis(created))}",
        "user": account["user"], "created": created, "external": external,
        "metadata": template.given.get("metadata") or {},
        "tags": context.check_tags(template.literal("tags", [])),
        "arguments": template.given.get("arguments") or {},
        "callbacks": template.literal("callbacks", []), "tips": no_tips if "$ref" in tips else tips,
        "allowMature": template.literal("allowMatureContent"),
        "upgradeMode": template.literal("upgradeMode", "manual"),
        "currencies": [c for c in template.literal("currencies", []) if c is not None],
        **{name: template.literal(name) for name in as_said}, "steps": [], "transactions": [],
        "whatif": whatif, "variable": context.switches.variable_cost, "short": False,
        "settled": False, "canceled": None, "deleted": None,
    }  # fmt: skip
    fault = None if whatif else faults.take(context.memory, "submit", template, {"fate"})
    builder = Builder(context, template, record, fault)
    builder.add_steps()
    _pay(context, account, record, template)
    account["last"] = round(record["created"] * 1000)
    account["workflows"] += not whatif
    account["workflowsCharged"] += not whatif and bool(record["transactions"])
    if not whatif:
        builder.keep_outputs()
        context.keep(record)
    elif context.switches.whatif_claims_key and external is not None:
        context.keep(record)
    elif context.switches.whatif_persists:
        context.keep({**record, "external": None})
    return record


def _pay(context: Context, account: Record, record: Record, template: ValidTemplate) -> None:
    price = money.price(record)
    total = price + sum(money.compute_tips(price, record["tips"]).values())
    usable = ("yellow",) if record["allowMature"] else money.DRAWN
    able = [c for c in usable if c in (record["currencies"] or usable)]
    paid = money.draw(account["balance"], total, able)
    if paid is None and not record["whatif"]:
        raise context.refuse_short()
    record["short"] = paid is None
    paid = paid or {}
    if record["allowMature"] is None:
        record["allowMature"] = set(paid) == {"yellow"}
    record["currencies"] = record["currencies"] or able
    if not record["whatif"]:
        money.book(account, record, "debit", paid)
        return
    for currency, amount in paid.items():
        told = {"type": "debit", "amount": amount, "accountType": currency}
        record["transactions"].append(told)
