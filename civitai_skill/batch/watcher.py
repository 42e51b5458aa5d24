"""Waiting for many workflows with few requests.

A handful is long-polled, one open request each: nothing is noticed late. Many are looked at a page
at a time with one query for their tag, so that the number of requests grows with time and not with
rows (benchmarks/README.md has the figures for both).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio

from civitai_skill.api import workflows
from civitai_skill.api.drivers import adrive
from civitai_skill.api.models import Workflow
from civitai_skill.api.wait import LONG_POLL, still_running_error
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.errors import (
    ApiError,
    BadRequest,
    CivitaiError,
    RateLimited,
    ServerError,
    TransportFailed,
)

#: Up to so many in flight are long-polled.
FEW = 16

#: Workflows on a page: the service's own default, and the most that was seen to be taken.
PAGE = 100

#: Seconds between two looks: the first after something ended, then twice as long each time.
SHORTEST, LONGEST = 1.0, 4.0

# Pages of one look: as many as may lie between its beginning and the workflow it is for.
_PAGES = 20

# Looks that may fail in a row, each after all its retries, before the rows are told.
_MOST_FAILURES = 3


@dataclass(eq=False)
class _Pending:
    """One workflow in flight."""

    latest: Workflow
    since: float
    seen: float
    done: anyio.Event = field(default_factory=anyio.Event)
    error: CivitaiError | None = None
    polled: bool = False
    #: It is known that the service has it: no refusal of a look ends the waiting.
    just_bought: bool = False
    #: Why the last look failed.
    trouble: str = ""

    @property
    def created(self) -> str:
        return self.latest.created_at or ""


@dataclass
class WorkflowWatcher:
    """Wait for the workflows that carry a tag. `run` must run while `wait_for` is awaited, and be
    canceled after that."""

    client: AsyncCivitai
    tag: str
    #: Up to so many in flight are long-polled; seconds between two looks.
    few: int = FEW
    shortest: float = SHORTEST
    #: Status requests sent so far.
    requests: int = 0
    pending: dict[str, _Pending] = field(default_factory=dict)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _hold: float = LONG_POLL
    _turns: int = 0

    async def wait_for(
        self, workflow: Workflow, timeout: float, *, just_bought: bool = False,
        began: float | None = None,
    ) -> Workflow:  # fmt: skip
        """Wait until a workflow ends. Raises StillRunning `timeout` seconds after `began`
        (time.monotonic; now, when left out); one that was `just_bought` is looked for until then
        whatever a look answers."""
        if workflow.done:
            return workflow
        id = workflow.id or ""
        now = time.monotonic()
        waiting = self.pending.setdefault(id, _Pending(workflow, now, now, just_bought=just_bought))
        self._news.set()
        try:
            with anyio.move_on_after(timeout - (now - (began or now))):
                await waiting.done.wait()
        finally:
            self.pending.pop(id, None)
        if waiting.error is not None:
            raise waiting.error
        if not waiting.latest.done:
            raise still_running_error(waiting.latest, timeout, waiting.trouble)
        return waiting.latest

    async def run(self) -> None:
        """Look, again and again."""
        gap, failures = self.shortest, 0
        async with anyio.create_task_group() as group:
            while True:
                if len(self.pending) <= self.few:
                    for waiting in self.pending.values():
                        if not waiting.polled:
                            waiting.polled = True
                            group.start_soon(self._poll, waiting)
                    gap = self.shortest
                    await self._news.wait()
                    self._news = anyio.Event()
                    continue
                try:
                    news = await self._query_since()
                    failures = 0
                except (TransportFailed, ApiError) as error:
                    news, failures = 0, failures + 1
                    if failures >= _MOST_FAILURES:
                        for waiting in list(self.pending.values()):
                            self._settle(waiting, None, error)
                if news >= PAGE // 4:
                    continue  # a page full of ends: the next one holds more
                gap = self.shortest if news else min(LONGEST, gap * 2)
                await self._pause(gap)

    # -- a few: a long-poll each ---------------------------------------------------------------
    async def _poll(self, waiting: _Pending) -> None:
        gap, failures, id = 0.0, 0, waiting.latest.id or ""
        while id in self.pending and len(self.pending) <= self.few:
            if gap:
                await anyio.sleep(gap)
            asked = time.monotonic()
            try:
                if await self._look(waiting, self._hold):
                    return
                failures = 0
            except (TransportFailed, ApiError) as error:
                failures, gap = failures + 1, 0.0
                if failures >= _MOST_FAILURES:
                    self._settle(waiting, None, error)
                    return
                continue
            # A service that does not hold the answer is not flooded.
            now = time.monotonic()
            early = now - asked < LONG_POLL - 0.5 or not self._hold
            gap = min(30.0, max(self.shortest, (now - waiting.since) / 2)) if early else 0.0
        waiting.polled = False
        self._news.set()

    async def _look(self, waiting: _Pending, wait: float = 0.0) -> bool:
        """Ask for one by its id; is it over? Raises what the next try may cure."""
        waiting.seen = time.monotonic()
        self.requests += 1
        service, id = self.client._service, waiting.latest.id or ""
        try:
            look = workflows.get(service, id, wait=wait, committed=True)
            latest = await adrive(look, self.client._http)
        except (TransportFailed, ApiError) as error:
            waiting.trouble = error.message
            if isinstance(error, TransportFailed | ServerError | RateLimited):
                raise
            if isinstance(error, BadRequest) and wait:
                self._hold = 0.0  # an old deployment takes no number here; ask without
                return False
            return not waiting.just_bought and self._settle(waiting, None, error)
        waiting.trouble = ""
        return self._settle(waiting, latest)

    # -- many: a page at a time ----------------------------------------------------------------
    async def _query_since(self) -> int:
        """Look at one workflow and those submitted after it; gives the number of ends.

        In turn it is the oldest, which most likely ends next, and the one left alone longest.
        """
        self._turns += 1
        if self._turns % 2:
            first = min(self.pending.values(), key=lambda w: w.created)
        else:
            first = min(self.pending.values(), key=lambda w: (w.seen, w.created))
        since = _just_before(first.created)
        news, cursor = 0, None
        for _ in range(_PAGES):
            self.requests += 1
            query = workflows.query(
                self.client._service, cursor=cursor, tags=(self.tag,), take=PAGE, ascending=True,
                since=since,
            )  # fmt: skip
            page = await adrive(query, self.client._http)
            now, shown = time.monotonic(), False
            for workflow in page.items:
                waiting = self.pending.get(workflow.id or "")
                shown = shown or waiting is first
                if waiting is not None:
                    waiting.seen = now
                    news += self._settle(waiting, workflow)
            cursor = page.next
            if shown or first.done.is_set():
                return news
            if cursor is None:
                break
        # The list does not show it, and it must not hold up the others.
        return news + await self._look(first)

    def _settle(
        self, waiting: _Pending, latest: Workflow | None, error: CivitaiError | None = None
    ) -> bool:
        if waiting.done.is_set():
            return True  # the other way of looking was first
        if latest is not None:
            waiting.latest = latest
        waiting.error = error
        if error is None and not waiting.latest.done:
            return False
        self.pending.pop(waiting.latest.id or "", None)
        waiting.done.set()
        self._news.set()
        return True

    async def _pause(self, seconds: float) -> None:
        """Sleep; less when only a few are left."""
        until = time.monotonic() + seconds
        while len(self.pending) > self.few:
            with anyio.move_on_after(max(0.0, until - time.monotonic())) as scope:
                await self._news.wait()
                self._news = anyio.Event()
            if scope.cancelled_caught or time.monotonic() >= until:
                return


def _just_before(created: str) -> str | None:
    """A moment right before one that the service told, so that the page begins with it."""
    try:
        when = datetime.fromisoformat(created)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        earlier = when.astimezone(UTC) - timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return earlier.isoformat(timespec="milliseconds").replace("+00:00", "Z")
