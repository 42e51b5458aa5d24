"""The commands: arguments to a client call, its result to the output."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.parser import REQUEST_FIELDS
from civitai_skill.adapters.cli.streams import ignore_lost_answers
from civitai_skill.config import Settings
from civitai_skill.errors import Problem, RequestInvalid

if TYPE_CHECKING:
    from civitai_skill.api.models import Workflow
    from civitai_skill.purchase.events import Releasing

# Characters of a prompt that is read; no engine takes as many.
_LONGEST = 1_000_000


def generate(given: argparse.Namespace, output: Output) -> int:
    """Price, submit, wait, save; or submit only."""
    from civitai_skill.client.clients import Civitai

    request = build_request(given)
    with Civitai(settings=load_settings(given)) as client:
        buying = {
            **request_terms(given),
            "max_buzz": given.max_buzz,
            "tell": event_printer(output),
            "again": given.again,
            "purpose": "generate",
        }
        out = given.out or "."
        if given.no_wait:
            client.submit(request, told=partial(_print_submitted, output), out=out, **buying)
            return 0
        result = client.generate(request, out=out, timeout=given.timeout, **buying)
    output.answer(result.as_dict(), describe_result(result))
    return 0


def _print_submitted(output: Output, workflow: Workflow) -> None:
    from civitai_skill.purchase.result import summarize_unsaved

    output.say(f"Submitted. Go on with: civitai-skill get {workflow.id} --wait")
    result = replace(summarize_unsaved(workflow), resumed=output.resumed)
    output.answer(result.as_dict(), f"{workflow.id}: {workflow.status}")


def estimate(given: argparse.Namespace, output: Output) -> int:
    """The documented price, and the service's own unless --offline."""
    from civitai_skill.client.clients import Civitai
    from civitai_skill.purchase.body import Terms
    from civitai_skill.purchase.order import Order
    from civitai_skill.purchase.prepare import prepare

    request = build_request(given)
    decided = prepare(Order(request, Terms(**request_terms(given)))).plan
    assert decided is not None, "a request is planned"
    data: dict[str, Any] = {
        "engine": decided.family,
        "variant": decided.variant,
        "route": decided.route,
        "operation": decided.operation,
        "offline": decided.price.as_dict(),
    }
    text = f"{decided.family} {decided.variant}: {decided.price}, by the documented rule"
    if not given.offline:
        with Civitai(settings=load_settings(given)) as client:
            quote = client.estimate(request, **request_terms(given, filed=False))
        data["service"] = quote.as_dict()
        text = f"{decided.family} {decided.variant}: {quote.total} Buzz, says the service"
        if quote.insufficient_buzz:
            text += "; the account has not enough"
    for kind in ("notes", "warnings"):
        if getattr(decided, kind):
            data[kind] = list(getattr(decided, kind))
    output.answer(data, text, given.out)
    return 0


def get(given: argparse.Namespace, output: Output) -> int:
    """Look at a workflow; with --wait or --out, bring its pictures home."""
    from civitai_skill.client.clients import Civitai
    from civitai_skill.purchase.result import summarize_unsaved, workflow_failed_error

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


def query(given: argparse.Namespace, output: Output) -> int:
    """One page of past workflows."""
    from civitai_skill.client.clients import Civitai
    from civitai_skill.client.history import history_row, parse_since

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


def cancel(given: argparse.Namespace, output: Output) -> int:
    """Cancel, and say what was refunded."""
    from civitai_skill.client.clients import Civitai

    with Civitai(settings=load_settings(given)) as client:
        canceled = client.cancel(given.id)
    output.answer(canceled.as_dict(), str(canceled), given.out)
    return 0


def release(given: argparse.Namespace, output: Output) -> int:
    """Accept a held mature result, after saying what it costs."""
    from civitai_skill.client.clients import Civitai
    from civitai_skill.purchase.result import summarize_unsaved

    def tell(event: Releasing) -> None:
        output.say(str(event))
        output.releasing = given.id

    with Civitai(settings=load_settings(given)) as client:
        workflow = client.release(given.id, max_buzz=given.max_buzz, tell=tell)
    output.workflow_id = given.id
    result = summarize_unsaved(workflow)
    output.say(f"Released. Fetch it with: civitai-skill get {given.id} --out FOLDER")
    output.answer(result.as_dict(), describe_result(result), given.out)
    return 0


def engines(given: argparse.Namespace, output: Output) -> int:
    """The engine table, or one engine in full."""
    from civitai_skill.engines.cards import card, table
    from civitai_skill.engines.index import list_engines

    if given.name is None:
        output.answer(list_engines(), table(), given.out)
    else:
        from civitai_skill.engines.describe import describe_engine

        output.answer(describe_engine(given.name), card(given.name), given.out)
    return 0


def doctor(given: argparse.Namespace, output: Output) -> int:
    """Check the set-up."""
    from civitai_skill.client.doctor import examine

    report = examine(load_settings(given))
    output.answer(report.as_dict(), report.text(), given.out)
    return report.exit_code


def sandbox(given: argparse.Namespace, output: Output) -> int:
    """Serve the sandbox until interrupted."""
    from civitai_skill.sandbox import Sandbox, Switches
    from civitai_skill.sandbox.port import serve
    from civitai_skill.servers.access import open_listener, ready_line

    settings = load_settings(given)
    ignore_lost_answers()
    box = Sandbox(
        settings.home / "sandbox.sqlite3",
        seconds_per_job=given.seconds_per_job,
        balance=given.balance,
        switches=Switches(**dict(given.switches)),
    )
    with open_listener(given.host, given.port) as listener:
        serve(box, listener, ready_line("sandbox", listener))
    return 0


# -- from words to values ------------------------------------------------------------------
def load_settings(given: argparse.Namespace) -> Settings:
    return Settings.load(sandbox=True if given.sandbox else None, ledger=given.ledger)


def build_request(given: argparse.Namespace) -> Any:
    from civitai_skill.schema.request import ImageRequest

    prompt = _read_prompt() if given.prompt == "-" else given.prompt
    return ImageRequest(prompt=prompt, **request_fields(given))


def _read_prompt() -> str:
    """The prompt from standard input. Raises RequestInvalid."""
    try:
        text = sys.stdin.read(_LONGEST + 1)
        why = "" if len(text) <= _LONGEST else f"longer than {_LONGEST} characters"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
    if why:
        accepted = "a prompt on standard input"
        raise RequestInvalid(Problem("prompt", "-", accepted, None, why))
    return text


def request_fields(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that were said, without the prompt."""
    fields = {name: getattr(given, name) for name in REQUEST_FIELDS}
    fields = {name: value for name, value in fields.items() if value not in (None, [])}
    if given.options:
        from civitai_skill.engines.planning.options import typed

        fields["options"] = typed(given.options)
    return fields


def request_terms(given: argparse.Namespace, *, filed: bool = True) -> dict[str, Any]:
    """What surrounds a request."""
    terms: dict[str, Any] = {
        "priority": given.priority,
        "currencies": given.currencies or None,
        "allow_mature_content": True if given.allow_mature else None,
    }
    if filed:
        terms["tags"] = given.tags
    return terms


def event_printer(output: Output) -> Any:
    from civitai_skill.purchase.events import Priced, Quoted, Resumed, Submitted, Submitting
    from civitai_skill.purchase.result import Picture

    def tell(event: Any) -> None:
        if isinstance(event, Priced):
            output.say(f"Price: {event}")
            for warning in event.plan.warnings:
                output.say(f"Warning: {warning}")
        elif isinstance(event, Quoted):
            output.say(f"Price: {event}")
        elif isinstance(event, Submitting):
            output.key, output.workflow_id = event.key, None
        elif isinstance(event, Submitted):
            output.workflow_id = event.workflow.id
            output.say(f"Submitted as {event.workflow.id}")
        elif isinstance(event, Resumed):
            output.resumed = True
            output.workflow_id = event.run.workflow
            output.say(str(event))
        elif isinstance(event, Picture):
            output.say(f"Saved {event.path} ({event.width}x{event.height})")
        else:
            output.progress(str(event))

    return tell


def describe_result(result: Any) -> str:
    lines = [f"{result.id}: {result.status}"]
    for picture in result.pictures:
        where = picture.path or picture.url if picture.available else picture.reason
        seed = f", seed {picture.seed}" if picture.seed is not None else ""
        lines.append(f"  {where} ({picture.width}x{picture.height}{seed})")
    total = result.workflow.cost.total
    if total is not None:
        lines.append(f"  {total} Buzz")
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)
