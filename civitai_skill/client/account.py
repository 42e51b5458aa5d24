"""A name that tells accounts and services apart, so that no run of another one is ever joined."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any
from weakref import WeakKeyDictionary

from civitai_skill.config import Settings

#: Names for sandboxes that live in memory, for as long as they live.
_UNWRITTEN: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def name_account(settings: Settings, sandbox: Any) -> str:
    """The name of the account that a client's settings lead to."""
    if not settings.sandbox:
        place = settings.base_url
    elif sandbox is None:
        place = f"sandbox:{uuid.uuid4().hex}"  # behind a transport of the caller's own
    elif sandbox.memory is None:
        place = _UNWRITTEN.setdefault(sandbox, f"sandbox:{uuid.uuid4().hex}")
    else:
        place = f"sandbox:{sandbox.memory}"
    mark = hashlib.sha256(settings.key.reveal().encode()).hexdigest()[:8]
    return f"{place}#{mark}"
