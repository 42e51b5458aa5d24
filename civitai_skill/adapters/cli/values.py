"""What the word of a flag means, and the flags and examples that several commands have.

What can't be meant raises ArgumentTypeError.
"""

from __future__ import annotations

import argparse
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


def add_ids(parser: argparse.ArgumentParser, number: str = "+") -> None:
    """The ids of workflows, by their place."""
    parser.add_argument("ids", type=parse_id, nargs=number, metavar="ID",
                        help="the id that generate printed; several, if wanted")  # fmt: skip


def add_timeout(group: argparse._ActionsContainer, what: str) -> None:
    """The flag for how long to wait."""
    group.add_argument("--timeout", type=parse_seconds, default=1800.0, metavar="S",
                       help=f"seconds to wait{what} (1800)")  # fmt: skip


def add_max_buzz(
    group: argparse._ActionsContainer,
    text: str = "refuse above N Buzz (CIVITAI_MAX_BUZZ, or 300)",
) -> None:
    """The flag for the most that may be paid."""
    group.add_argument("--max-buzz", type=parse_count, metavar="N", help=text)


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
        when = datetime.fromisoformat(told or "")
    except ValueError:
        return told or "?"
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def add_take(parser: argparse.ArgumentParser, rows: int) -> None:
    """The flag for how many rows to list."""
    parser.add_argument("--take", type=parse_count, default=rows, metavar="N",
                        help=f"rows ({rows})")  # fmt: skip


def add_keep_all(parser: argparse.ArgumentParser) -> None:
    """Save more than the last pictures?"""
    parser.add_argument("--keep-all", action="store_true",
                        help="save the pictures from before the last step too")  # fmt: skip
