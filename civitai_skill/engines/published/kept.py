"""What was fetched of the service's document and catalogue, as it is kept, and which is in force.

One file for each service that is spoken to (`Settings.engines_file`). It holds only what our own
files lack, and the catalogue's figures; one that can't be read counts as none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from civitai_skill.config import Settings
from civitai_skill.engines.published.document import Form
from civitai_skill.errors import ConfigError

#: Of the file's own layout; another one is read as none.
LAYOUT = 1

#: How long the catalogue's figures count: they are of a day, and move within weeks.
FRESH = timedelta(days=7)


@dataclass(frozen=True)
class NewEngine:
    """Forms that our files lack, under one name; `record` is what the index has of an engine."""

    name: str
    forms: tuple[Form, ...]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """What the catalogue says of what a variant does.

    `service` is the line of the catalogue. `success` is a share of 1, `buzz` the median that users
    paid, `seconds` the median of a step and `slow` what 95 of 100 stayed under; what is not known
    is None.
    """

    engine: str
    variant: str
    operation: str
    service: str = ""
    status: str = "unknown"
    deprecated: bool = False
    success: float | None = None
    buzz: float | None = None
    seconds: float | None = None
    slow: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is known of it."""
        return {n: v for n, v in vars(self).items() if v not in (None, False) and n != "engine"}


@dataclass(frozen=True)
class Kept:
    """What is in force. `more` is what known forms have beyond our files: {form's key: {field's
    path: its facts, or its new values}}; `read` and `looked` are when the document and the
    catalogue were fetched."""

    engines: tuple[NewEngine, ...] = ()
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    read: datetime | None = None
    url: str = ""
    #: Whose both are: the service's, or the sandbox's.
    owner: str = "the service"
    figures: tuple[Figure, ...] = ()
    looked: datetime | None = None
    #: The families that were made of it.
    made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def source(self) -> str:
        """Where the new things come from, in words."""
        when = "" if self.read is None else f", read on {self.read.date()}"
        return f"{self.owner}'s published document{when}"

    @property
    def catalogue(self) -> str:
        """Who says the figures, in words."""
        return f"{self.owner}'s catalogue"

    @property
    def looked_on(self) -> date:
        """The day of the figures."""
        return date.min if self.looked is None else self.looked.date()

    def fresh_figures(self, engine: str) -> tuple[Figure, ...]:
        """What the catalogue says of an engine, while that is fresh."""
        if self.looked is None or datetime.now(UTC) - self.looked > FRESH:
            return ()
        return tuple(figure for figure in self.figures if figure.engine == engine)

    def figure(self, engine: str, variant: str, operation: str) -> Figure | None:
        """What it says of what a variant does."""
        for figure in self.fresh_figures(engine):
            if (figure.variant, figure.operation) == (variant, operation):
                return figure
        return None

    def as_json(self) -> dict[str, Any]:
        return {
            "layout": LAYOUT,
            "owner": self.owner,
            "document": {"url": self.url, "read": _iso(self.read)},
            "engines": [asdict(engine) for engine in self.engines],
            "more": dict(self.more),
            "catalogue": {
                "read": _iso(self.looked),
                "figures": [{"engine": f.engine, **f.as_dict()} for f in self.figures],
            },
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Kept:
        """Raises KeyError, TypeError or ValueError where it is none of ours."""
        if given["layout"] != LAYOUT:
            raise ValueError("another layout")
        document, catalogue, engines = given["document"], given["catalogue"], []
        for engine in given["engines"]:
            forms = tuple(Form(dict(f["tags"]), dict(f["fields"])) for f in engine["forms"])
            engines.append(NewEngine(str(engine["name"]), forms, dict(engine["record"])))
        return cls(
            tuple(engines),
            dict(given["more"]),
            _moment(document["read"]),
            str(document["url"]),
            str(given["owner"]),
            tuple(Figure(**one) for one in catalogue["figures"]),
            _moment(catalogue["read"]),
        )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


NOTHING = Kept()

#: The file of which, in this thread or task, what it keeps is in force.
followed: ContextVar[Path | None] = ContextVar("followed", default=None)
_read: dict[Path, tuple[tuple[int, int], Kept]] = {}


def in_force(file: Path | None = None) -> Kept:
    """What a file keeps, else the file that is followed; where none is yet, the one that the
    settings name, which is followed then. Nothing where it is not there, or not readable."""
    file = file or followed.get()
    try:
        if file is None:
            file = Settings.load().engines_file
            followed.set(file)
        state = file.stat()
        stamp = (state.st_mtime_ns, state.st_size)
        if file not in _read or _read[file][0] != stamp:
            kept = Kept.from_json(json.loads(file.read_text(encoding="utf-8")))
            _read[file] = (stamp, kept)
        return _read[file][1]
    except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return NOTHING
