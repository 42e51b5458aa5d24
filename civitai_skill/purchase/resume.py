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
from civitai_skill.purchase.buy import Order, Purchase, check_account, send, take_up
from civitai_skill.purchase.deliver import Generation
from civitai_skill.purchase.events import Quoted, Resumed, Submitted
from civitai_skill.purchase.generate import finish
from civitai_skill.purchase.identity import next_attempt
from civitai_skill.purchase.price import check_quote

#: Ends that a wanted second try may follow.
_RETRIABLE = frozenset({"failed", "expired", "gone"})


def resume(
    service: Service, order: Order, run: Run, *, timeout: float, out: Path | None = None
) -> Flow[Generation]:
    """Finish one run of the ledger: send what may not have arrived, wait, download.

    A run that is closed has failed, and is bought once more: the service replays a failed workflow
    under its old key, so the second try carries its number in the key.
    """
    folder = out or Path(run.out or ".")
    yield Work(partial(prepare_folder, folder))
    if run.state == "closed":
        check_account(order.account, run)
        return (yield from _buy_again(service, order, run, folder, timeout))
    order.tell(Resumed(run))
    workflow, mine = yield from take_up(service, order, run)
    purchase = Purchase(workflow, None, mine, resumed=True)
    return (yield from finish(service, order, purchase, out=folder, timeout=timeout))


def _buy_again(
    service: Service, order: Order, run: Run, out: Path, timeout: float
) -> Flow[Generation]:
    assert order.ledger is not None, "only a ledger has runs to repeat"
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
    price = check_quote((yield from workflows.estimate(service, body)), order.limit)
    order.tell(Quoted(price, order.limit))
    key = next_attempt(run.key)
    content = workflows.encode_body({**body, "externalId": key})
    second = replace(run, key=key, body=content, out=str(out.absolute()), reserved=price)
    yield Work(partial(order.ledger.begin, second, again=True, budget=order.budget))
    workflow = yield from send(service, order, second)
    order.tell(Submitted(workflow, None))
    purchase = Purchase(workflow, None, second)
    return (yield from finish(service, order, purchase, out=out, timeout=timeout))
