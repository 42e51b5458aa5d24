"""The commands for many pictures: batch, sweep and compare."""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from civitai_skill.adapters.cli import request, values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import (
    OverBudget,
    Problem,
    RequestInvalid,
    TransportFailed,
    WorkflowFailed,
)

if TYPE_CHECKING:
    from civitai_skill.batch.report import Report

T = TypeVar("T")

#: Seconds between two lines where there is no terminal.
_EVERY = 5.0


def add_batch(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "batch rows.csv --out pictures --dry-run",
        "batch rows.jsonl --out pictures --max-buzz 500",
        "batch - --name animals --out pictures < rows.jsonl",
    )
    parser.add_argument(
        "file", metavar="FILE",
        help="JSON lines or CSV with the fields of a request, or .txt with a prompt a line "
        "(# lines are comments); - reads standard input",
    )  # fmt: skip
    request.add_terms_flags(parser)
    _add_run_flags(parser, "FILE's name")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        'sweep --prompt "a {animal} in {style}" --set animal=fox,owl --set style=@styles.txt '
        "--seeds 3 --out pictures",
        'sweep --prompt "a lighthouse" --set engine=flux2,z-image --dry-run',
        'sweep --prompt "a {a} {b}" --set a=red,blue --set b=fox,owl --mode zip',
    )
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="with {names} to fill in")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="NAME=A,B",
                        help="values of a {name} or of a field; @FILE has one a line, and "
                        "comments (# ...); repeatable")  # fmt: skip
    parser.add_argument("--mode", default="product", metavar="M",
                        help="product (every combination), zip, or random")  # fmt: skip
    parser.add_argument("--count", type=values.parse_count, metavar="N",
                        help="combinations that random draws")  # fmt: skip
    each = "pictures of each combination, each with its own seed (1)"
    parser.add_argument("--seeds", type=values.parse_count, default=1, metavar="N", help=each)
    request.add_flags(parser)
    _add_run_flags(parser, "sweep")


def _add_run_flags(parser: argparse.ArgumentParser, name: str) -> None:
    group = parser.add_argument_group("the run")
    group.add_argument("--dry-run", action="store_true",
                       help="check and price every row; buy nothing")  # fmt: skip
    most = "refuse when all rows together cost more than N (CIVITAI_MAX_BUZZ, or 300)"
    values.add_shared(group, "--max-buzz", most)
    group.add_argument("--name", metavar="NAME",
                       help=f"the same row under another name is bought anew ({name})")  # fmt: skip
    group.add_argument("--names", metavar="T", dest="template",
                       help="the pictures' names ({row}-{engine}-{seed}-{n}, of a sweep what "
                       "is swept); also {id}, {variant}, {batch}, {key}")  # fmt: skip
    group.add_argument("--csv", action="store_true", help="write results.csv as well")
    group.add_argument("--retry-failed", action="store_true",
                       help="buy once more what failed or expired")  # fmt: skip
    group.add_argument("--allow-unpriced", action="store_true",
                       help="let rows through whose price nobody tells")  # fmt: skip
    group.add_argument("--as-many-as-fit", action="store_true",
                       help="buy rows in order up to --max-buzz and what is left of the "
                       "budget")  # fmt: skip
    group.add_argument("--concurrency", type=values.parse_count, default=16, metavar="N",
                       help="requests at once at most; the service's answers decide "
                       "below it (16)")  # fmt: skip
    group.add_argument("--in-flight", type=values.parse_count, default=100, metavar="N",
                       help="rows under way at once (100)")  # fmt: skip
    values.add_shared(group, "--timeout", " for each row")


def batch(given: argparse.Namespace, output: Output) -> int:
    """Every row of a file."""
    from civitai_skill.batch.run import arun_batch

    return _run_batch(given, output, partial(arun_batch, given.file))


def sweep(given: argparse.Namespace, output: Output) -> int:
    """Every combination of values."""
    from civitai_skill.batch.run import arun_sweep
    from civitai_skill.batch.sweep import parse_values

    sets: dict[str, list[Any]] = {}
    for text in given.sets:
        name, equals, values = text.partition("=")
        if not equals or not name or name in sets:
            why = "is given twice" if name in sets else "not NAME=A,B"
            raise RequestInvalid(Problem("set", text, "--set animal=fox,owl", None, why))
        sets[name] = parse_values(values)
    how = {"mode": given.mode, "count": given.count, "seeds": given.seeds}
    fields = request.request_fields(given)
    run = partial(arun_sweep, given.prompt, sets, fields=fields, **how)
    return _run_batch(given, output, run)


def _run_batch(
    given: argparse.Namespace, output: Output, make: Callable[..., Awaitable[Report]]
) -> int:
    names = ("concurrency", "in_flight", "retry_failed", "allow_unpriced", "as_many_as_fit")
    settings = {name: getattr(given, name) for name in names} | {"table": given.csv}
    for name in ("name", "template"):
        if getattr(given, name) is not None:
            settings[name] = getattr(given, name)
    report = _run_shown(given, output, partial(make, **settings))
    if isinstance(report, int):
        return report
    data = report.as_dict()
    if given.dry_run:
        _print_plan(output, report)
        return 0
    counts = ", ".join(f"{number} {status}" for status, number in report.statuses.items())
    text = f"{counts}; {data['cost']} Buzz; {data['pictures']} pictures in {report.folder}"
    _say_what_next(report, output)
    output.answer({**data, "results": str(report.folder / "results.jsonl")}, text)
    return _exit_code_of(report, given.as_many_as_fit)


def add_compare(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        'compare "a lighthouse in a storm" --engines flux2,z-image,sdxl:juggernaut --dry-run',
        'compare "a shop sign that says OPEN" --engines qwen,seedream --out signs --max-buzz 100',
        "compare --picture a.png --picture b.png --out sheets",
    )
    parser.add_argument("prompt", nargs="?", metavar="PROMPT",
                        help="what should be in the pictures")  # fmt: skip
    parser.add_argument("--engines", metavar="A,B:C",
                        help="the engines, each with :VARIANT if wanted")  # fmt: skip
    parser.add_argument("--picture", action="append", default=[], type=values.parse_path,
                        dest="pictures", metavar="FILE",
                        help="instead: a picture that is there already; repeatable, "
                        "free")  # fmt: skip
    request.add_flags(parser)
    group = parser.add_argument_group("the run")
    group.add_argument("--dry-run", action="store_true", help="price it; buy nothing")
    values.add_shared(group, "--max-buzz", "refuse when all of them together cost more than N")
    values.add_shared(group, "--timeout", " for each picture")


def compare(given: argparse.Namespace, output: Output) -> int:
    """Price, buy as one batch, wait, and put everything on one sheet."""
    fields = request.request_fields(given)
    if given.pictures:
        if given.prompt or given.engines or fields:
            why = "pictures that are there already are only put on a sheet"
            raise RequestInvalid(Problem("--picture", None, "it alone, with --out", None, why))
        _only_sheet(given, output)
        return 0
    if not given.prompt or not given.engines or {"engine", "variant"} & fields.keys():
        accepted = 'a prompt and --engines A,B, such as: compare "a fox" --engines flux2,sdxl'
        raise RequestInvalid(Problem("engines", given.engines, accepted))
    from civitai_skill.batch.compare import acompare

    engines = [name for name in given.engines.split(",") if name.strip()]
    made = _run_shown(given, output, partial(acompare, given.prompt, engines, fields=fields))
    if isinstance(made, int):
        return made
    if given.dry_run:
        _print_plan(output, made.report)
        return 0
    data = made.as_dict()
    output.answer(data, f"{made.sheet}: {data['pictures']} pictures, {data['cost']} Buzz")
    return _exit_code_of(made.report, False)


def _only_sheet(given: argparse.Namespace, output: Output) -> None:
    from civitai_skill.gallery.sheet import Entry, write_sheet

    output.sandbox = False  # nothing is asked of anybody
    entries = [Entry(Path(name), (Path(name).name,)) for name in given.pictures]
    sheet = write_sheet(entries, Path(given.out or ".") / "compare.jpeg")
    output.answer({"sheet": str(sheet), "pictures": given.pictures}, str(sheet))


def _run_shown(
    given: argparse.Namespace, output: Output, make: Callable[..., Awaitable[T]]
) -> T | int:
    """Run a batch, and show how it goes; the exit code where it was interrupted."""
    import asyncio

    from civitai_skill.client import Civitai

    show = ProgressDisplay(output)
    loaded = request.load_settings(given)

    async def run() -> T:
        with Civitai(settings=loaded) as client, output.interrupts.canceling():
            return await make(
                **request.request_terms(given),
                client=client,
                out=given.out or ".",
                timeout=given.timeout,
                dry_run=given.dry_run,
                tell=show,
                render=output.render,
                purpose=given.command,
            )

    try:
        with show.start():
            return asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _report_interrupt(output, show, given.dry_run)


def _print_plan(output: Output, report: Report) -> None:
    """The answer of a dry run."""
    plan = {"dry_run": True, **report.plan.as_dict()}
    output.answer(plan, f"{report.plan}. Nothing was bought.")


def _say_what_next(report: Any, output: Output) -> None:
    from civitai_skill.batch.results import FINAL
    from civitai_skill.batch.states import RETRIED

    warned = dict.fromkeys(w for result in report.results for w in result.warnings)
    for warning in warned:
        output.say_once("Warning", warning)
    rows = len(report.results)
    again = sum(result.status in RETRIED for result in report.results)
    left = sum(result.status not in FINAL for result in report.results)
    if again:
        output.say(
            f"{again} of {rows} rows failed, expired or are gone (why: results.jsonl). "
            "They are not bought again by themselves: --retry-failed does."
        )
    if left:
        output.say(f"{left} of {rows} rows are not finished: the same command goes on.")


def _exit_code_of(report: Any, as_many_as_fit: bool) -> int:
    """That of the first row that did not end well; rows that waited for others say nothing."""
    from civitai_skill.batch.results import FINAL

    bad = [result for result in report.results if not result.good]
    if as_many_as_fit and all(r.status == "unsent" and r.error is None for r in bad):
        bad = []  # what does not fit was not asked for
    if not bad:
        return OverBudget.exit_code if report.over_limit else 0
    first = next((r for r in bad if r.error is not None or r.status != "unsent"), bad[0])
    error = first.error or {}
    code = int(error.get("exit_code", WorkflowFailed.exit_code))
    refused = code == RequestInvalid.exit_code and error.get("spent") != "no"
    if refused:  # that code promises that nothing was spent
        return WorkflowFailed.exit_code if first.status in FINAL else TransportFailed.exit_code
    return code


def _report_interrupt(output: Output, show: ProgressDisplay, dry: bool) -> int:
    stands = f" ({show.last})" if show.last is not None else ""
    ended = output.interrupts.name
    text = (
        f"{ended}; a dry run buys nothing."
        if dry
        else f"{ended}{stands}. What was submitted goes on and its Buzz is committed. "
        "The same command again goes on from here; nothing is bought twice."
    )
    output.warn(text)
    if output.json:
        error = {"code": "interrupted", "message": text, "spent": "no" if dry else "unknown"}
        output.answer({"error": error}, "")
    return output.interrupts.exit_code


class ProgressDisplay:
    """Shows how a batch goes: a bar on a terminal, else a line now and then."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._said = 0.0
        self._bar: Any = None
        self._task: Any = None
        #: How it stood when it was last told.
        self.last: Any = None

    def start(self) -> AbstractContextManager[Any]:
        """The bar while the batch runs; nothing where there is no terminal."""
        if not self._output.live:
            return nullcontext()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("checking the rows", total=None)
        bar: AbstractContextManager[Any] = self._bar
        return bar

    def __call__(self, event: Any) -> None:
        from civitai_skill.batch.report import BatchPlan, BatchProgress, Surprise

        if isinstance(event, BatchPlan):
            self._output.say(str(event))
            for warning in event.warnings:
                self._output.say_once("Warning", warning)
        elif isinstance(event, BatchProgress):
            self.last = event
            self._show_progress(event)
        elif isinstance(event, Surprise):
            self._output.warn(str(event))
        elif not event.good:
            why = event.reason or (event.error or {}).get("message") or "no reason given"
            self._output.say(f"Row {event.row} (line {event.line}): {event.status}: {why}")

    def _show_progress(self, event: Any) -> None:
        if self._bar is not None:
            ended = event.done + event.failed
            self._bar.update(self._task, total=event.total, completed=ended, description=str(event))
            return
        now = time.monotonic()
        if now - self._said >= _EVERY or event.done + event.failed == event.total:
            self._said = now
            self._output.say(str(event))
