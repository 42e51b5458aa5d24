"""Whole numbers in texts: few ASCII digits, and nothing else that Python would take for one."""

from __future__ import annotations

import re

_INT32 = re.compile(r"[+-]?[0-9]{1,10}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def int32(text: str) -> int | None:
    """The 32-bit number that a text says, or None."""
    if not _INT32.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**31) <= number < 2**31 else None


def index(text: str, length: int) -> int | None:
    """The place below `length` that a text says, or None."""
    if not _INDEX.fullmatch(text):
        return None
    return int(text) if int(text) < length else None
