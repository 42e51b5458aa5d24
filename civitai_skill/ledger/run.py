"""What the ledger keeps: the tables of its file, and a run, which is one purchase."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

#: Is it a purchase that is over, whose body still holds source pictures (as data URLs)?
HOLDS_SOURCES = "state != 'open' AND instr(body, 'base64,')"

State = Literal["open", "closed", "dropped"]

#: In order; the n-th brings a file of version n - 1 to version n.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        key TEXT PRIMARY KEY,
        identity TEXT NOT NULL,
        purpose TEXT NOT NULL,
        body BLOB NOT NULL,
        engine TEXT, variant TEXT, wanted INTEGER NOT NULL,
        out TEXT,
        reserved INTEGER NOT NULL,
        owner TEXT NOT NULL,
        created REAL NOT NULL,
        state TEXT NOT NULL DEFAULT 'open',
        workflow TEXT, status TEXT, cost INTEGER, reason TEXT
    );
    CREATE INDEX runs_identity ON runs (identity, state);
    CREATE INDEX runs_created ON runs (created);
    CREATE TABLE pictures (
        key TEXT NOT NULL REFERENCES runs (key),
        n INTEGER NOT NULL,
        path TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, saved REAL NOT NULL,
        PRIMARY KEY (key, n)
    );
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    "ALTER TABLE runs ADD COLUMN account TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX runs_workflow ON runs (workflow)",
    "ALTER TABLE runs ADD COLUMN label TEXT",
    "ALTER TABLE runs ADD COLUMN taken INTEGER NOT NULL DEFAULT 0",
    f"CREATE INDEX runs_sources ON runs (created) WHERE {HOLDS_SOURCES}",
    "ALTER TABLE runs ADD COLUMN handed REAL",
)


@dataclass(frozen=True)
class Run:
    """One purchase. `reserved` and `cost` are Buzz; `created` is seconds since 1970.

    `account` names the service and the account that it was begun with, `label` the names of its
    pictures where they have some of their own, `taken` how often it was taken up, `handed` when its
    answer was handed to a caller who may not have read it (seconds since 1970; 0 until then; None
    where nobody tells that).
    """

    key: str
    identity: str
    purpose: str
    body: bytes
    wanted: int
    reserved: int
    engine: str | None = None
    variant: str | None = None
    out: str | None = None
    account: str = ""
    owner: str = ""
    created: float = 0.0
    state: State = "open"
    workflow: str | None = None
    status: str | None = None
    cost: int | None = None
    reason: str | None = None
    label: str | None = None
    taken: int = 0
    handed: float | None = None

    @property
    def is_whole(self) -> bool:
        """Can its body be sent? Once it is over, digests stand where its source pictures stood."""
        return re.search(rb'"data:[^",]*;sha256,', self.body) is None

    @property
    def is_delivered(self) -> bool:
        """Has its end been written down, which follows its pictures?"""
        return self.status is not None

    @property
    def buzz(self) -> int:
        """What it counts: its cost once known, else what was reserved for it."""
        return max(0, self.reserved if self.cost is None else self.cost)


def read_prompt(body: bytes) -> str | None:
    """What a body asks for, in words: the prompt of its first step that has one."""
    try:
        steps = json.loads(body)["steps"]
        prompts = [step["input"].get("prompt") for step in steps]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return next((text for text in prompts if isinstance(text, str)), None)


def forget_sources(body: bytes) -> bytes:
    """A body with a digest in place of each picture in it."""

    def shortened(url: re.Match[bytes]) -> bytes:
        return url[1] + b";sha256," + hashlib.sha256(url[2]).hexdigest().encode()

    return _DATA_URL.sub(shortened, body)


_DATA_URL = re.compile(rb'("data:[^",]*);base64,([^"]*)')
