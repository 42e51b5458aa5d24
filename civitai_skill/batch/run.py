"""run_batch and run_sweep: many requests as one purchase that can be interrupted at any moment.

    report = run_batch("rows.csv", out="pictures", max_buzz=500)
    report = run_sweep("a {animal} in {style}", {"animal": ["fox", "owl"], "style": ["ink"]})

The same call again goes on where it was. `arun_batch` and `arun_sweep` are the async forms.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack

import anyio
import anyio.to_thread

from civitai_skill.batch import results, rows
from civitai_skill.batch.names import sweep_template
from civitai_skill.batch.report import Report, Tell
from civitai_skill.batch.rows import Given
from civitai_skill.batch.session import BatchSession
from civitai_skill.batch.sweep import Mode, expand_sweep
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.config import expand_home
from civitai_skill.errors import ConfigError, Problem, RequestInvalid
from civitai_skill.errors.next_steps import Render
from civitai_skill.images.sources import SourcePolicy
from civitai_skill.schema.problems import nearest_name

T = TypeVar("T")


class BatchSettings(TypedDict, total=False):
    """How a batch runs.

    name            the batch's name: the same row under another name is bought anew
    out             the folder of the pictures and of results.jsonl (the working folder)
    client          a Civitai or AsyncCivitai whose settings count; made from the environment else
    max_buzz        the most that all rows together may cost; the client's limit when left out
    template        the pictures' names (`{row}-{engine}-{seed}-{n}`; of a sweep, what is swept)
    concurrency     requests at once at most; the service's answers decide below it
    in_flight       rows under way at once
    timeout         seconds for one row, counted from its price (buying may take 5 at least)
    retry_failed    buy once more what failed or expired
    allow_unpriced  let rows through whose price nobody tells
    as_many_as_fit  buy rows in order up to the limit and what is left of the budget
    dry_run         plan only
    table           write results.csv as well
    sources         which source pictures the rows may name
    tell            hears the plan, each result and how it stands
    render          says in results.jsonl what to do next, in the words of an interface
    purpose         the interface's name in the ledger
    tags, metadata, allow_mature_content, currencies, priority: as in `generate`
    """

    name: str
    out: Folder
    client: BaseClient | None
    max_buzz: int | None
    template: str
    concurrency: int
    in_flight: int
    timeout: float
    retry_failed: bool
    allow_unpriced: bool
    as_many_as_fit: bool
    dry_run: bool
    table: bool
    sources: SourcePolicy
    tell: Tell
    render: Render
    purpose: str
    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None


def run_batch(given: Folder | Iterable[Given], **settings: Unpack[BatchSettings]) -> Report:
    """Make every row: a file of JSON lines, a table (CSV) or a prompt a line (.txt), or an iterable
    of requests, fields or prompts.

    A row that fails is reported, not raised. Raises RequestInvalid with every bad row, OverBudget
    where the whole costs more than `max_buzz`, and ConfigError, all before anything is bought.
    """
    return run_in_own_loop(partial(arun_batch, given, **settings))


async def arun_batch(given: Folder | Iterable[Given], **settings: Unpack[BatchSettings]) -> Report:
    """See run_batch."""
    if isinstance(given, str | os.PathLike):
        path = expand_home(given)
        name = "batch" if str(path) == "-" else path.stem
        session = _make_session(name, settings)
        written = [os.path.realpath(session.folder / f) for f in (results.RESULTS, results.TABLE)]
        if str(path) != "-" and os.path.realpath(path) in written:
            why = "the results of the batch are written there"
            raise RequestInvalid(Problem("file", str(path), "another name or folder", None, why))
        return await session.run(await anyio.to_thread.run_sync(rows.read_file, path))
    return await _make_session("batch", settings).run(rows.read_values(given))


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
    return run_in_own_loop(partial(run, **settings))


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
    accepted = "fields of the request by name, without prompt"
    shared = {} if fields is None else fields
    if not isinstance(shared, Mapping) or not all(isinstance(name, str) for name in shared):
        raise RequestInvalid(Problem("fields", shared, accepted))
    if "prompt" in shared:
        why = "the prompt is said already"
        raise RequestInvalid(Problem("fields", shared["prompt"], accepted, None, why))
    found = expand_sweep(prompt, sets, mode=mode, count=count, seeds=seeds, **shared)
    given: BatchSettings = {"template": sweep_template(sets), **settings}
    return await _make_session("sweep", given).run(found)


def run_in_own_loop(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run in an event loop of its own. Raises ConfigError inside of another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(run)
    raise ConfigError(
        "An event loop runs here already, as in a notebook, and a batch can't wait inside of it.",
        advice="Await arun_batch or arun_sweep instead.",
    )


def _make_session(name: str, settings: BatchSettings) -> BatchSession:
    known = list(BatchSettings.__annotations__)
    odd = next((name for name in settings if name not in known), None)
    if odd is not None:
        near, why = nearest_name(odd, known), "there is no such setting"
        raise RequestInvalid(Problem(odd, None, ", ".join(known), near, why))
    given: BatchSettings = {"name": name, **settings}
    return BatchSession(**given)
