"""What to do next after an error, as values that each interface renders in its own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Look:
    """Look at workflow `id`, with `save` to fetch its pictures; None: look at the latest ones."""

    id: str | None = None
    save: bool = False


@dataclass(frozen=True)
class Resume:
    """Make the same request again: it goes on with this purchase (`key`) and can't pay twice."""

    key: str | None = None


@dataclass(frozen=True)
class Settle:
    """Send the submit of `key` again, where no ledger keeps it, to learn what became of it."""

    key: str


@dataclass(frozen=True)
class BuyAgain:
    """Ask for the same once more and say that it is to be bought anew."""


@dataclass(frozen=True)
class TryAgain:
    """Ask once more for what workflow `id` failed to make; it is a purchase of its own."""

    id: str


@dataclass(frozen=True)
class Allow:
    """Allow this call to cost `price` Buzz; None: more than now."""

    price: int | None = None


@dataclass(frozen=True)
class RaiseBudget:
    """Allow all calls together more: `per` day, week, month or all time; None: for this server."""

    per: str | None = None


@dataclass(frozen=True)
class Choose:
    """Choose another engine."""


@dataclass(frozen=True)
class Release:
    """Release the mature result of workflow `id` that is held back, for yellow Buzz."""

    id: str


@dataclass(frozen=True)
class Fix:
    """Say `field` in another way; `nearest` is the nearest value that works."""

    field: str
    nearest: Any


@dataclass(frozen=True)
class Say:
    """Make the same call with this `option` switched on, `to` do something (its words)."""

    option: str
    to: str


@dataclass(frozen=True)
class Vary:
    """Say another value of `field`, such as `to`, for another picture."""

    field: str
    to: Any


@dataclass(frozen=True)
class Remix:
    """Read the generation data of another program, and make a request of it; `source` is a file, or
    - for the text that was given."""

    source: str = "-"


@dataclass(frozen=True)
class UseSandbox:
    """Do the same over the sandbox, without a key and at no cost."""


Next = (
    Look | Resume | Settle | BuyAgain | TryAgain | Allow | RaiseBudget | Choose | Release | Fix
    | Say | Vary | Remix | UseSandbox
)  # fmt: skip

#: Tells a next step in one interface's words; "" where that interface has none for it.
Render = Callable[[Next], str]


class Advice(str):
    """A note or a warning with what to do about it; as text, without that."""

    next: Next

    def __new__(cls, text: str, step: Next) -> Self:
        made = super().__new__(cls, text)
        made.next = step
        return made


def advise(text: str, render: Render) -> str:
    """A note or a warning as one interface tells it."""
    return f"{text} {render(text.next)}".rstrip() if isinstance(text, Advice) else text


def in_python(step: Next) -> str:
    """A next step in the words of a Python program."""
    match step:
        case Look(None):
            return "See the latest workflows: client.query()."
        case Look(id, save=True):
            return f"Fetch its pictures: client.download({id!r}, out)."
        case Look(id):
            return f"Look at it again: client.wait({id!r})."
        case Resume():
            return "The same call again goes on with it and can't pay twice; so does client.resume."
        case Settle(key):
            return f"To learn what became of it: client.settle({key!r})."
        case BuyAgain():
            return "To buy it anew: again=True."
        case TryAgain():
            return "The same call buys it once more; so does client.resume of a failed run."
        case Allow(price):
            return f"To allow more: max_buzz={'N' if price is None else price}."
        case RaiseBudget(None):
            return "To allow more: start the server with a higher budget."
        case RaiseBudget(per):
            budget = f'client.ledger.keep_setting("budget", "N/{per}")'
            return f"To allow all calls together more: {budget}."
        case Choose():
            return "choose_engine() ranks the engines, list_engines() lists them."
        case Release(id):
            return f"The account's owner may release it, for yellow Buzz: client.release({id!r})."
        case Say(option, to):
            return f"To {to}: {option}=True."
        case Vary(field, to):
            return f"For another one: {field}={to!r}."
        case Remix(source):
            what = "text" if source == "-" else repr(source)
            return f"remix({what}) makes a request of it."
        case UseSandbox():
            return "To try without a key: sandbox=True."
        case Fix():
            return ""  # the message says it
