"""The command that finishes pictures that are there: finish."""

from __future__ import annotations

import argparse
from functools import partial

from civitai_skill.adapters.cli import request, values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.pictures import describe_result, print_submitted, purchase_terms
from civitai_skill.schema.fields import FINISH_FIELDS

_FIELDS = FINISH_FIELDS[1:]


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
    request.add_flags(parser, _FIELDS, "what becomes of them")
    parser.add_argument("--price", action="store_true", help="say the price, and buy nothing")
    values.add_shared(parser, "--no-wait")
    values.add_shared(parser, "--keep-all")
    values.add_shared(parser, "--again", "")
    values.add_shared(parser, "--timeout", " for the pictures")
    values.add_shared(parser, "--max-buzz", values.ABOVE)


def finish(given: argparse.Namespace, output: Output) -> None:
    """Convert here, price, submit, wait, save; or submit only; or price only."""
    from civitai_skill.schema.finish_request import FinishRequest

    asked = FinishRequest(images=given.images, **request.request_fields(given, _FIELDS))
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
