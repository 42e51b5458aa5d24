"""The commands that make pictures, price or finish them: generate, again, estimate, finish."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import request, values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors.next_steps import Look
from civitai_skill.schema.fields import FIELDS, FINISH_FIELDS

if TYPE_CHECKING:
    from civitai_skill.client import Workflow


def add_generate(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        'generate "a red fox in the snow" --aspect-ratio 16:9 --out pictures',
        'generate "make it winter" --image photo.jpg --engine flux2',
        'generate "a poster that says OPEN" --engine qwen --max-buzz 40 --json',
        'generate "a fox" --sandbox',
    )
    values.add_shared(parser, "prompt", FIELDS[0].help)
    request.add_flags(parser)
    values.add_shared(parser, "--no-wait")
    values.add_shared(parser, "--keep-all")
    values.add_buying(parser)


def generate(given: argparse.Namespace, output: Output) -> None:
    """Price, submit, wait, save; or submit only."""
    asked = request.build_request(given)
    client = output.open_client(given)
    buying = {**purchase_terms(given, output), "keep_all": given.keep_all, "notes": True}
    if given.no_wait:
        client.submit(asked, told=partial(print_submitted, output), **buying)
    else:
        result = client.generate(asked, timeout=given.timeout, **buying)
        output.answer(result.as_dict(), describe_result(result, output.told))


def purchase_terms(given: argparse.Namespace, output: Output) -> dict[str, Any]:
    """What surrounds a purchase: its terms, its rules, where the pictures go, who hears of it."""
    return {
        **request.request_terms(given),
        "out": given.out or ".",
        "tell": event_printer(output),
        "again": given.again,
        "purpose": given.command,
        "max_buzz": given.max_buzz,
    }


def print_submitted(output: Output, workflow: Workflow) -> None:
    from civitai_skill.client import summarize_unsaved

    output.say(f"Submitted. {output.render(Look(workflow.id))}")
    result = replace(summarize_unsaved(workflow), resumed=output.resumed)
    output.answer(result.as_dict(), f"{workflow.id}: {workflow.status}")


def add_again(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "again pictures/3-flux2-77-0.jpeg --out more",
        "again pictures/3-flux2-77-0.jpeg --seed 78 --quality high",
    )
    parser.add_argument("picture", type=values.parse_path, metavar="PICTURE",
                        help="a picture that was made here, whatever it is called now")  # fmt: skip
    values.add_shared(parser, "--prompt")
    request.add_flags(parser)
    values.add_buying(parser)


def again(given: argparse.Namespace, output: Output) -> None:
    """One picture once more, with what was said otherwise."""
    changes = request.request_fields(given)
    if given.prompt is not None:
        changes["prompt"] = given.prompt
    client = output.open_client(given)
    buying = {**changes, **purchase_terms(given, output)}
    result = client.again(given.picture, timeout=given.timeout, **buying)
    output.answer(result.as_dict(), describe_result(result, output.told))


def add_estimate(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        'estimate "a fox" --engine seedream',
        'estimate "a fox" --quality high --offline',
        'estimate "a product shot" --count 50',
    )
    values.add_shared(parser, "prompt", FIELDS[0].help)
    request.add_flags(parser)
    parser.add_argument("--offline", action="store_true",
                        help="by the documented rule, without asking the service")  # fmt: skip
    parser.add_argument("--count", type=values.parse_count, metavar="N",
                        help="also say what N such requests cost together")  # fmt: skip


def estimate(given: argparse.Namespace, output: Output) -> None:
    """The documented price, and the service's own unless --offline; of `--count` such requests."""
    from civitai_skill.client import Civitai, Order, Terms, cheaper_way, prepare

    asked, terms = request.build_request(given), request.request_terms(given)
    quote = None
    if given.offline:
        decided = prepare(Order(asked, Terms(**terms))).plan
    else:
        Terms(**terms).around()  # refused before anything is asked
        with Civitai(settings=request.load_settings(given)) as client:
            del terms["tags"]
            quote = client.estimate(asked, **terms)
        decided = quote.plan
    assert decided is not None, "a request is planned"
    data: dict[str, Any] = {
        "engine": decided.family,
        "variant": decided.variant,
        "route": getattr(decided, "route", None),
        "operation": decided.operation,
        "offline": decided.price.as_dict(),
    }
    if decided.size is not None:
        data["size"] = "{}x{}".format(*decided.size)
    text = f"{decided.title}: {decided.price}, by the documented rule"
    one = decided.price.most
    if quote is not None:
        data["service"] = quote.as_dict()
        most = "at most " if quote.cost.variable else ""
        text = f"{decided.title}: {most}{quote.total} Buzz, {quote.teller}"
        one = quote.total
        if quote.insufficient_buzz:
            text += "; the account has not enough"
    if given.count is not None:
        together = None if one is None else one * given.count
        pictures = decided.quantity * given.count
        data |= {"count": given.count, "pictures": pictures, "together": together}
        text += f"; {given.count} of them, {pictures} pictures: {together or '?'} Buzz"
    for kind in ("notes", "warnings"):
        if getattr(decided, kind):
            data[kind] = list(getattr(decided, kind))
    if given.count is not None and (cheaper := cheaper_way(asked, given.count)):
        data["notes"] = [*data.get("notes", ()), cheaper]
        text += f"\n  {cheaper}"
    warnings = [*decided.warnings, *data.get("service", {}).get("warnings", ())]
    text += "".join(f"\n  warning: {warning}" for warning in dict.fromkeys(warnings))
    output.answer(data, text, given.out)


def add_finish(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "finish photo.jpg --upscale 1 --out pictures",
        "finish logo.png --remove-background --exact 256x256",
        "finish photo.png --format jpeg --quality 80 --width 1200",
        "finish a.png b.png --caption --price",
    )
    parser.add_argument("images", nargs="+", type=values.parse_path, metavar="PICTURE",
                        help="a picture: a file, an https or a data URL")  # fmt: skip
    request.add_flags(parser, FINISH_FIELDS[1:], "what becomes of them")
    parser.add_argument("--price", action="store_true", help="say the price, and buy nothing")
    values.add_shared(parser, "--no-wait")
    values.add_shared(parser, "--keep-all")
    values.add_buying(parser, "")


def finish(given: argparse.Namespace, output: Output) -> None:
    """Convert here, price, submit, wait, save; or submit only; or price only."""
    from civitai_skill.schema.finish_request import FinishRequest

    asked = FinishRequest(images=given.images, **request.request_fields(given, FINISH_FIELDS[1:]))
    client = output.open_client(given)
    if given.price:
        terms = request.request_terms(given)
        del terms["tags"]
        quote = client.estimate(asked, **terms)
        data = {"what": quote.plan.title, "offline": quote.plan.price.as_dict()}
        data["service"] = quote.as_dict()
        if quote.plan.notes:
            data["notes"] = list(quote.plan.notes)
        text = f"{quote.plan.title}: {quote.total} Buzz ({quote.plan.price})"
        output.answer(data, "\n".join([text, *quote.plan.notes]))
        return
    buying = {**purchase_terms(given, output), "keep_all": given.keep_all}
    if given.no_wait:
        client.submit(asked, told=partial(print_submitted, output), **buying)
    else:
        result = client.finish(asked, timeout=given.timeout, **buying)
        output.answer(result.as_dict(), describe_result(result, output.told))


def event_printer(output: Output) -> Any:
    """Tells what happens on the way of a purchase, and keeps what an ending must say."""
    from civitai_skill.client import (
        Asking,
        Charged,
        LeftOpen,
        Picture,
        Priced,
        Quoted,
        Resumed,
        Submitted,
        Submitting,
    )

    def tell(event: Any) -> None:
        if isinstance(event, Priced | Quoted):
            output.say(f"Price: {event}")
            for warning in event.warnings:
                output.say_once("Warning", warning)
            if isinstance(event, Priced) and event.quote is None:
                for note in event.plan.notes:
                    output.say_once("Plan", note)
        elif isinstance(event, Submitting):
            output.key, output.workflow_id = event.key, None
        elif isinstance(event, Submitted):
            output.workflow_id = event.workflow.id
            output.say(f"Submitted as {event.workflow.id}")
        elif isinstance(event, Resumed):
            output.resumed = True
            output.workflow_id = event.run.workflow
            output.say(str(event))
        elif isinstance(event, LeftOpen | Charged):
            output.warn(str(event))
        elif isinstance(event, Asking):
            output.say(f"Price: {event}")
        elif isinstance(event, Picture):
            size = f" ({event.width}x{event.height})" if event.width else ""
            output.say(f"Saved {event.path}{size}")
        else:
            output.progress(str(event))

    return tell


def describe_result(result: Any, told: Collection[str] = ()) -> str:
    """What a workflow gave, in lines, without the notes and warnings that were told before."""
    lines = [f"{result.id}: {result.status}"]
    for picture in result.pictures:
        where = picture.path or picture.url if picture.available else picture.reason
        seed = f", seed {picture.seed}" if picture.seed is not None else ""
        size = f"{picture.width}x{picture.height}" if picture.width else "no pixels"
        lines.append(f"  {where} ({size}{seed})")
        if picture.available and picture.reason:
            lines.append(f"    {picture.reason}")
    if result.enhanced_prompt is not None:
        lines.append(f"  drawn from: {result.enhanced_prompt}")
    lines += [f"  {line}" for line in _describe_words(result.outputs)]
    total = result.workflow.cost.total
    if total is not None:
        lines.append(f"  {total} Buzz")
    lines += [f"  note: {note}" for note in result.notes if note not in told]
    lines += [f"  warning: {text}" for text in result.warnings if text not in told]
    return "\n".join(lines)


def _describe_words(outputs: Any) -> list[str]:
    """Captions, tags and ratings, a line each."""
    lines = []
    for output in outputs:
        about = f"picture {output['picture']}: " if "picture" in output else ""
        if "caption" in output:
            lines.append(f"{about}{output['caption']}")
        tags = output.get("tags")
        if isinstance(tags, dict):
            lines.append(f"{about}{', '.join(tags)}")
        if "nsfwLevel" in output:
            lines.append(f"{about}rated {output['nsfwLevel']}")
    return lines
