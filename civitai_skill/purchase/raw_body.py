"""Buy a workflow body as somebody else wrote it, under the same money rules.

The body is the service's own (schema WorkflowTemplate), any steps. Its price is always asked of the
service and held against the limit; it gets a key when it has none; the ledger knows it, and the
same body goes on with what is open, as a request does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service
from civitai_skill.engines.catalog import identify
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.body import check_key
from civitai_skill.purchase.buy import Order, Purchase, find_open_run, go_on, submit_once
from civitai_skill.purchase.events import Quoted
from civitai_skill.purchase.identity import first_attempt, hash_json
from civitai_skill.purchase.price import Terms, check_quote


def buy_body(
    service: Service, order: Order, body: Mapping[str, Any], out: Path | None = None
) -> Flow[Purchase]:
    """Price a body, write it down and submit it once; or go on with what is open.

    Of `order` the rules count, not the request. Raises RequestInvalid, OverBudget, NotEnoughBuzz,
    StillRunning when another call is making the same right now, and what a submit raises.
    """
    own, order, identity = _identify(order, body, out)
    earlier = yield from find_open_run(order, identity)
    if earlier is not None:
        return (yield from go_on(service, order, earlier, None))
    price = check_quote((yield from workflows.estimate(service, own)), order.limit)
    order.tell(Quoted(price, order.limit))
    key = order.terms.external_id or workflows.new_key()
    drawn = Workflow.read(own)
    engine, variant = identify(drawn.input)
    run = Run(
        key=key,
        identity=identity,
        purpose=order.purpose,
        body=workflows.encode_body({**own, "externalId": key}),
        wanted=drawn.wanted,
        reserved=price,
        engine=engine,
        variant=variant,
        out=None if out is None else str(out.absolute()),
        account=order.account,
    )
    return (yield from submit_once(service, order, run, None))


def preview_open_run(order: Order, body: Mapping[str, Any], out: Path | None) -> Flow[Run | None]:
    """See purchase.preview_open_run."""
    _, order, identity = _identify(order, body, out)
    return (yield from find_open_run(order, identity))


def _identify(
    order: Order, body: Mapping[str, Any], out: Path | None
) -> tuple[dict[str, Any], Order, str]:
    """The body without its key, the order under that key, and the purchase's identity."""
    own = _check(body)
    key = own.pop("externalId", None)
    identity = hash_json(
        {
            "body": own,
            "where": order.account,
            # A key of the caller's own is the purchase's name, wherever its pictures go.
            "out": None if out is None or key is not None else os.path.realpath(out),
            "named": None if key is None else first_attempt(key),
        }
    )
    return own, replace(order, terms=Terms(external_id=key)), identity


def quote_body(service: Service, body: Mapping[str, Any]) -> Flow[workflows.Quote]:
    """The service's own price for a body. Spends nothing. Raises RequestInvalid."""
    return (yield from workflows.estimate(service, _check(body)))


def _check(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body, as far as it can be judged without the published document."""
    accepted = 'a workflow template: {"steps": [{"$type": "imageGen", "input": {...}}], ...}'
    if not isinstance(body, Mapping):
        raise RequestInvalid(Problem("body", type(body).__name__, accepted))
    steps = body.get("steps")
    if not isinstance(steps, list) or not all(isinstance(s, Mapping) for s in steps) or not steps:
        why = "this takes the service's own body"
        hint = "" if "prompt" not in body else "For a prompt and its settings: generate_image."
        given = ", ".join(str(name)[:40] for name in list(body)[:10])
        raise RequestInvalid(Problem("body", given, accepted, None, why), advice=hint)
    key = body.get("externalId")
    if key is not None:
        check_key(key)
    if body.get("ephemeral") not in (None, False):
        # Its end is forgotten at once (schema WorkflowTemplate): nobody could fetch what was paid
        # for, and the same key sent again would pay again.
        why = "the service would not keep what is paid for"
        raise RequestInvalid(
            Problem("ephemeral", body["ephemeral"], "false, or left out", None, why)
        )
    try:
        own: dict[str, Any] = json.loads(workflows.encode_body(body))  # as the service reads it
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestInvalid(Problem("body", None, "plain JSON", None, str(error)[:200])) from None
    return own
