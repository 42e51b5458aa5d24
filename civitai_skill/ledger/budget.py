"""The most that all calls together may spend, in a period."""

from __future__ import annotations

import re
from dataclasses import dataclass

from civitai_skill.errors import BudgetUsedUp, ConfigError, preview
from civitai_skill.errors.next_steps import RaiseBudget


@dataclass(frozen=True)
class Budget:
    """The most that all processes together may spend: `limit` Buzz in each `period` seconds."""

    limit: int
    period: float
    name: str

    def __str__(self) -> str:
        return f"{self.limit} Buzz per {self.name}"

    def check(self, used: int, price: int) -> None:
        """Raises BudgetUsedUp when `price` has no room beside what is used or reserved (Buzz)."""
        if used + price > self.limit:
            left = max(0, self.limit - used)
            raise BudgetUsedUp(
                f"The budget is {self}; {used} are used or reserved, {left} are left, "
                f"and this costs about {price}.",
                price=price,
                limit=left,
                advice="Wait, or raise it (in CIVITAI_BUDGET, where that is set).",
                next=[RaiseBudget(self.name)],
            )


#: Seconds of the periods a budget may have; each is counted back from now.
PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}


def read_budget(text: str, where: str = "") -> Budget:
    """A budget from "500", "500/day" or "2000/week", said in `where`. Raises ConfigError."""
    amount, slash, name = text.strip().partition("/")
    period = name.strip() if slash else "day"
    if not re.fullmatch(r"[0-9]{1,9}", amount.strip()) or period not in PERIODS:
        raise ConfigError(
            f"{where + ': ' if where else ''}{preview(text)} is not a budget.",
            advice="Give Buzz (at most 9 digits) and a period, such as 500/day; periods: "
            f"{', '.join(PERIODS)}.",
        )
    return Budget(int(amount), PERIODS[period], period)
