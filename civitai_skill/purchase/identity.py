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

_ATTEMPT = re.compile(r"-a([0-9]{1,9})\Z")


def next_attempt(key: str) -> str:
    """The key of the next try: `k` is followed by `k-a2`, `k-a3`."""
    return f"{first_attempt(key)}-a{attempt_of(key) + 1}"


def first_attempt(key: str) -> str:
    """The key that a purchase was first tried under."""
    again = _ATTEMPT.search(key)
    return key if again is None else key[: again.start()]


def attempt_of(key: str) -> int:
    """The number of a key's try, from 1."""
    again = _ATTEMPT.search(key)
    return 1 if again is None else int(again[1])


def hash_json(value: object, tag: str = f"{TAG}:") -> str:
    """A tagged hash of anything that is JSON, such as `r2:9f86d0...`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{tag}{hashlib.sha256(text.encode()).hexdigest()}"
