"""The commands about workflows that the service has: get, query, cancel, release."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.pictures import describe_result, event_printer
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.errors.next_steps import Look

if TYPE_CHECKING:
    from civitai_skill.client import Releasing

_ID = "123456-20260101120000000"


def add_get(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"get {_ID}", f"get {_ID} --wait --out pictures")
    parser.add_argument("id", help="the id that generate printed")
    parser.add_argument("--wait", action="store_true", help="wait until it ends, then save")
    values.add_timeout(parser, "")


def get(given: argparse.Namespace, output: Output) -> int:
    """Look at a workflow; with --wait or --out, bring its pictures home."""
    from civitai_skill.client import Civitai, summarize_unsaved, workflow_failed_error

    output.workflow_id = given.id if given.wait else None
    with Civitai(settings=load_settings(given)) as client:
        tell = event_printer(output)
        workflow = client.get(given.id)
        if given.wait and not workflow.done:
            workflow = client.wait(workflow, timeout=given.timeout, tell=tell)
        if given.wait or given.out:
            result = client.download(workflow, given.out or ".", tell=tell)
        else:
            result = summarize_unsaved(workflow)
            if workflow.done and workflow.status != "succeeded":
                raise workflow_failed_error(result, workflow.wanted)
    output.answer(result.as_dict(), describe_result(result))
    return 0


def add_query(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "query --take 5", "query --tag holiday --since 7d --json")
    tag = "only with this tag; repeatable"
    parser.add_argument("--tag", action="append", default=[], help=tag)
    values.add_take(parser, 20)
    parser.add_argument("--cursor", help="where the last page ended (its `next`)")
    values.add_since(parser)


def query(given: argparse.Namespace, output: Output) -> int:
    """One page of past workflows."""
    from civitai_skill.client import Civitai, history_row, parse_since

    with Civitai(settings=load_settings(given)) as client:
        page = client.page(
            given.cursor, tags=given.tag, take=given.take, since=parse_since(given.since)
        )
    rows = [history_row(w) for w in page.items]
    lines = [
        f"{r['id']}  {r['status']:<10}  {r['engine'] or '?'} {r['variant'] or ''}  "
        f"{r['cost']} Buzz  {r['images']} pictures  {r['prompt']}"
        for r in rows
    ]
    if page.next:
        lines.append(f"more: --cursor {page.next}")
    data: dict[str, Any] = {"items": rows, "next": page.next}
    output.answer(data, "\n".join(lines) or "no workflows", given.out)
    return 0


def add_cancel(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"cancel {_ID}")
    parser.add_argument("id", help="the id that generate printed")


def cancel(given: argparse.Namespace, output: Output) -> int:
    """Cancel, and say what was refunded."""
    from civitai_skill.client import Civitai

    with Civitai(settings=load_settings(given)) as client:
        canceled = client.cancel(given.id)
    output.answer(canceled.as_dict(), str(canceled), given.out)
    return 0


def add_release(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"release {_ID} --max-buzz 20")
    parser.add_argument("id", help="the id that generate printed")
    values.add_max_buzz(parser, "refuse above N yellow Buzz")


def release(given: argparse.Namespace, output: Output) -> int:
    """Accept a held mature result, after saying what it costs."""
    from civitai_skill.client import Civitai, summarize_unsaved

    def tell(event: Releasing) -> None:
        output.say(str(event))
        output.releasing = given.id

    with Civitai(settings=load_settings(given)) as client:
        workflow = client.release(given.id, tell=tell)
    output.workflow_id = given.id
    result = summarize_unsaved(workflow)
    output.say(f"Released. {output.render(Look(given.id, save=True))}")
    output.answer(result.as_dict(), describe_result(result), given.out)
    return 0
