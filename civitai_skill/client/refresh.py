"""Learn what the service offers now: fetch its document and its catalogue, keep what is new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from civitai_skill.api.published import fetch_document, fetch_services
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.published import kept
from civitai_skill.engines.published.compare import Change
from civitai_skill.engines.published.document import Document
from civitai_skill.engines.published.kept import Figure
from civitai_skill.engines.published.services import Service as Offered
from civitai_skill.errors import CivitaiError, ConfigError


@dataclass(frozen=True)
class Refreshed:
    """What a refresh found.

    `document` is the address that it was read at, empty where it could not be had; `known` of its
    `forms` are in our files. `new` are engines that work under that name from now on, `changed`
    what known forms have otherwise; `deprecated` and `unavailable` are of the catalogue, of which
    `services` were read. `troubles` say what could not be had: what was kept before holds on.
    """

    document: str = ""
    forms: int = 0
    known: int = 0
    services: int = 0
    new: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    deprecated: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        named = ("new", "deprecated", "unavailable", "troubles")
        return {
            **{name: getattr(self, name) for name in ("document", "forms", "known", "services")},
            **{name: list(getattr(self, name)) for name in named},
            "changed": [change.as_dict() for change in self.changed],
        }

    def text(self) -> str:
        """In lines for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.document:
            yield f"{self.known} of {self.forms} forms of {self.document} are known here."
        yield from (f"Trouble: {trouble}" for trouble in self.troubles)
        for title, said in (
            ("New, usable by this name (no guidance; the service prices it)", self.new),
            ("Changed", self.changed),
            ("Deprecated, says the catalogue", self.deprecated),
            ("Unavailable, says the catalogue", self.unavailable),
        ):
            if said:
                yield f"{title}:"
                yield from (f"  {one}" for one in said)
        if self.document and not (self.new or self.changed):
            yield "Nothing is new or changed."


def refresh(service: Service, file: Path, owner: str) -> Flow[Refreshed]:
    """Fetch both and keep what they say beyond our files in `file`; `owner` is whose they are.

    One that can't be had leaves what was kept of it; raises CivitaiError where neither can, and
    ConfigError where the file can't be written.
    """
    troubles: list[CivitaiError] = []
    document, services = None, None
    try:
        document = yield from fetch_document(service)
    except CivitaiError as error:
        troubles.append(error)
    try:
        services = yield from fetch_services(service)
    except CivitaiError as error:
        troubles.append(error)
    if len(troubles) == 2:
        raise troubles[0]
    told = tuple(error.message for error in troubles)
    found: Refreshed = yield Work(lambda: _keep(file, owner, document, services))
    return replace(found, troubles=told)


def _keep(
    file: Path,
    owner: str,
    document: tuple[str, Document] | None,
    services: tuple[Offered, ...] | None,
) -> Refreshed:
    """Write down what is new. Raises ConfigError."""
    from civitai_skill.engines.published.news import figures_of, new_of
    from civitai_skill.storage.files import write_atomic

    now, before, found = datetime.now(UTC), kept.in_force(file), Refreshed()
    after = replace(before, owner=owner)
    if document is not None:
        url, read = document
        after = replace(after, url=url, read=now)
        engines, more, comparison = new_of(read, after.source)
        after = replace(after, engines=engines, more=more)
        changed = tuple(change for change in comparison.changes if change.what != "new form")
        found = Refreshed(url, comparison.total, comparison.known, changed=changed)
    if services is not None:
        figures = tuple(figures_of(services, after.engines))
        after = replace(after, figures=figures, looked=now)
        found = replace(
            found,
            services=len(services),
            deprecated=_told([s for s in services if s.deprecated], figures),
            unavailable=_told([s for s in services if s.status == "unavailable"], figures),
        )
    text = json.dumps(after.as_json(), ensure_ascii=False, separators=(",", ":"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text.encode())
    except OSError as error:
        raise ConfigError(
            f"What was fetched could not be kept in {file}: {error.strerror or error}.",
            advice="Set CIVITAI_SKILL_HOME to a folder that can be written to.",
        ) from None
    return replace(found, new=tuple(engine.name for engine in after.engines))


def _told(services: list[Offered], figures: tuple[Figure, ...]) -> tuple[str, ...]:
    """What these lines of the catalogue are about, as we call it; a way that no variant goes first,
    by the line's own name."""
    found: list[str] = []
    for service in services:
        ours = [f for f in figures if f.service == service.id]
        found += [f"{f.engine} {f.variant} ({f.operation})" for f in ours]
        found += [] if ours or "engine" not in service.parameters else [service.id]
    return tuple(found)
