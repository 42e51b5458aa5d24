"""What became of each row, as `results.jsonl` has it: a line for each row, in order.

    succeeded    its pictures are on disk
    incomplete   it ended with fewer pictures than were wanted
    failed, expired, canceled
    gone         the service does not know its workflow any more
    blocked      stopped by moderation, before or after it was made
    refused      the service did not take it; nothing was charged
    running      it went on when waiting was given up
    unfinished   no usable answer, or the picture could not be fetched or written
    unsent       not begun: something stopped the batch before

The first seven are final: the same batch again does not send such a row again. It goes on with the
rest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from civitai_skill.purchase.identity import attempt_of, first_attempt
from civitai_skill.schema.types import read_json
from civitai_skill.storage import locks
from civitai_skill.storage.files import write_atomic

RESULTS = "results.jsonl"
TABLE = "results.csv"

FINAL = frozenset({"succeeded", "incomplete", "failed", "expired", "canceled", "gone", "blocked"})

# Seconds to wait for another process that writes its results here.
_LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class SavedPicture:
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
    """What became of one row. `cost` is the Buzz that was kept, `refunded` what came back; None
    where it is not known."""

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
    refunded: int | None = 0
    pictures: tuple[SavedPicture, ...] = ()
    reason: str | None = None
    error: Mapping[str, Any] | None = None
    #: What a sweep put in, by name.
    values: Mapping[str, Any] | None = None
    #: What the service warned of, such as a model that is going.
    warnings: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return self.status == "succeeded"


_RESULT = TypeAdapter(Result)


def parse_result(value: Any) -> Result | None:
    """A result from a line of JSON, or None where it is none."""
    if not isinstance(value, dict):
        return None
    known = {f.name for f in fields(Result)}
    told = {name: v for name, v in value.items() if name in known}
    try:
        return _RESULT.validate_json(json.dumps(told), strict=True)
    except ValueError:
        return None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other batches from the results of a folder for a moment; a disk that knows no locks
    goes without."""
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while not locks.lock(descriptor) and time.monotonic() < until:
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def read_earlier(folder: Path) -> dict[str, Result]:
    """The results of earlier runs, by the key of a row's first attempt: the end of its last one.
    What can't be read is left out."""
    found: dict[str, Result] = {}
    for _, lines in _read_files(folder):
        for result in lines:
            if result is not None:
                stem = first_attempt(result.key)
                if stem not in found or _sort_key(result) >= _sort_key(found[stem]):
                    found[stem] = result
    return found


def _sort_key(result: Result) -> tuple[int, bool]:
    return attempt_of(result.key), result.status in FINAL


def _read_files(folder: Path) -> list[tuple[Path, list[Result | None]]]:
    """What was set aside (results.1.jsonl, results.2.jsonl, ...), and results.jsonl at the end,
    each with its lines; None for each that is no result."""
    numbered = []
    for path in folder.glob("results.*.jsonl"):
        number = path.name.removeprefix("results.").removesuffix(".jsonl")
        if number.isascii() and number.isdigit():
            numbered.append((int(number), path))
    found = []
    for path in (*(path for _, path in sorted(numbered)), folder / RESULTS):
        lines: list[Result | None] = []
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, ValueError):
            text = "?"  # one that can't be read holds what is not of these rows
        for line in filter(str.strip, text.split("\n")):
            try:
                lines.append(parse_result(read_json(line)))
            except ValueError:
                lines.append(None)
        found.append((path, lines))
    return found


def write(folder: Path, results: Iterable[Result], *, table: bool = False) -> None:
    """Write the results whole; foreign text is escaped to ASCII. What stood there and is not of
    these rows stays, as results.1.jsonl. Raises OSError."""
    rows = list(results)
    stems = {first_attempt(result.key) for result in rows}
    *aside, (path, earlier) = _read_files(folder)
    others = any(r is None or first_attempt(r.key) not in stems for r in earlier)
    if others:
        _set_aside(path)
    beside = folder / TABLE
    if (others or table) and beside.exists() and (others if _is_table(beside) else table):
        _set_aside(beside)
    lines = (json.dumps(asdict(result)) for result in rows)
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())
    if table:
        write_atomic(beside, _to_csv(rows).encode())
    # What was set aside and is of nothing but these rows again is not needed any more.
    for path, lines_aside in aside:
        if lines_aside and all(r and first_attempt(r.key) in stems for r in lines_aside):
            path.unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    """Give a file a number, so that it stays."""
    number = 1
    while (aside := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)


def _is_table(path: Path) -> bool:
    """Did a batch write it?"""
    with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        return file.readline().strip() == _HEADER
    return False


_COLUMNS = ("row", "id", "status", "engine", "variant", "seed", "cost", "refunded", "prompt",
            "reason", "workflow", "pictures")  # fmt: skip
_HEADER = ",".join(_COLUMNS)


def _to_csv(rows: Sequence[Result]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for result in rows:
        paths = " ".join(picture.path for picture in result.pictures)
        cells = (*(getattr(result, name) for name in _COLUMNS[:-1]), paths)
        writer.writerow(map(escape_cell, cells))
    return out.getvalue()


def escape_cell(value: Any) -> Any:
    """A value as it may stand in a spreadsheet: text that would be read as a formula is quoted."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    # Full-width signs begin a formula too.
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return f"'{text}" if first in ("=", "+", "-", "@") else text
