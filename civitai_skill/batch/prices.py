"""What a batch will cost, before anything is bought: documented, asked for, held against limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from civitai_skill.api.drivers import adrive
from civitai_skill.api.progress import ServiceWarning
from civitai_skill.batch.plan import Row, shape_of
from civitai_skill.batch.report import BatchPlan
from civitai_skill.batch.states import RowState
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import CivitaiError, ConfigError, NotEnoughBuzz, Unauthorized
from civitai_skill.ledger.budget import Budget
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare, upload_sources
from civitai_skill.purchase.price import ASK_ABOVE, ask_price, confirmed_rule

Line = tuple[Row, RowState]

_ANY_PROMPT = "a quiet landscape"


async def ask_prices(
    lines: Sequence[Line], client: AsyncCivitai, order: Order, *, every_rule: bool
) -> tuple[list[Line], list[ServiceWarning]]:
    """The rows with the prices that they are held to, and what the service warned of.

    It is asked once for each documented rule that it has not confirmed (with `every_rule` False
    only where a row of it is dear), and once for each shape that no rule covers or whose rule it
    does not follow. Where it asks more than is documented, that counts.
    """
    asker = _Asker(client, order)
    new = [row for row, state in lines if state.result is None and state.run is None]
    covered = [row for row in new if row.price is not None]
    first: dict[str, Row] = {}
    for row in covered:
        if every_rule or (row.price or 0) > ASK_ABOVE:
            first.setdefault(row.rule, row)
    confirmed = {row.rule for row, state in lines if state.confirmed}
    told = {rule: row.price for rule, row in first.items() if rule in confirmed}
    if unsure := {rule: row for rule, row in first.items() if rule not in confirmed}:
        told |= await asker.ask_all(unsure)
    broken = {rule for rule, row in first.items() if (told[rule] or 0) > (row.price or 0)}
    shapes = {
        row.number: shape_of(row.prepared) for row in new if row.price is None or row.rule in broken
    }
    if shapes:
        one_each = {shapes[row.number]: row for row in reversed(new) if row.number in shapes}
        told |= await asker.ask_all(one_each)

    priced = []
    for row, state in lines:
        price = row.price
        if state.run is not None:
            row = replace(row, price=max(price or 0, state.run.reserved))
        elif row.number in shapes:
            quoted = told[shapes[row.number]]
            price = price if quoted is None else max(price or 0, quoted)
            row = replace(row, price=price, quoted=price, ask_again=quoted is not None)
        elif state.result is None and row.rule in first:
            row = replace(row, quoted=price)
        priced.append((row, state))
    return priced, asker.warned


@dataclass
class _Asker:
    """Asks the service what rows cost."""

    client: AsyncCivitai
    order: Order
    warned: list[ServiceWarning] = field(default_factory=list)

    async def ask_all(self, rows: Mapping[str, Row]) -> dict[str, int | None]:
        """The service's price for each. Where it does not answer, what is documented holds; raises
        its error where nothing is."""
        told: dict[str, int | None] = {}
        errors: list[CivitaiError] = []

        async def one(name: str, row: Row) -> None:
            try:
                told[name] = await self.ask(row)
            except CivitaiError as error:
                if row.price is None or isinstance(
                    error, Unauthorized | NotEnoughBuzz | ConfigError
                ):
                    errors.append(error)
                told[name] = None

        async with anyio.create_task_group() as group:
            for name, row in rows.items():
                group.start_soon(one, name, row)
        if errors:
            raise errors[0]
        return told

    async def ask(self, row: Row) -> int | None:
        """The service's price of a row (Buzz); None where it does not tell."""
        order, prepared, ledger = self.order, row.prepared, self.order.ledger
        service, http = self.client._service, self.client._http
        if "" in prepared.sources:
            prepared = prepare(replace(order, asked=row.request))
        # Other words: a price depends on none, and what moderation stops must not be sent twice.
        other = [
            {**step, "input": {**step["input"], "prompt": _ANY_PROMPT}}
            if isinstance(step["input"].get("prompt"), str)
            else step
            for step in prepared.steps
        ]
        prepared = replace(prepared, steps=other, request=None)
        body = await adrive(upload_sources(service, prepared), http)
        quote = await adrive(ask_price(service, order, prepared, body), http)
        if quote is None:
            return None
        self.warned += quote.warnings
        if quote.insufficient_buzz:
            raise NotEnoughBuzz(
                f"The account has not enough Buzz for row {row.number} ({quote.total} needed).",
                status=200,
                advice="Buy Buzz, or lower the price.",
            )
        rule = confirmed_rule(row.plan, quote)
        if rule is not None and ledger is not None:
            with suppress(ConfigError):
                await anyio.to_thread.run_sync(ledger.confirm, rule)
        return quote.total


def leave_out(lines: Sequence[Line], limit: int, left: int | None) -> set[int]:
    """The numbers of the new rows after the last one that fits, in order, into the limit and into
    what is left of the budget (Buzz)."""
    most = limit if left is None else min(limit, left)
    total, out = 0, set[int]()
    for row, state in lines:
        if state.result is None and state.workflow is None:
            if out or total + (row.price or 0) > most:
                out.add(row.number)
            else:
                total += row.price or 0
    return out


def summarize(
    name: str, lines: Sequence[Line], left_out: set[int], limit: int, budget: Budget | None,
    used: int,
) -> BatchPlan:  # fmt: skip
    """The plan, with a warning for each limit that its price is above."""
    # One that was perhaps never sent may cost its price now.
    new = [
        row
        for row, state in lines
        if state.result is None and state.workflow is None and row.number not in left_out
    ]
    by_engine: dict[str, int] = {}
    for row in new:
        who = row.plan.title
        by_engine[who] = by_engine.get(who, 0) + (row.price or 0)
    price = sum(row.price or 0 for row in new)
    done = sum(state.result is not None for _, state in lines)
    warnings = dict.fromkeys(warning for row in new for warning in row.plan.warnings)
    if price > limit:
        warnings[f"{len(new)} rows cost up to {price} Buzz together; the limit is {limit}."] = None
    left = None if budget is None else max(0, budget.limit - used)
    if left is not None and price > left:
        costly = f"{len(new)} rows cost up to {price} Buzz together"
        rest = f"the budget of {budget} has {left} left: rows are bought in order until it is used"
        warnings[f"{costly}; {rest} up."] = None
    return BatchPlan(
        name, len(lines), len(new), len(lines) - len(new) - done - len(left_out), done, price,
        sum(row.price is None for row in new), by_engine, tuple(warnings), len(left_out), limit,
        left,
    )  # fmt: skip
