"""The commands about workflows that the service has: get, query, cancel, release."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.pictures import describe_result, event_printer
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.errors import CivitaiError, Problem, RequestInvalid
from civitai_skill.errors.next_steps import Look

if TYPE_CHECKING:
    from civitai_skill.client import Civitai, Releasing

#: What is told of one workflow: as JSON, and in words.
_Told = tuple[dict[str, Any], str]

_ID = "123456-20260101120000000"


def add_get(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"get {_ID}", f"get {_ID} --wait --out pictures")
    values.add_shared(parser, "ids")
    parser.add_argument("--wait", action="store_true", help="wait until it ends, then save")
    values.add_shared(parser, "--timeout", "")


def get(given: argparse.Namespace, output: Output) -> int:
    """Look at workflows; with --wait or --out, bring their pictures home."""
    from civitai_skill.client import summarize_unsaved, workflow_failed_error

    def look(client: Civitai, id: str) -> _Told:
        output.workflow_id = id if given.wait else None
        tell = event_printer(output)
        workflow = client.get(id)
        if given.wait and not workflow.done:
            workflow = client.wait(workflow, timeout=given.timeout, tell=tell)
        if given.wait or given.out:
            result = client.download(workflow, given.out or ".", tell=tell)
        else:
            result = summarize_unsaved(workflow)
            if workflow.fruitless or (workflow.done and workflow.status != "succeeded"):
                raise workflow_failed_error(result, workflow.wanted)
        return result.as_dict(), describe_result(result)

    return _for_each(given, output, look)


def _for_each(
    given: argparse.Namespace,
    output: Output,
    do: Callable[[Civitai, str], _Told],
    out: str | None = None,
) -> int:
    """Do it for every id that was given; the exit code is that of the first that failed."""
    from civitai_skill.client import Civitai

    told: list[_Told] = []
    code = 0
    ids = list(dict.fromkeys(given.ids))
    with Civitai(settings=load_settings(given)) as client:
        for id in ids:
            try:
                told.append(do(client, id))
            except CivitaiError as error:
                if len(ids) == 1:
                    raise
                explained = output.warn_of(error, f"{id}: ")
                told.append(({"id": id, **explained}, f"{id}: {error.message}"))
                code = code or error.exit_code
    if len(told) == 1:
        output.answer(*told[0], out)
        return 0
    data, lines = [data for data, _ in told], [text for _, text in told]
    output.answer({"results": data}, "\n".join(lines), out)
    return code


def add_query(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser, "query --take 5", "query --running", "query --tag holiday --since 7d --json"
    )
    tag = "only with this tag; repeatable"
    parser.add_argument("--tag", action="append", default=[], help=tag)
    values.add_shared(parser, "--take", 20, default=20)
    parser.add_argument("--cursor", help="where the last page ended (its `next`)")
    parser.add_argument("--running", action="store_true",
                        help="only those that have not ended")  # fmt: skip
    values.add_since(parser)


def query(given: argparse.Namespace, output: Output) -> None:
    """One page of past workflows."""
    from civitai_skill.client import Civitai, history_row, parse_since

    with Civitai(settings=load_settings(given)) as client:
        page = client.page(
            given.cursor,
            tags=given.tag,
            take=given.take,
            since=parse_since(given.since),
            running=given.running,
        )
        saved = client.saved_paths(page)
        rows = [{**history_row(w), "paths": saved.get(w.id or "", [])} for w in page.items]
    lines = [
        f"{r['id']}  {values.to_local_time(r['created'])}  {r['status']:<10}  "
        f"{r['engine'] or '?'} {r['variant'] or ''}  "
        f"{r['cost']} Buzz  {r['images']} pictures  {r['prompt']}"
        for r in rows
    ]
    if page.next:
        lines.append(f"more: --cursor {page.next}")
    data: dict[str, Any] = {"items": rows, "next": page.next}
    nothing = "nothing is running" if given.running else "no workflows"
    output.answer(data, "\n".join(lines) or nothing, given.out)


def add_cancel(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"cancel {_ID}", "cancel --all-running --tag birthday")
    values.add_shared(parser, "ids", nargs="*")
    parser.add_argument("--all-running", action="store_true",
                        help="every workflow of this account that has not ended, wherever it was "
                        "begun")  # fmt: skip
    parser.add_argument("--tag", action="append", default=[],
                        help="with --all-running: only with this tag; repeatable")  # fmt: skip


def cancel(given: argparse.Namespace, output: Output) -> int:
    """Cancel, and say what was refunded."""
    from civitai_skill.client import Civitai

    if bool(given.ids) == given.all_running or (given.tag and not given.all_running):
        accepted = "ids, or --all-running (with --tag, if wanted)"
        raise RequestInvalid(Problem("ID", " ".join(given.ids) or None, accepted))
    if given.all_running:
        with Civitai(settings=load_settings(given)) as client:
            running = client.query(tags=given.tag, running=True)
            given.ids = [workflow.id for workflow in running if workflow.id is not None]
        if not given.ids:
            output.answer({"results": []}, "nothing is running", given.out)
            return 0

    def stop(client: Civitai, id: str) -> _Told:
        canceled = client.cancel(id)
        return canceled.as_dict(), str(canceled)

    return _for_each(given, output, stop, given.out)


def add_release(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, f"release {_ID} --max-buzz 20")
    values.add_shared(parser, "ids")
    values.add_shared(parser, "--max-buzz", "refuse above N yellow Buzz each")


def release(given: argparse.Namespace, output: Output) -> int:
    """Accept a held mature result, after saying what it costs."""
    from civitai_skill.client import summarize_unsaved

    def accept(client: Civitai, id: str) -> _Told:
        def tell(event: Releasing) -> None:
            output.say(str(event))
            output.releasing = id

        output.workflow_id = None
        workflow = client.release(id, tell=tell)
        output.workflow_id = id
        result = summarize_unsaved(workflow)
        output.say(f"Released. {output.render(Look(id, save=True))}")
        return result.as_dict(), describe_result(result)

    return _for_each(given, output, accept, given.out)
