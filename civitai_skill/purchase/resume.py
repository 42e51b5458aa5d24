"""Finishing what an earlier process left open, and trying once more what failed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from civitai_skill.api import workflows
from civitai_skill.api.models import is_moderation
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.save import prepare_folder
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.buy import go_on, send
from civitai_skill.purchase.events import Quoted
from civitai_skill.purchase.generate import begin_clock, finish
from civitai_skill.purchase.identity import next_attempt
from civitai_skill.purchase.join import check_account, release_on_failure
from civitai_skill.purchase.order import Order, Purchase
from civitai_skill.purchase.price import check_quote
from civitai_skill.purchase.result import Generation

#: Ends that a wanted second try may follow.
_RETRIABLE = frozenset({"failed", "expired", "gone"})


def resume(service: Service, order: Order, run: Run, *, timeout: float) -> Flow[Generation]:
    """Finish one run of the ledger: send what may not have arrived, wait, download.

    A run that is closed has failed, and is bought once more: the service replays a failed workflow
    under its old key, so the second try carries its number in the key.
    """
    out = order.out or Path(run.out or ".")
    began, order = begin_clock(replace(order, out=out), timeout)
    yield Work(partial(prepare_folder, out))
    if run.state == "closed":
        check_account(order.account, run)
        purchase = yield from _buy_again(service, order, run)
    else:
        purchase = yield from go_on(service, order, run)
    return (yield from finish(service, order, purchase, timeout=timeout, began=began))


def _buy_again(service: Service, order: Order, run: Run) -> Flow[Purchase]:
    assert order.ledger is not None, "only a ledger has runs to repeat"
    assert order.out is not None, "see resume"
    if is_moderation(run.reason or ""):
        why = f"moderation stopped it ({run.reason}), and a prompt like that is never sent twice"
        raise RequestInvalid(Problem("prompt", None, "another prompt", None, why))
    if run.status not in _RETRIABLE:
        accepted = "an open run, or one that failed or expired"
        raise RequestInvalid(Problem("run", run.key, accepted, None, f"it {run.status}"))
    if not run.is_whole:
        why = "its source pictures are not kept any more; make the request again"
        raise RequestInvalid(Problem("run", run.key, "a younger run", None, why))
    body = json.loads(run.body)
    # What it cost then may be another price now.
    quote = yield from workflows.estimate(service, body, give_up_at=order.deadline)
    price = check_quote(quote, order.limit)
    order.tell(Quoted(price, order.limit, tuple(map(str, quote.warnings)), quote.teller))
    key = next_attempt(run.key)
    content = workflows.encode_body({**body, "externalId": key})
    second = replace(run, key=key, body=content, out=str(order.out.absolute()), reserved=price)
    yield Work(partial(order.ledger.begin, second, again=True, budget=order.budget))
    sending = send(service, order, second, certain=True)
    return (yield from release_on_failure(order.ledger, second, sending))
