"""Buzz: balances by currency, what a workflow draws from which, and what comes back.

Sources: civitai-api facts, sections 1.1, 4 and 7. A workflow that may show mature pictures is paid
in yellow only; else blue is drawn first, then green, then yellow, and a price may split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from civitai_skill.sandbox.state import life
from civitai_skill.sandbox.wire import Record

#: What a new account holds.
BALANCE: Mapping[str, int] = {"blue": 10_000, "green": 1_000, "yellow": 10_000}

#: The sandbox's own price of a picture whose real price is not documented. Not a fact about the
#: service: it only makes such a picture cost something plausible.
UNDOCUMENTED = 50

#: The order in which currencies are drawn.
DRAWN = ("blue", "green", "yellow")


def draw(balance: Mapping[str, int], price: int, currencies: list[str]) -> dict[str, int] | None:
    """What each currency pays, or None when they are short."""
    paid: dict[str, int] = {}
    for currency in currencies:
        part = min(price - sum(paid.values()), balance.get(currency, 0))
        if part > 0:
            paid[currency] = part
    return paid if sum(paid.values()) == price else None


def compute_tips(price: int, rates: Mapping[str, Any]) -> dict[str, int]:
    """Tips in Buzz: rates on the price, rounded up; a rate that is a reference counts nothing."""
    return {
        who: math.ceil(round(price * rate, 6)) if isinstance(rate, int | float) else 0
        for who in ("civitai", "creators")
        for rate in (rates.get(who, 0),)
    }


def price(record: Record) -> int:
    return int(sum(step["price"] for step in record["steps"]))


def net(record: Record) -> dict[str, int]:
    """What a workflow holds of each currency now; an estimate holds nothing."""
    kept: dict[str, int] = {}
    for entry in () if record["whatif"] else record["transactions"]:
        sign = 1 if entry["type"] == "debit" else -1
        kept[entry["accountType"]] = kept.get(entry["accountType"], 0) + sign * entry["amount"]
    return {currency: amount for currency, amount in kept.items() if amount}


def settle(account: Record, record: Record, now: float) -> None:
    """Refund what a finished workflow did not deliver, and upgrade a mature one that asked for it.

    Nothing delivered: everything back, tips too. Something delivered: the other steps' prices, and
    a quarter where the price was a cap. The currency that was drawn last comes back first.
    """
    steps = record["steps"]
    lost = [step["price"] for step in steps if life.step_status(record, step, now) != "succeeded"]
    paid = net(record)
    owed = sum(lost) if len(lost) < len(steps) else sum(paid.values())
    if record.get("variable") and len(lost) < len(steps):
        owed += (sum(step["price"] for step in steps) - sum(lost)) // 4
    for currency in reversed(DRAWN):
        part = min(owed, paid.get(currency, 0))
        owed -= part
        book(account, record, "credit", {currency: part})
    if record["upgradeMode"] == "automatic" and is_held(record):
        upgrade(account, record)
    record["settled"] = True


def is_held(record: Record) -> bool:
    """Are mature pictures being held back?"""
    return not record["allowMature"] and any(step["mature"] for step in record["steps"])


def upgrade(account: Record, record: Record) -> bool:
    """Allow mature pictures: blue and green go back, yellow is charged. False when it is short."""
    others = {c: n for c, n in net(record).items() if c != "yellow"}
    owed = sum(others.values())
    if account["balance"].get("yellow", 0) < owed:
        return False
    book(account, record, "credit", others)
    book(account, record, "debit", {"yellow": owed})
    record["allowMature"] = True
    return True


def book(account: Record, record: Record, kind: str, amounts: Mapping[str, int]) -> None:
    """Move Buzz between an account and a workflow (debit: from the account), and note it."""
    balance, noted = account["balance"], record["transactions"]
    for currency, amount in amounts.items():
        if amount <= 0:
            continue
        balance[currency] = balance.get(currency, 0) + (amount if kind == "credit" else -amount)
        account["charged" if kind == "debit" else "refunded"] += amount
        number = sum(entry["type"] == kind for entry in noted)
        id = f"{record['id']}-{kind}" + (f"-{number}" if number else "")
        noted.append({"type": kind, "amount": amount, "id": id, "accountType": currency})
