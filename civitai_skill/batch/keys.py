"""The key of a row, and the seed that follows from it.

A key is a function of the batch's name, the row's identity and what would be sent: any process on
any machine that runs the same row sends the same key, and the service makes and charges it once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from civitai_skill.purchase.identity import next_attempt

#: Names the way of hashing, so that a change of it shows.
TAG = "b1"

# Every form and every offset within a workflow is safe up to here (see engines.planning.plan).
_SEEDS = 2**31 - 65


def key_of(name: str, identity: str, content: str) -> str:
    """The key of a row's first attempt, such as `b1-k9f86d0...`."""
    return f"{TAG}-k{_digest([name, identity, content])[:40]}"


def seed_of(key: str) -> int:
    """The seed of a row that says none: always the same for the same row."""
    return 1 + int(_digest([TAG, "seed", key]), 16) % _SEEDS


def attempt_keys(key: str) -> Iterator[str]:
    """The keys of a row's attempts: the first, and each wanted second try."""
    while True:
        yield key
        key = next_attempt(key)


def tag_of(name: str) -> str:
    """The tag that all workflows of a batch carry."""
    return f"batch:{name}"


def short_digest(value: object) -> str:
    """Eight digits for a name."""
    return _digest(value)[:8]


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
