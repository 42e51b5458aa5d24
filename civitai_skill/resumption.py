"""Finishing what an earlier process left open, and trying once more what failed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from civitai_skill import download, flows
from civitai_skill.delivery import Generation
from civitai_skill.errors import OverBudget, Problem, RequestInvalid
from civitai_skill.events import Resumed
from civitai_skill.exchange import Flow, Service, Work
from civitai_skill.generation import finished
from civitai_skill.identity import next_attempt
from civitai_skill.ledger import Run
from civitai_skill.purchase import Bought, Order, check_account, sent, taken_up
from civitai_skill.workflow import is_moderation


def resumed(
    service: Service, order: Order, run: Run, *, timeout: float, out: Path | None = None
) -> Flow[Generation]:
    """Finish one run of the ledger: send what may not have arrived, wait, download.

    A run that is closed has failed, and is bought once more: the service replays a failed workflow
    under its old key, so the second try carries its number in the key.
    """
    folder = out or Path(run.out or ".")
    yield Work(partial(download.ready_folder, folder))
    if run.state == "closed":
        check_account(order.account, run)
        return (yield from _once_more(service, order, run, folder, timeout))
    order.tell(Resumed(run))
    workflow, mine = yield from taken_up(service, order, run)
    purchase = Bought(workflow, None, mine, resumed=True)
    return (yield from finished(service, order, purchase, out=folder, timeout=timeout))


def _once_more(
    service: Service, order: Order, run: Run, out: Path, timeout: float
) -> Flow[Generation]:
    assert order.ledger is not None, "only a ledger has runs to repeat"
    if is_moderation(run.reason or ""):
        why = f"moderation stopped it ({run.reason}), and a prompt like that is never sent twice"
        raise RequestInvalid(Problem("prompt", None, "another prompt", None, why))
    if run.reserved > order.limit:
        raise OverBudget(
            f"A second try costs about {run.reserved} Buzz; the limit is {order.limit}.",
            price=run.reserved,
            limit=order.limit,
            hint=f"Allow more with --max-buzz {run.reserved}.",
        )
    key = next_attempt(run.key)
    body = flows.encoded({**json.loads(run.body), "externalId": key})
    second = replace(run, key=key, body=body, out=str(out.absolute()))
    yield Work(partial(order.ledger.begin, second, again=True, budget=order.budget))
    workflow = yield from sent(service, order, second)
    purchase = Bought(workflow, None, second)
    return (yield from finished(service, order, purchase, out=out, timeout=timeout))
