"""Buy a workflow body as somebody else wrote it, under the same money rules.

The body is the service's own (schema WorkflowTemplate), any steps. Its price is always asked of the
service and held against the limit; it gets a key when it has none; the ledger knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from civitai_skill import flows, pricing
from civitai_skill.engines.identify import identify
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.exchange import Flow, Service, Work
from civitai_skill.identity import hashed
from civitai_skill.ledger import Run
from civitai_skill.purchase import Order, another_use, earlier_run, noted, sent, taken_up
from civitai_skill.template import check_key
from civitai_skill.workflow import Workflow


def bought_body(service: Service, order: Order, body: Mapping[str, Any]) -> Flow[Workflow]:
    """Price a body, write it down and submit it once.

    Of `order` the rules count, not the request. A body with an `externalId` that the ledger knows,
    and one whose answer was lost, goes on with that purchase. Raises RequestInvalid, OverBudget,
    NotEnoughBuzz and what a submit raises.
    """
    own = _checked(body)
    named = replace(order, terms=pricing.Terms(external_id=own.pop("externalId", None)))
    identity = hashed({"body": own, "where": order.account})
    ledger = order.ledger
    if ledger is not None:
        earlier = yield Work(partial(earlier_run, ledger, named, identity))
        if earlier is not None:
            workflow, _ = yield from taken_up(service, order, earlier)
            yield from noted(partial(ledger.closed, earlier.key))
            return workflow
    quote = yield from flows.estimate(service, own)
    price = pricing.payable(quote, order.limit)
    key = named.terms.external_id or flows.fresh_key()
    drawn = Workflow.read(own)
    engine, variant = identify(drawn.input)
    run = Run(
        key=key,
        identity=identity,
        purpose=order.purpose,
        body=flows.encoded({**own, "externalId": key}),
        wanted=drawn.wanted,
        reserved=price,
        engine=engine,
        variant=variant,
        account=order.account,
    )
    if ledger is not None:
        begun = yield Work(partial(ledger.begin, run, again=True, budget=order.budget))
        if begun.run.identity != identity:
            raise another_use(key)
    workflow = yield from sent(service, order, run)
    if ledger is not None:
        yield from noted(partial(ledger.closed, key))
    return workflow


def quoted_body(service: Service, body: Mapping[str, Any]) -> Flow[flows.Quote]:
    """The service's own price for a body. Spends nothing. Raises RequestInvalid."""
    return (yield from flows.estimate(service, _checked(body)))


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body, as far as it can be judged without the published document."""
    accepted = 'a workflow template: {"steps": [{"$type": "imageGen", "input": {...}}], ...}'
    if not isinstance(body, Mapping):
        raise RequestInvalid(Problem("body", type(body).__name__, accepted))
    steps = body.get("steps")
    if not isinstance(steps, list) or not all(isinstance(s, Mapping) for s in steps) or not steps:
        why = "this takes the service's own body"
        hint = "" if "prompt" not in body else "For a prompt and its settings: generate_image."
        given = ", ".join(str(name)[:40] for name in list(body)[:10])
        raise RequestInvalid(Problem("body", given, accepted, None, why), hint=hint)
    key = body.get("externalId")
    if key is not None:
        check_key(key)
    try:
        flows.encoded(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestInvalid(Problem("body", None, "plain JSON", None, str(error)[:200])) from None
    return dict(body)
