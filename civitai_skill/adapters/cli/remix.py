"""remix: a picture's generation data, a text or a page in; a request out, and bought with --go."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import request, values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.pictures import describe_result, purchase_terms
from civitai_skill.errors import RequestInvalid

if TYPE_CHECKING:
    from civitai_skill.client import Remix


def add_remix(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "remix https://civitai.com/images/127883707",
        "remix forge.png --seed 7 --out pictures --go",
        "remix - --engine flux2 < parameters.txt",
    )
    parser.add_argument("source", metavar="SOURCE",
                        help="a picture's file, the address of its page, or the text; - reads a "
                        "text")  # fmt: skip
    parser.add_argument("--go", action="store_true", help="buy it; without, it is only shown")
    values.add_shared(parser, "--prompt")
    request.add_flags(parser)
    values.add_buying(parser)


def remix(given: argparse.Namespace, output: Output) -> None:
    """Show what would be made, or make it."""
    changes = request.request_fields(given)
    if given.prompt is not None:
        changes["prompt"] = given.prompt
    source = request.read_input("source") if given.source == "-" else given.source
    client = output.open_client(given)
    made = client.remix(source, **changes)
    if not given.go:
        output.answer(made.as_dict(), describe_remix(made))
        return
    asked = made.request
    for change in made.changes:
        output.say(f"{change.what}: {change.as_dict()['why']}")
    buying = {**purchase_terms(given, output), "notes": True}
    result = client.generate(asked, timeout=given.timeout, **buying)
    output.answer(result.as_dict(), describe_result(result, output.told))


def describe_remix(made: Remix) -> str:
    """What was read, what is carried, changed, left out and asked for, in lines."""
    fields = dict(made.fields)
    lines = [f"{made.reading.dialect}: {fields.pop('prompt') or '(no prompt)'}"]
    lines += [f"  {name}: {_in_short(value)}" for name, value in fields.items()]
    lines += [f"  {each.kind} {each.label} by {each.how}" for each in made.resources]
    changed = [change for change in made.changes if change.became is not None]
    left_out = [change for change in made.changes if change.became is None]
    for title, changes in (("Changed", changed), ("Left out, or to know", left_out)):
        if changes:
            lines.append(f"{title}:")
            lines += [f"  {change.what}: {change.as_dict()['why']}" for change in changes]
    for each in made.unresolved:
        name = each["name"] or each["hash"] or "none is named"
        flag = {"checkpoint": "--model", "lora": "--lora", "vae": "--vae"}.get(
            each["kind"], "--embedding"
        )
        lines.append(f"Not found: {each['kind']} {name}. Name it with {flag} AIR.")
    try:
        _ = made.request
        lines.append("--go makes it.")
    except RequestInvalid as error:
        lines.append(f"It can't be made yet. {error}")
    return "\n".join(lines)


def _in_short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(
            f"{v['air']}={v['strength']:g}" if isinstance(v, dict) else str(v) for v in value
        )
    return str(value)
