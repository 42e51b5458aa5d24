"""What the word of a flag means, and the flags and examples that several commands have.

What can't be meant raises ArgumentTypeError.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from civitai_skill.errors import preview


def parse_number(text: str) -> Any:
    """A number where it is one; anything else is left for the request to refuse by name."""
    for kind in (int, float):
        try:
            return kind(text[:4000])  # Python reads no more than 4300; every limit is far below
        except ValueError:
            continue
    return text


def parse_pair(text: str) -> tuple[str, str]:
    """`K=V`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{preview(text)} is not K=V")
    return key, value


def parse_seconds(text: str) -> float:
    """A time to wait, in seconds."""
    value = parse_number(text)
    if isinstance(value, str) or not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{preview(text)} is not a number of seconds")
    return float(value)


def parse_count(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{preview(text)} is not a whole number of 0 or more")
    return int(text)


def parse_id(text: str) -> str:
    """The id of a workflow."""
    from civitai_skill.schema.ids import is_workflow_id

    if not is_workflow_id(text):
        raise argparse.ArgumentTypeError(f"{preview(text)} is no id; pass it as it was printed")
    return text


def parse_path(text: str) -> str:
    """A path; `~` is the user's home, also where no shell has read it. Raises ConfigError."""
    from civitai_skill.config import expand_home

    return str(expand_home(text)) if text.startswith("~") else text


def parse_balance(text: str) -> dict[str, int]:
    """`blue=N,yellow=N`, in Buzz."""
    found = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        if name not in ("blue", "green", "yellow"):
            raise argparse.ArgumentTypeError(f"{preview(part)} is not blue=N, green=N or yellow=N")
        found[name] = parse_count(amount)
    return found


def parse_switch(text: str) -> tuple[str, Any]:
    """A switch of the sandbox, `NAME=VALUE`."""
    from civitai_skill.sandbox import switches

    try:
        return switches.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def set_examples(parser: argparse.ArgumentParser, *examples: str) -> None:
    """Show these command lines below the flags."""
    parser.epilog = "examples:\n" + "\n".join(f"  civitai-skill {line}" for line in examples)


#: Flags that several commands have; {} is what the command says of it.
_SHARED: Mapping[str, Mapping[str, Any]] = {
    "ids": {"type": parse_id, "nargs": "+", "metavar": "ID",
            "help": "the id that generate printed; several, if wanted"},
    "prompt": {"metavar": "PROMPT", "help": "{}; - reads it"},
    "--prompt": {"metavar": "TEXT", "help": "another prompt"},
    "--no-wait": {"action": "store_true", "help": "submit only and print the id"},
    "--keep-all": {"action": "store_true",
                   "help": "save the pictures from before the last step too"},
    "--again": {"action": "store_true", "help": "buy anew although the same{} is still open"},
    "--timeout": {"type": parse_seconds, "default": 1800.0, "metavar": "S",
                  "help": "seconds to wait{} (1800)"},
    "--max-buzz": {"type": parse_count, "metavar": "N", "help": "{}"},
    "--budget": {"type": parse_count, "metavar": "N",
                 "help": "spend at most N Buzz in {} server's life"},
    "--take": {"type": parse_count, "metavar": "N", "help": "rows ({})"},
}  # fmt: skip


def add_shared(
    group: argparse._ActionsContainer, flag: str, words: object = "", **settings: Any
) -> None:
    """Add a flag that several commands have; `words` is what this one says of it."""
    shared = _SHARED[flag]
    told = shared["help"].format(words)
    group.add_argument(flag, **{**shared, "help": told, **settings})


def add_buying(parser: argparse.ArgumentParser, what: str = " request") -> None:
    """The flags of a command that buys and waits; `what` may be open from before."""
    add_shared(parser, "--again", what)
    add_shared(parser, "--timeout", " for the pictures")
    add_shared(parser, "--max-buzz", "refuse above N Buzz (CIVITAI_MAX_BUZZ, or 300)")


def add_since(parser: argparse.ArgumentParser) -> None:
    """The flags for how far back to look."""
    how = parser.add_mutually_exclusive_group()
    text = "7d, 12h, 30m or 2w back from now, or an ISO date (UTC)"
    how.add_argument("--since", help=text)
    how.add_argument("--today", action="store_const", const="today", dest="since",
                     help="since midnight, by this machine's clock")  # fmt: skip


def to_local_time(told: str | None) -> str:
    """A moment as the service tells it, in words, by this machine's clock."""
    try:
        when = datetime.fromisoformat(told or "").astimezone()
    except (ValueError, OverflowError, OSError):
        return told or "?"
    return f"{when:%Y-%m-%d %H:%M}"
