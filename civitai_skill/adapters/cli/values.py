"""What the word of a flag means. What can't be meant raises ArgumentTypeError."""

from __future__ import annotations

import argparse
from typing import Any

from civitai_skill.errors import preview
from civitai_skill.sandbox import switches


def parse_number(text: str) -> Any:
    """A number where it is one; anything else is left for the request to refuse by name."""
    for kind in (int, float):
        try:
            return kind(text[:4000])  # Python reads no more than 4300; every limit is far below
        except ValueError:
            continue
    return text


def parse_lora(text: str) -> dict[str, Any]:
    """`AIR` or `AIR=STRENGTH`."""
    air, equals, strength = text.rpartition("=")
    return {"air": air, "strength": parse_number(strength)} if equals else {"air": text}


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
    try:
        return switches.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
