"""What the word of a flag means. What can't be meant raises ArgumentTypeError."""

from __future__ import annotations

import argparse
from typing import Any

from civitai_skill.errors import shown
from civitai_skill.sandbox import switches

_DIGITS = 4000


def number(text: str) -> Any:
    """A number where it is one; anything else is left for the request to refuse by name."""
    if len(text) > _DIGITS and text.lstrip("+-").isdecimal():
        text = text[:_DIGITS]  # Python reads no more than 4300; every limit is far below either
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def lora(text: str) -> dict[str, Any]:
    """`AIR` or `AIR=STRENGTH`."""
    air, equals, strength = text.rpartition("=")
    return {"air": air, "strength": number(strength)} if equals else {"air": text}


def pair(text: str) -> tuple[str, str]:
    """`K=V`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not K=V")
    return key, value


def seconds(text: str) -> float:
    """A time to wait, in seconds."""
    value = number(text)
    if isinstance(value, str) or not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds")
    return float(value)


def count(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number of 0 or more")
    return int(text)


def balance(text: str) -> dict[str, int]:
    """`blue=N,yellow=N`, in Buzz."""
    found = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        if name not in ("blue", "green", "yellow"):
            raise argparse.ArgumentTypeError(f"{shown(part)} is not blue=N, green=N or yellow=N")
        found[name] = count(amount)
    return found


def switch(text: str) -> tuple[str, Any]:
    """A switch of the sandbox, `NAME=VALUE`."""
    try:
        return switches.said(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
