"""The most that all calls together may spend, in a period."""

from __future__ import annotations

import re
from dataclasses import dataclass

from civitai_skill.errors import ConfigError, shown


@dataclass(frozen=True)
class Budget:
    """The most that all processes together may spend: `limit` Buzz in each `period` seconds."""

    limit: int
    period: float
    name: str

    def __str__(self) -> str:
        return f"{self.limit} Buzz per {self.name}"


#: Seconds of the periods a budget may have; each is counted back from now.
PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}


def read_budget(text: str) -> Budget:
    """A budget from "500", "500/day" or "2000/week". Raises ConfigError."""
    amount, slash, name = text.strip().partition("/")
    period = name.strip() if slash else "day"
    if not re.fullmatch(r"[0-9]{1,9}", amount.strip()) or period not in PERIODS:
        raise ConfigError(
            f"{shown(text)} is not a budget.",
            hint="Give Buzz (at most 9 digits) and a period, such as 500/day; periods: "
            f"{', '.join(PERIODS)}.",
        )
    return Budget(int(amount), PERIODS[period], period)
