"""run_batch and run_sweep: many requests as one purchase that can be interrupted at any moment.

    report = run_batch("rows.csv", out="pictures", max_buzz=500)
    report = run_sweep("a {animal} in {style}", {"animal": ["fox", "owl"], "style": ["ink"]})

The same call again goes on where it was. `arun_batch` and `arun_sweep` are the async forms.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import anyio
import anyio.to_thread

from civitai_skill import download, files
from civitai_skill.base import Folder
from civitai_skill.batch import results, rows
from civitai_skill.batch.keys import tag_of
from civitai_skill.batch.making import Making
from civitai_skill.batch.names import TEMPLATE, check_template
from civitai_skill.batch.plan import Row, planned, priced, shapes
from civitai_skill.batch.report import Planned, Report, silent
from civitai_skill.batch.results import Result
from civitai_skill.batch.rows import Given
from civitai_skill.batch.settings import Settings, check_names
from civitai_skill.batch.states import State, caught_up, result_of, states
from civitai_skill.batch.sweep import Mode, swept
from civitai_skill.batch.turns import Turns
from civitai_skill.batch.waiting import Watch
from civitai_skill.batch.worker import CONCURRENCY, Worker
from civitai_skill.client import TIMEOUT
from civitai_skill.errors import (
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    Problem,
    RequestInvalid,
    Spent,
)
from civitai_skill.ledger import Ledger
from civitai_skill.options import Call
from civitai_skill.sources import EVERY_SOURCE

#: Rows under way at once.
IN_FLIGHT = 100

_MOST_IN_FLIGHT = 5000


Many = Folder | Iterable[Given]


def run_batch(given: Many, **settings: Unpack[Settings]) -> Report:
    """Make every row: a file of JSON lines or CSV, or an iterable of requests, fields or prompts.

    A row that fails is reported, not raised. Raises RequestInvalid with every bad row, OverBudget
    where the whole costs more than `max_buzz`, and ConfigError, all before anything is bought.
    """
    return _alone(partial(arun_batch, given, **settings))


async def arun_batch(given: Many, **settings: Unpack[Settings]) -> Report:
    """See run_batch."""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        _check_apart(path, Path(settings.get("out", ".")))
        found = await anyio.to_thread.run_sync(rows.from_file, path)
        name = "batch" if str(path) == "-" else path.stem
    else:
        found, name = rows.from_values(given), "batch"
    return await _Batch({"name": name, **settings}).run(found)


def run_sweep(
    prompt: str,
    sets: Mapping[str, Sequence[Any]],
    *,
    mode: Mode = "product",
    count: int | None = None,
    seeds: int = 1,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """Make every combination of values in a prompt's {names}; see `sweep.swept` and run_batch.

    `fields` are fields of the request that all rows share.
    """
    run = partial(arun_sweep, prompt, sets, mode=mode, count=count, seeds=seeds, fields=fields)
    return _alone(partial(run, **settings))


async def arun_sweep(
    prompt: str,
    sets: Mapping[str, Sequence[Any]],
    *,
    mode: Mode = "product",
    count: int | None = None,
    seeds: int = 1,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """See run_sweep."""
    found = swept(prompt, sets, mode=mode, count=count, seeds=seeds, **_fields(fields))
    return await _Batch({"name": "sweep", **settings}).run(rows.from_values(found))


def _alone(run: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
    """Run in an event loop of its own. Raises ConfigError inside of another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(run)
    raise ConfigError(
        "An event loop runs here already, as in a notebook, and a batch can't wait inside of it.",
        hint="Await arun_batch or arun_sweep instead.",
    )


def _check_apart(file: Path, out: Path) -> None:
    """Raises RequestInvalid where the results would be written over the rows."""
    for name in (results.RESULTS, results.TABLE):
        if str(file) != "-" and os.path.realpath(file) == os.path.realpath(out / name):
            why = "the results of the batch are written there"
            raise RequestInvalid(Problem("FILE", str(file), "another name or folder", None, why))


def _fields(given: Any) -> dict[str, Any]:
    """The fields that all rows of a sweep share. Raises RequestInvalid."""
    accepted = "fields of the request by name, without prompt"
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise RequestInvalid(Problem("fields", given, accepted))
    if "prompt" in given:
        why = "the prompt is said already"
        raise RequestInvalid(Problem("fields", given["prompt"], accepted, None, why))
    return dict(given)


@dataclass
class _Batch:
    """One call, with its settings."""

    settings: Settings

    def __post_init__(self) -> None:
        given = self.settings
        check_names(given)
        self.timeout = given.get("timeout", TIMEOUT)
        if not self.timeout >= 0:
            raise RequestInvalid(Problem("timeout", self.timeout, "seconds, 0 or more"))
        self.name = given.get("name", "batch")
        if not 1 <= len(self.name) <= 100 or not self.name.isprintable():
            raise RequestInvalid(Problem("name", self.name, "1 to 100 printable characters"))
        self.out = Path(given.get("out", "."))
        self.template = given.get("template", TEMPLATE)
        check_template(self.template)
        self.in_flight = _within("in_flight", given.get("in_flight", IN_FLIGHT), _MOST_IN_FLIGHT)
        self.most = _within("concurrency", given.get("concurrency", CONCURRENCY), 256)
        self.tag = tag_of(self.name)
        self.tell = given.get("tell", silent)
        self.retry_failed = given.get("retry_failed", False)
        self.unpriced = given.get("allow_unpriced", False)

    async def run(self, raws: list[rows.Raw]) -> Report:
        given = self.settings
        client = given.get("client")
        async with Worker() if client is None else Worker.like(client) as worker:
            worker.tempo.most = self.most
            call = self._call()
            policy = given.get("sources", EVERY_SOURCE)
            plan = partial(planned, raws, self.name, call.terms, self.template, policy)
            found: list[Row] = await anyio.to_thread.run_sync(plan)
            if not given.get("dry_run"):
                await anyio.to_thread.run_sync(self._ready)
            look = partial(self._looked, found, worker.ledger)
            stand: list[State] = await anyio.to_thread.run_sync(look)
            limit = given.get("max_buzz")
            limit = worker.settings.max_buzz if limit is None else limit
            found = await self._priced(worker, found, stand)
            told = self._told(found, stand)
            self.tell(told)
            if given.get("dry_run"):
                return Report(told, tuple(s.result for s in stand if s.result), self.out)
            self._check(told, limit)
            return await self._made(worker, call, found, stand, told, limit)

    def _call(self) -> Call:
        given = self.settings
        names = ("metadata", "allow_mature_content", "currencies", "priority", "sources")
        more = {name: given[name] for name in names if name in given}  # type: ignore[literal-required]
        tags = given.get("tags", ())
        if isinstance(tags, str):
            raise RequestInvalid(Problem("tags", tags, "a list of texts", [tags]))
        tags = (self.tag, *tags)
        return Call("-", {**more, "tags": tags, "purpose": given.get("purpose", "batch")})

    def _ready(self) -> None:
        download.ready_folder(self.out)
        for name in (results.RESULTS, results.TABLE):
            if (self.out / name).is_dir():
                raise ConfigError(
                    f"{self.out / name} is a folder, and the results are to be written there.",
                    hint="Move it away, or give another folder (--out).",
                )
        files.sweep(self.out)

    def _looked(self, found: Sequence[Row], ledger: Ledger | None) -> list[State]:
        with results.locked(self.out):
            return states(found, ledger, self.out, retry_failed=self.retry_failed)

    # -- the price ---------------------------------------------------------------------------------
    async def _priced(self, worker: Worker, found: list[Row], stand: Sequence[State]) -> list[Row]:
        """The rows with the prices that they are held to.

        The service is asked where it will be asked before buying, once for each kind of row.
        """
        quotes: dict[str, int | None] = {}
        lines = list(zip(found, stand, strict=True))
        for row in shapes(row for row, state in lines if state.result is None and not state.run):
            call = self._call()
            terms = {name: getattr(call.terms, name)
                     for name in ("allow_mature_content", "currencies", "priority")}  # fmt: skip
            quote = await worker.estimate(row.request, **terms)
            if quote.insufficient_buzz:
                raise NotEnoughBuzz(
                    f"The account has not enough Buzz for row {row.number} ({quote.total} needed).",
                    status=200,
                    hint="Buy Buzz, or lower the price.",
                )
            quotes[row.shape] = quote.total
        return [
            priced(row, quotes)
            if state.run is None
            else replace(row, price=max(row.price or 0, state.run.reserved))
            for row, state in lines
        ]

    def _told(self, found: Sequence[Row], stand: Sequence[State]) -> Planned:
        # One that was perhaps never sent may cost its price now.
        new = [row for row, state in zip(found, stand, strict=True)
               if state.result is None and not state.bought]  # fmt: skip
        by_engine: dict[str, int] = {}
        for row in new:
            name = f"{row.engine} {row.variant}"
            by_engine[name] = by_engine.get(name, 0) + (row.price or 0)
        done = sum(state.result is not None for state in stand)
        warnings = dict.fromkeys(warning for row in new for warning in row.warnings)
        return Planned(
            self.name, len(found), len(new), len(found) - len(new) - done, done,
            sum(row.price or 0 for row in new), sum(row.price is None for row in new),
            by_engine, tuple(warnings),
        )  # fmt: skip

    def _check(self, told: Planned, limit: int) -> None:
        if told.unpriced and not self.unpriced:
            raise OverBudget(
                f"The price of {told.unpriced} of {told.rows} rows is not documented, and the "
                "service did not tell it either. Nothing was bought.",
                price=None,
                limit=limit,
                hint="Choose other engines, or let them through with allow_unpriced "
                "(--allow-unpriced).",
            )
        if told.price > limit:
            raise OverBudget(
                f"{told.new} rows cost up to {told.price} Buzz together; the limit is {limit}. "
                "Nothing was bought.",
                price=told.price,
                limit=limit,
                hint=f"Allow more: max_buzz={told.price} (--max-buzz {told.price}).",
            )

    # -- the rows ----------------------------------------------------------------------------------
    async def _made(
        self, worker: Worker, call: Call, found: Sequence[Row], stand: Sequence[State],
        told: Planned, limit: int,
    ) -> Report:  # fmt: skip
        order = await anyio.to_thread.run_sync(partial(worker.rules, call))
        making = Making(
            worker=worker,
            watch=Watch(worker, self.tag),
            out=self.out,
            batch=self.name,
            # The keys alone say what is the same: a batch goes on after the account's key changed.
            order=replace(order, unpriced=self.unpriced, apart=False),
            terms=call.terms,
            timeout=self.timeout,
            allowance=(limit - told.price) // max(1, told.unpriced),
            tell=self.tell,
            total=len(found),
        )
        turns, ended = Turns(), 0
        for row, state in zip(found, stand, strict=True):
            if state.banned is not None:
                turns.ban(row.request.prompt, state.banned)
            if state.result is None:
                turns.add(row, state)
            else:
                ended += 1
                making.count(state.result)
                if state.result.good:
                    turns.passes(row.request.prompt)
        try:
            await making.all(turns, min(self.in_flight, len(found) - ended))
        finally:
            # Interrupted or not, the file has a line for each row. No await: this must not be cut.
            here = [
                (row, state, making.results.get(row.number) or _unended(row, state, making))
                for row, state in zip(found, stand, strict=True)
            ]
            _let_go(worker.ledger, [result for _, _, result in here])
            written = self._written(worker.ledger, here)
            files.sweep(self.out)
        return Report(told, tuple(written), self.out, making.watch.requests)

    def _written(
        self, ledger: Ledger | None, ended: Sequence[tuple[Row, State, Result]]
    ) -> list[Result]:
        """Write the results, with what other processes have seen of these rows since."""
        try:
            with results.locked(self.out):
                found = caught_up(ended, ledger, self.out)
                results.write(self.out, found, table=self.settings.get("table", False))
        except OSError as error:
            raise ConfigError(
                f"The results can't be written to {self.out}: {error.strerror or 'no room'}.",
                hint="Make room, then run the same command again: it goes on from here, and "
                "nothing is bought twice.",
                spent=_spent([result for _, state, result in ended if state.result is None]),
            ) from None
        return found


def _spent(results: Sequence[Result]) -> Spent:
    """Was Buzz spent for these rows?"""
    if any(result.workflow is not None for result in results):
        return "yes"
    told = {(result.error or {}).get("spent") for result in results}
    return "unknown" if "unknown" in told else "no"


def _let_go(ledger: Ledger | None, ended: Sequence[Result]) -> None:
    """Leave what is not finished to whoever asks next: this process may live on."""
    left = [result.key for result in ended if result.status not in results.FINAL]
    if ledger is not None and left:
        with suppress(ConfigError):
            ledger.released(*left)


def _unended(row: Row, state: State, making: Making) -> Result:
    """A row that had not ended when the run was interrupted."""
    workflow = making.under_way.get(row.number)
    begun = state.run is not None or row.number in making.under_way
    status = "unfinished" if begun else "unsent"
    return result_of(row, state.key, status, reason="interrupted",
                     workflow=None if workflow is None else workflow.id,
                     cost=None if workflow is None else workflow.cost.total)  # fmt: skip


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise RequestInvalid(Problem(name, value, f"1 to {most}", max(1, min(most, value))))
    return value
