"""The commands that read the ledger: resume, history, spend, budget."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.pictures import event_printer
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.errors import CivitaiError, Problem, RequestInvalid
from civitai_skill.errors.next_steps import Look

if TYPE_CHECKING:
    from civitai_skill.client import Civitai, Ledger, Run


def add_resume(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser, "resume", "resume 123456-20260101120000000 --retry-failed --max-buzz 20"
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these: workflow ids, or keys")
    values.add_shared(parser, "--timeout", " for each")
    failed = "buy once more what failed or expired in the last 24 hours"
    parser.add_argument("--retry-failed", action="store_true", help=failed)
    values.add_shared(parser, "--max-buzz", "with --retry-failed: refuse above N Buzz each")


def resume(given: argparse.Namespace, output: Output) -> int:
    """Finish every open run, or only the named; the exit code is that of the first that did not end
    well."""
    from civitai_skill.client import Civitai

    results: list[dict[str, Any]] = []
    code = 0
    with Civitai(settings=load_settings(given)) as client:
        assert client.ledger is not None, "the command line never turns the ledger off"
        runs = client.ledger.unfinished()
        if given.retry_failed:
            runs += client.ledger.failed()
        if given.ids:
            runs = [_find_run(client, name, runs) for name in dict.fromkeys(given.ids)]
        unfetched = [] if given.ids else client.ledger.unfetched()
        waiting = [run for run in unfetched if run.account == client.account]
        others = [run.workflow or run.key for run in runs if run.account != client.account]
        if others:
            output.say(f"Left alone, begun with another key or service: {', '.join(others)}")
        for run in runs:
            if run.account != client.account:
                continue
            try:
                result = client.resume(
                    run, timeout=given.timeout, out=given.out, tell=event_printer(output)
                )
                results.append(result.as_dict())
            except CivitaiError as error:
                results.append({**output.warn_of(error), "key": run.key})
                code = code or error.exit_code
    told = _tell_unfetched(given, output, waiting)
    lines = [_format_result(result) for result in results]
    for row in told:
        why = row["reason"] or row.get("hint")
        lines.append(f"{row['id']}: {row['status'] or 'not fetched'}  {why}")
    text = "\n".join(lines) or "nothing was left open"
    output.answer({"resumed": results, "left_alone": others, "unfetched": told}, text)
    return code


def _tell_unfetched(
    given: argparse.Namespace, output: Output, runs: list[Run]
) -> list[dict[str, Any]]:
    """Purchases that have no file here, how they stand, and what fetches them."""
    from civitai_skill.client import look_up_ends, read_prompt

    rows: list[dict[str, Any]] = [
        {"workflow": run.workflow, "state": run.state, "status": run.status, "cost": run.cost,
         "reason": None, "prompt": read_prompt(run.body)}
        for run in runs
    ]  # fmt: skip
    look_up_ends(load_settings(given), rows)
    for row in rows:
        row["id"] = row.pop("workflow")
        del row["state"]
        if row["reason"] is None:
            row["hint"] = output.render(Look(row["id"], save=True))
            output.say(f"Not fetched: {row['id']}, {row['status'] or 'bought'}. {row['hint']}")
    return rows


def _find_run(client: Civitai, name: str, runs: list[Run]) -> Run:
    """The run of an id or key. Raises RequestInvalid for one that is not to be finished."""
    from civitai_skill.client import check_account

    for run in runs:
        if name in (run.workflow, run.key):
            check_account(client.account, run)
            return run
    assert client.ledger is not None, "see resume"
    known = client.ledger.find_by_workflow(name) or client.ledger.run(name)
    accepted, why = "", "it is being made right now"
    if known is None:
        accepted, why = "an id or key of `civitai-skill history`", "this ledger does not know it"
    elif known.state != "open" and known.status in ("failed", "expired"):
        accepted = "with --retry-failed, within 24 hours and if nobody tried it again since"
        why = f"it has {known.status}"
    elif known.state != "open":
        why = f"nothing is left to do ({known.status or known.state})"
    raise RequestInvalid(Problem("ID", name, accepted, None, why))


def _format_result(result: dict[str, Any]) -> str:
    name = result.get("id") or result.get("key")
    paths = [image["path"] for image in result.get("images", []) if image["path"]]
    return f"{name}: {result.get('status', 'open')} {' '.join(paths)}".rstrip()


def add_history(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "history --today", "history --since 7d --json")
    values.add_since(parser)
    values.add_shared(parser, "--take", 50, default=50)


def history(given: argparse.Namespace, output: Output) -> None:
    """Runs from the ledger, newest first."""
    from civitai_skill.client import look_up_ends

    found = _open_ledger(given).history(_parse_since(given.since), given.take)
    look_up_ends(load_settings(given), found)
    rows = [_format_run(run) for run in found]
    for row in rows:
        if row["state"] == "closed" and row["status"] is None and row["workflow"]:
            row["hint"] = output.render(Look(row["workflow"]))
    lines = [line for row in rows for line in _run_lines(row)]
    cost = sum(max(0, _buzz(row) or 0) for row in rows if row["state"] != "dropped")
    text = "\n".join([*lines, f"{cost} Buzz"]) if rows else "nothing was bought"
    output.answer({"runs": rows, "cost": cost}, text, given.out)


def _buzz(run: dict[str, Any]) -> Any:
    """What a run cost; while that is open, what is reserved for it."""
    return run["reserved"] if run["cost"] is None else run["cost"]


def _run_lines(run: dict[str, Any]) -> Iterator[str]:
    from civitai_skill.client import shorten

    buzz = _buzz(run)
    yield (
        f"{values.to_local_time(run['created'])}  {run['status'] or run['state']:<9}  "
        f"{run['engine'] or '?'} {run['variant'] or ''}  {buzz} Buzz  "
        f"{run['pictures']}/{run['wanted']} pictures  {run['workflow'] or run['key']}  "
        f"{shorten(run['prompt'] or '')}"
    )
    yield from (f"    {path}" for path in run["paths"])
    if run["reason"]:
        yield f"    why: {run['reason']}"
    if "hint" in run:
        yield f"    its end is not known here. {run['hint']}"


def add_spend(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "spend --today", "spend --since 7d --by engine")
    values.add_since(parser)
    by = "a row for each engine or day (UTC)"
    parser.add_argument("--by", choices=("engine", "day"), help=by)


def spend(given: argparse.Namespace, output: Output) -> None:
    """Sums from the ledger."""
    rows = _open_ledger(given).spend(_parse_since(given.since), given.by)
    total = sum(row["buzz"] or 0 for row in rows)
    lines = [f"{row['name']:<16} {row['buzz']:>8} Buzz in {row['runs']} runs" for row in rows]
    data = {"total": total, "by": given.by, "rows": rows}
    output.answer(data, "\n".join(lines) or "0 Buzz", given.out)


def add_budget(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "budget", "budget set 500 --per day", "budget clear")
    parser.add_argument("action", nargs="?", choices=("show", "set", "clear"), default="show")
    parser.add_argument("amount", nargs="?", type=values.parse_count, metavar="N", help="Buzz")
    parser.add_argument("--per", choices=("hour", "day", "week", "month"), default="day",
                        help="counted back from now: a day is the last 24 hours (day)")  # fmt: skip


def budget(given: argparse.Namespace, output: Output) -> None:
    """Show, set or clear the budget."""
    from civitai_skill.client import current_budget

    settings, ledger = load_settings(given), _open_ledger(given)
    if given.action == "set":
        if given.amount is None:
            raise RequestInvalid(
                Problem("N", None, "a number of Buzz: civitai-skill budget set 500 --per day")
            )
        ledger.keep_setting("budget", f"{given.amount}/{given.per}")
    elif given.amount is not None:
        why = f"does not go with {given.action}"
        raise RequestInvalid(Problem("N", given.amount, "with set only", None, why))
    elif given.action == "clear":
        ledger.keep_setting("budget", None)
    current = current_budget(settings.budget, ledger)
    if current is None:
        output.answer({"budget": None}, "no budget is set", given.out)
        return
    used = ledger.used_buzz(current)
    data = {
        "budget": current.limit,
        "per": current.name,
        "used": used,
        "left": max(0, current.limit - used),
        "source": "CIVITAI_BUDGET" if settings.budget else "ledger",
    }
    output.answer(data, f"{current}: {used} used, {data['left']} left", given.out)


def _open_ledger(given: argparse.Namespace) -> Ledger:
    from civitai_skill.client import Ledger

    return Ledger(load_settings(given).ledger)


def _parse_since(text: str | None) -> float:
    from civitai_skill.client import parse_since

    when = parse_since(text)
    return 0.0 if when is None else datetime.fromisoformat(when).timestamp()


def _format_run(run: dict[str, Any]) -> dict[str, Any]:
    created = datetime.fromtimestamp(run["created"], UTC).isoformat(timespec="seconds")
    return {**run, "created": created.replace("+00:00", "Z")}
