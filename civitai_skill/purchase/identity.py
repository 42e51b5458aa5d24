"""When are two requests the same purchase?

The identity is a tagged hash over what would be made and where it would go: the step's input
(without a seed that was drawn for it), the sources by their content, the terms, the account, the
output folder and the key that the caller gave it. The tag names the way of hashing, so that a
change of it shows and never joins old runs.
"""

from __future__ import annotations

import hashlib
import json
import re

TAG = "r2"

_NUMBER = re.compile(r"[0-9]{1,9}")


def next_attempt(key: str) -> str:
    """The key of the next try: `k` is followed by `k-a2`, `k-a3`."""
    first, number = _split_key(key)
    return f"{first}-a{number + 1}"


def first_attempt(key: str) -> str:
    """The key that a purchase was first tried under."""
    return _split_key(key)[0]


def attempt_of(key: str) -> int:
    """The number of a key's try, from 1."""
    return _split_key(key)[1]


def _split_key(key: str) -> tuple[str, int]:
    stem, mark, number = key.rpartition("-a")
    return (stem, int(number)) if mark and _NUMBER.fullmatch(number) else (key, 1)


def hash_json(value: object) -> str:
    """A tagged hash of anything that is JSON, such as `r2:9f86d0...`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{TAG}:{hashlib.sha256(text.encode()).hexdigest()}"
