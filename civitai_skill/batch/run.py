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
from typing import Any, TypeVar, Unpack

import anyio
import anyio.to_thread

from civitai_skill.batch import results, rows
from civitai_skill.batch.names import sweep_template
from civitai_skill.batch.report import Report
from civitai_skill.batch.rows import Given
from civitai_skill.batch.session import BatchSession, BatchSettings
from civitai_skill.batch.sweep import Mode, expand_sweep
from civitai_skill.client.base import Folder
from civitai_skill.config import expand_home
from civitai_skill.errors import ConfigError, Problem, RequestInvalid

T = TypeVar("T")


def run_batch(given: Folder | Iterable[Given], **settings: Unpack[BatchSettings]) -> Report:
    """Make every row: a file of JSON lines, a table (CSV) or a prompt a line (.txt), or an iterable
    of requests, fields or prompts.

    A row that fails is reported, not raised. Raises RequestInvalid with every bad row, OverBudget
    where the whole costs more than `max_buzz`, and ConfigError, all before anything is bought.
    """
    return run_in_own_loop(partial(arun_batch, given, **settings))


async def arun_batch(given: Folder | Iterable[Given], **settings: Unpack[BatchSettings]) -> Report:
    """See run_batch."""
    if not isinstance(given, str | os.PathLike):
        return await BatchSession("batch", settings).run(rows.read_values(given))
    path = expand_home(given)
    session = BatchSession("batch" if str(path) == "-" else path.stem, settings)
    written = [os.path.realpath(session.folder / f) for f in (results.RESULTS, results.TABLE)]
    if str(path) != "-" and os.path.realpath(path) in written:
        why = "the results of the batch are written there"
        raise RequestInvalid(Problem("file", str(path), "another name or folder", None, why))
    return await session.run(await anyio.to_thread.run_sync(rows.read_file, path))


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
    return await BatchSession("sweep", given).run(found)


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
