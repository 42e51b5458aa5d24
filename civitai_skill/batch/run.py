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

from civitai_skill.batch import results, rows
from civitai_skill.batch.keys import tag_of
from civitai_skill.batch.making import RowRunner
from civitai_skill.batch.names import TEMPLATE, check_template
from civitai_skill.batch.plan import Row, apply_quote, plan_rows, rows_to_quote
from civitai_skill.batch.report import BatchPlan, Report, ignore_event
from civitai_skill.batch.results import Result
from civitai_skill.batch.rows import Given
from civitai_skill.batch.settings import BatchSettings, check_names
from civitai_skill.batch.states import RowState, build_result, load_states, update_results
from civitai_skill.batch.sweep import Mode, expand_sweep
from civitai_skill.batch.turns import RowQueue
from civitai_skill.batch.waiting import WorkflowWatcher
from civitai_skill.batch.worker import CONCURRENCY, BatchClient
from civitai_skill.client.base import Folder
from civitai_skill.client.clients import TIMEOUT
from civitai_skill.client.options import Call
from civitai_skill.errors import (
    ConfigError,
    NotEnoughBuzz,
    OverBudget,
    Problem,
    RequestInvalid,
    Spent,
)
from civitai_skill.images.save import prepare_folder
from civitai_skill.images.sources import EVERY_SOURCE
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.storage import files

#: Rows under way at once.
IN_FLIGHT = 100

_MOST_IN_FLIGHT = 5000


Many = Folder | Iterable[Given]


def run_batch(given: Many, **settings: Unpack[BatchSettings]) -> Report:
    """Make every row: a file of JSON lines or CSV, or an iterable of requests, fields or prompts.

    A row that fails is reported, not raised. Raises RequestInvalid with every bad row, OverBudget
    where the whole costs more than `max_buzz`, and ConfigError, all before anything is bought.
    """
    return _run_in_own_loop(partial(arun_batch, given, **settings))


async def arun_batch(given: Many, **settings: Unpack[BatchSettings]) -> Report:
    """See run_batch."""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        _check_input_is_not_output(path, Path(settings.get("out", ".")))
        found = await anyio.to_thread.run_sync(rows.read_file, path)
        name = "batch" if str(path) == "-" else path.stem
    else:
        found, name = rows.read_values(given), "batch"
    return await BatchSession({"name": name, **settings}).run(found)


def run_sweep(
    prompt: str,
    sets: Mapping[str, Sequence[Any]],
    *,
    mode: Mode = "product",
    count: int | None = None,
    seeds: int = 1,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[BatchSettings],
) -> Report:
    """Make every combination of values in a prompt's {names}; see `expand_sweep` and run_batch.

    `fields` are fields of the request that all rows share.
    """
    run = partial(arun_sweep, prompt, sets, mode=mode, count=count, seeds=seeds, fields=fields)
    return _run_in_own_loop(partial(run, **settings))


async def arun_sweep(
    prompt: str,
    sets: Mapping[str, Sequence[Any]],
    *,
    mode: Mode = "product",
    count: int | None = None,
    seeds: int = 1,
    fields: Mapping[str, Any] | None = None,
    **settings: Unpack[BatchSettings],
) -> Report:
    """See run_sweep."""
    found = expand_sweep(
        prompt, sets, mode=mode, count=count, seeds=seeds, **_check_shared_fields(fields)
    )
    return await BatchSession({"name": "sweep", **settings}).run(rows.read_values(found))


def _run_in_own_loop(run: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
    """Run in an event loop of its own. Raises ConfigError inside of another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(run)
    raise ConfigError(
        "An event loop runs here already, as in a notebook, and a batch can't wait inside of it.",
        advice="Await arun_batch or arun_sweep instead.",
    )


def _check_input_is_not_output(file: Path, out: Path) -> None:
    """Raises RequestInvalid where the results would be written over the rows."""
    for name in (results.RESULTS, results.TABLE):
        if str(file) != "-" and os.path.realpath(file) == os.path.realpath(out / name):
            why = "the results of the batch are written there"
            raise RequestInvalid(Problem("FILE", str(file), "another name or folder", None, why))


def _check_shared_fields(given: Any) -> dict[str, Any]:
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
class BatchSession:
    """One call, with its settings."""

    settings: BatchSettings

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
        self.in_flight = _check_range(
            "in_flight", given.get("in_flight", IN_FLIGHT), _MOST_IN_FLIGHT
        )
        self.most = _check_range("concurrency", given.get("concurrency", CONCURRENCY), 256)
        self.tag = tag_of(self.name)
        self.tell = given.get("tell", ignore_event)
        self.retry_failed = given.get("retry_failed", False)
        self.unpriced = given.get("allow_unpriced", False)

    async def run(self, raw_rows: list[rows.RawRow]) -> Report:
        given = self.settings
        client = given.get("client")
        async with BatchClient() if client is None else BatchClient.like(client) as worker:
            worker.limiter.most = self.most
            call = self._build_call()
            policy = given.get("sources", EVERY_SOURCE)
            plan = partial(plan_rows, raw_rows, self.name, call.terms, self.template, policy)
            found: list[Row] = await anyio.to_thread.run_sync(plan)
            if not given.get("dry_run"):
                await anyio.to_thread.run_sync(self._prepare_folder)
            look = partial(self._load_states, found, worker.ledger)
            states: list[RowState] = await anyio.to_thread.run_sync(look)
            limit = given.get("max_buzz")
            limit = worker.settings.max_buzz if limit is None else limit
            found = await self._quote_rows(worker, found, states)
            batch_plan = self._build_plan(found, states)
            self.tell(batch_plan)
            if given.get("dry_run"):
                return Report(batch_plan, tuple(s.result for s in states if s.result), self.out)
            self._check_price(batch_plan, limit)
            return await self._run_rows(worker, call, found, states, batch_plan, limit)

    def _build_call(self) -> Call:
        given = self.settings
        names = ("metadata", "allow_mature_content", "currencies", "priority", "sources")
        more = {name: given[name] for name in names if name in given}  # type: ignore[literal-required]
        tags = given.get("tags", ())
        if isinstance(tags, str):
            raise RequestInvalid(Problem("tags", tags, "a list of texts", [tags]))
        tags = (self.tag, *tags)
        return Call("-", {**more, "tags": tags, "purpose": given.get("purpose", "batch")})

    def _prepare_folder(self) -> None:
        prepare_folder(self.out)
        for name in (results.RESULTS, results.TABLE):
            if (self.out / name).is_dir():
                raise ConfigError(
                    f"{self.out / name} is a folder, and the results are to be written there.",
                    advice="Move it away, or give another folder (--out).",
                )
        files.remove_stale(self.out)

    def _load_states(self, found: Sequence[Row], ledger: Ledger | None) -> list[RowState]:
        with results.lock_folder(self.out):
            return load_states(found, ledger, self.out, retry_failed=self.retry_failed)

    # -- the price ---------------------------------------------------------------------------------
    async def _quote_rows(
        self, worker: BatchClient, found: list[Row], states: Sequence[RowState]
    ) -> list[Row]:
        """The rows with the prices that they are held to.

        The service is asked where it will be asked before buying, once for each kind of row.
        """
        quotes: dict[str, int | None] = {}
        lines = list(zip(found, states, strict=True))
        for row in rows_to_quote(
            row for row, state in lines if state.result is None and not state.run
        ):
            call = self._build_call()
            terms = {name: getattr(call.terms, name)
                     for name in ("allow_mature_content", "currencies", "priority")}  # fmt: skip
            quote = await worker.estimate(row.request, **terms)
            if quote.insufficient_buzz:
                raise NotEnoughBuzz(
                    f"The account has not enough Buzz for row {row.number} ({quote.total} needed).",
                    status=200,
                    advice="Buy Buzz, or lower the price.",
                )
            quotes[row.shape] = quote.total
        return [
            apply_quote(row, quotes)
            if state.run is None
            else replace(row, price=max(row.price or 0, state.run.reserved))
            for row, state in lines
        ]

    def _build_plan(self, found: Sequence[Row], states: Sequence[RowState]) -> BatchPlan:
        # One that was perhaps never sent may cost its price now.
        new = [row for row, state in zip(found, states, strict=True)
               if state.result is None and not state.is_submitted]  # fmt: skip
        by_engine: dict[str, int] = {}
        for row in new:
            name = f"{row.engine} {row.variant}"
            by_engine[name] = by_engine.get(name, 0) + (row.price or 0)
        done = sum(state.result is not None for state in states)
        warnings = dict.fromkeys(warning for row in new for warning in row.warnings)
        return BatchPlan(
            self.name, len(found), len(new), len(found) - len(new) - done, done,
            sum(row.price or 0 for row in new), sum(row.price is None for row in new),
            by_engine, tuple(warnings),
        )  # fmt: skip

    def _check_price(self, plan: BatchPlan, limit: int) -> None:
        if plan.unpriced and not self.unpriced:
            raise OverBudget(
                f"The price of {plan.unpriced} of {plan.rows} rows is not documented, and the "
                "service did not tell it either. Nothing was bought.",
                price=None,
                limit=limit,
                advice="Choose other engines, or let them through with allow_unpriced "
                "(--allow-unpriced).",
            )
        if plan.price > limit:
            raise OverBudget(
                f"{plan.new} rows cost up to {plan.price} Buzz together; the limit is {limit}. "
                "Nothing was bought.",
                price=plan.price,
                limit=limit,
                advice=f"Allow more: max_buzz={plan.price} (--max-buzz {plan.price}).",
            )

    # -- the rows ----------------------------------------------------------------------------------
    async def _run_rows(
        self, worker: BatchClient, call: Call, found: Sequence[Row], states: Sequence[RowState],
        plan: BatchPlan, limit: int,
    ) -> Report:  # fmt: skip
        order = await anyio.to_thread.run_sync(partial(worker.build_order, call))
        runner = RowRunner(
            worker=worker,
            watch=WorkflowWatcher(worker, self.tag),
            out=self.out,
            batch=self.name,
            # The keys alone say what is the same: a batch goes on after the account's key changed.
            order=replace(order, unpriced=self.unpriced, apart=False),
            terms=call.terms,
            timeout=self.timeout,
            allowance=(limit - plan.price) // max(1, plan.unpriced),
            tell=self.tell,
            total=len(found),
        )
        queue, ended = RowQueue(), 0
        for row, state in zip(found, states, strict=True):
            if state.banned is not None:
                queue.mark_banned(row.request.prompt, state.banned)
            if state.result is None:
                queue.add(row, state)
            else:
                ended += 1
                runner.count(state.result)
                if state.result.good:
                    queue.mark_passed(row.request.prompt)
        try:
            await runner.run_all(queue, min(self.in_flight, len(found) - ended))
        finally:
            # Interrupted or not, the file has a line for each row. No await: this must not be cut.
            here = [
                (
                    row,
                    state,
                    runner.results.get(row.number) or _interrupted_result(row, state, runner),
                )
                for row, state in zip(found, states, strict=True)
            ]
            _release_unfinished(worker.ledger, [result for _, _, result in here])
            written = self._write_results(worker.ledger, here)
            files.remove_stale(self.out)
        return Report(plan, tuple(written), self.out, runner.watch.requests)

    def _write_results(
        self, ledger: Ledger | None, ended: Sequence[tuple[Row, RowState, Result]]
    ) -> list[Result]:
        """Write the results, with what other processes have seen of these rows since."""
        try:
            with results.lock_folder(self.out):
                found = update_results(ended, ledger, self.out)
                results.write(self.out, found, table=self.settings.get("table", False))
        except OSError as error:
            raise ConfigError(
                f"The results can't be written to {self.out}: {error.strerror or 'no room'}.",
                advice="Make room, then run the same command again: it goes on from here, and "
                "nothing is bought twice.",
                spent=_summarize_spent(
                    [result for _, state, result in ended if state.result is None]
                ),
            ) from None
        return found


def _summarize_spent(results: Sequence[Result]) -> Spent:
    """Was Buzz spent for these rows?"""
    if any(result.workflow is not None for result in results):
        return "yes"
    outcomes = {(result.error or {}).get("spent") for result in results}
    return "unknown" if "unknown" in outcomes else "no"


def _release_unfinished(ledger: Ledger | None, ended: Sequence[Result]) -> None:
    """Leave what is not finished to whoever asks next: this process may live on."""
    left = [result.key for result in ended if result.status not in results.FINAL]
    if ledger is not None and left:
        with suppress(ConfigError):
            ledger.release(*left)


def _interrupted_result(row: Row, state: RowState, runner: RowRunner) -> Result:
    """A row that had not ended when the run was interrupted."""
    workflow = runner.under_way.get(row.number)
    begun = state.run is not None or row.number in runner.under_way
    status = "unfinished" if begun else "unsent"
    return build_result(row, state.key, status, reason="interrupted",
                     workflow=None if workflow is None else workflow.id,
                     cost=None if workflow is None else workflow.cost.total)  # fmt: skip


def _check_range(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise RequestInvalid(Problem(name, value, f"1 to {most}", max(1, min(most, value))))
    return value
