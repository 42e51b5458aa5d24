"""What a call would buy, told before it is bought: for interfaces that ask a person first."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from civitai_skill.api.workflows import SIMULATED
from civitai_skill.errors import ApiError, StillRunning, TransportFailed, preview
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import Planned
from civitai_skill.tools.compare import CompareImages, run_comparison
from civitai_skill.tools.fixed import ToolSettings, price_options

_LONGEST = 300


@dataclass(frozen=True)
class Offer:
    """What a call would buy (all numbers are Buzz).

    `asked` is what for, `limit` the most it may cost. `open_price` is what going on with an open
    purchase costs at most, None where it would be bought anew; then `price` is what it costs, where
    that is known. `left` is what is left of the budget, where there is one; `engines` are those of
    a comparison, and `simulated` says that the sandbox makes the price up.
    """

    asked: ImageRequest | FinishRequest | WorkflowBody
    limit: int
    open_price: int | None = None
    price: int | None = None
    plan: Planned | None = None
    left: int | None = None
    engines: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def costs(self) -> bool:
        """Would anything be bought?"""
        return self.open_price is None or self.open_price > 0

    def __str__(self) -> str:
        if self.open_price is not None:
            what = "Go on with an earlier purchase of the same"
        elif isinstance(self.asked, WorkflowBody):
            steps = self.asked.body.get("steps")
            count = len(steps) if isinstance(steps, list | tuple) else 1
            what = f"A workflow of {count} step{'s' if count != 1 else ''}"
        elif self.engines:
            what = f"A picture with each of {', '.join(self.engines)}"
        elif isinstance(self.asked, FinishRequest):
            many = len(self.asked.images)
            what = "Finishing 1 picture" if many == 1 else f"Finishing {many} pictures"
            what += "" if self.plan is None else f" ({self.plan.title})"
        else:
            many = self.asked.quantity
            what = "1 picture" if many == 1 else f"{many} pictures"
            if self.plan is not None:
                what += f" with {self.plan.title}"
            sources = len(self.asked.images)
            if sources:
                what += f" from {sources} source picture{'s' if sources != 1 else ''}"
        price = self.price if self.open_price is None else self.open_price
        cost = "for a price that nobody tells" if price is None else f"for {price} Buzz"
        cost += f" ({SIMULATED})" if self.simulated and price is not None else ""
        said = [f"{what} {cost}"]
        if self.left is not None:
            said.append(f"{self.left} Buzz are left of the budget")
        words = self.asked.prompt if isinstance(self.asked, ImageRequest) else ""
        told = f"{'; '.join(said)}."
        return f"{told} Prompt: {preview(words, _LONGEST)}." if words else told


def make_offer(
    fixed: ToolSettings, given: Any, enough: int = 0
) -> Generator[Callable[[Any], Any], Any, Offer | None]:
    """Say what a call that spends would buy; None where it only asks for the price.

    Yields calls on a client, and sends no more than a price request: where the documented price is
    above `enough` Buzz, or there is none. Raises RequestInvalid for what is refused anyhow, and
    TransportFailed or ApiError where nobody tells the price.
    """
    if getattr(given, "estimate_only", False):
        return None
    asked = None if isinstance(given, CompareImages) else fixed.asked(given)
    buying = fixed.purchase_options(given)
    limit: int = buying["max_buzz"]
    if asked is None:
        plan = (yield from run_comparison(fixed, given, dry=True)).report.plan
        left = yield methodcaller("buzz_left")
        # What is finished or goes on is paid for already.
        open_price = None if plan.new else 0
        request, engines = ImageRequest(prompt=given.prompt), tuple(given.engines)
        return Offer(request, limit, open_price, plan.price, left=left, engines=engines)
    left = yield methodcaller("buzz_left")
    try:
        found = yield methodcaller("preview", asked, **buying)
    except StillRunning:
        return Offer(asked, limit, 0, left=left)
    if found.run is not None:
        open_price = found.run.reserved if found.run.workflow is None else 0
        return Offer(asked, limit, open_price, plan=found.plan, left=left)
    documented = None if found.plan is None else found.plan.price.most
    if documented is not None and documented <= enough:
        return Offer(asked, limit, None, documented, found.plan, left)
    try:
        told = (yield methodcaller("estimate", asked, **price_options(buying))).total
    except (TransportFailed, ApiError):
        if documented is None:
            raise
        told = None
    known = [price for price in (documented, told) if price is not None]
    return Offer(asked, limit, None, max(known, default=None), found.plan, left)
