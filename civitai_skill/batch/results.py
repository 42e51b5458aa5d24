"""What became of each row, as `results.jsonl` tells it: a line for each row, in order.

    succeeded    its pictures are on disk
    incomplete   it ended with fewer pictures than were wanted
    failed, expired, canceled
    blocked      stopped by moderation, before or after it was made
    refused      the service did not take it; nothing was charged
    running      it went on when waiting was given up
    unfinished   no usable answer, or the picture could not be fetched or written
    unsent       not begun: something stopped the batch before

The first six are final: the same command does not send such a row again. It goes on with the rest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from civitai_skill.errors import CivitaiError, explain
from civitai_skill.files import replaced

RESULTS = "results.jsonl"
TABLE = "results.csv"

FINAL = frozenset({"succeeded", "incomplete", "failed", "expired", "canceled", "blocked"})


@dataclass(frozen=True)
class Saved:
    """A picture on disk; `path` is seen from the results' folder, sizes are pixels and bytes."""

    path: str
    n: int
    width: int | None
    height: int | None
    seed: int | None
    bytes: int
    sha256: str

    def is_whole(self, folder: Path) -> bool:
        """Is the very file still there?"""
        try:
            data = (folder / self.path).read_bytes()
        except (OSError, ValueError):
            return False
        return len(data) == self.bytes and hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True)
class Result:
    """What became of one row. `cost` is the Buzz that was kept, `refunded` what came back."""

    row: int
    line: int
    key: str
    status: str
    id: str | None = None
    workflow: str | None = None
    engine: str | None = None
    variant: str | None = None
    seed: int | None = None
    prompt: str = ""
    cost: int | None = None
    refunded: int = 0
    pictures: tuple[Saved, ...] = ()
    reason: str | None = None
    error: Mapping[str, Any] | None = None

    @property
    def good(self) -> bool:
        return self.status == "succeeded"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_RESULT = TypeAdapter(Result)


def read(value: Any) -> Result | None:
    """A result from a line of JSON, or None where it is none."""
    if not isinstance(value, dict):
        return None
    known = {f.name for f in fields(Result)}
    told = {name: v for name, v in value.items() if name in known}
    try:
        return _RESULT.validate_json(json.dumps(told), strict=True)
    except ValueError:
        return None


def earlier(folder: Path) -> dict[str, Result]:
    """The results that an earlier run wrote, by key. What can't be read is left out."""
    found: dict[str, Result] = {}
    try:
        text = (folder / RESULTS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return found
    for line in text.split("\n"):
        try:
            result = read(json.loads(line)) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if result is not None:
            found[result.key] = result
    return found


def set_aside(folder: Path, keys: Iterable[str]) -> None:
    """Give another batch's results a name of their own (results.1.jsonl): they stay. Raises
    OSError."""
    told = {key.partition("-a")[0] for key in earlier(folder)}
    if not told or told & {key.partition("-a")[0] for key in keys}:
        return
    number = 1
    while (aside := folder / f"results.{number}.jsonl").exists():
        number += 1
    (folder / RESULTS).rename(aside)


def write(folder: Path, results: Iterable[Result], *, table: bool = False) -> None:
    """Write the results whole; foreign text is escaped to ASCII. Raises OSError."""
    rows = list(results)
    lines = (json.dumps(result.as_dict()) for result in rows)
    replaced(folder / RESULTS, "".join(f"{line}\n" for line in lines).encode())
    if table:
        replaced(folder / TABLE, _table(rows).encode())


_COLUMNS = ("row", "id", "status", "engine", "variant", "seed", "cost", "refunded", "prompt",
            "reason", "workflow")  # fmt: skip


def _table(rows: Sequence[Result]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, "pictures"])
    for result in rows:
        paths = " ".join(picture.path for picture in result.pictures)
        writer.writerow([*(cell(getattr(result, name)) for name in _COLUMNS), cell(paths)])
    return out.getvalue()


def cell(value: Any) -> Any:
    """A value as it may stand in a spreadsheet: text that would be read as a formula is quoted."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def told(error: CivitaiError) -> dict[str, Any]:
    """An error as a result carries it."""
    explained = explain(error)
    return {**explained.as_dict(), "exit_code": explained.exit_code}
