"""The commands that tell what there is: engines, choose, doctor."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.request import load_settings
from civitai_skill.errors import Problem, RequestInvalid, TransportFailed
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.references import is_looked_up


def add_engines(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "engines", "engines flux2 --json", "engines --refresh --sandbox")
    parser.add_argument("name", nargs="?", help="one engine: variants, sizes, limits, prices")
    parser.add_argument("--refresh", action="store_true",
                        help="fetch what the service publishes of its engines, tell what is new; "
                             "it works from then on")  # fmt: skip


def engines(given: argparse.Namespace, output: Output) -> int:
    """The engine table, or one engine in full; or what is new at the service."""
    from civitai_skill import client

    if given.refresh:
        if given.name is not None:
            why = "all engines are refreshed at once"
            raise RequestInvalid(Problem("name", given.name, "leave it out", None, why))
        found = output.open_client(given).refresh_engines()
        output.answer(found.as_dict(), found.text(), given.out)
        return 0 if found.document else TransportFailed.exit_code
    if given.name is None:
        output.answer(client.list_engines(), client.table(), given.out)
    else:
        output.answer(client.describe_engine(given.name), client.card(given.name), given.out)
    return 0


def add_choose(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "choose poster --max-buzz 50",
        "choose edit --references 3",
        "choose --air urn:air:sdxl:lora:civitai:12345@67890 --aspect-ratio 16:9",
    )
    words = "such as photo, anime, poster, edit; a wrong one lists them all"
    parser.add_argument("needs", nargs="*", metavar="NEED", help=words)
    for flag, metavar, words, default in (
        ("width", "PX", "pixels that must be possible", None),
        ("height", "PX", "pixels that must be possible", None),
        ("max-buzz", "N", "the most that one picture may cost", None),
        ("references", "N", "how many source pictures there are (0)", 0),
        ("take", "N", "how many choices to name (3; of engines alone, every variant)", None),
    ):
        parser.add_argument(
            f"--{flag}", type=values.parse_count, metavar=metavar, help=words, default=default
        )
    parser.add_argument("--aspect-ratio", metavar="W:H", help="a ratio that must be possible")
    parser.add_argument("--air", help="a LoRA or checkpoint that must load: "
                        "AIR, page address, file hash or name:TEXT")  # fmt: skip
    parser.add_argument("--engine", action="append", default=[], dest="engines", metavar="NAME",
                        help="only this engine; repeatable")  # fmt: skip


def choose(given: argparse.Namespace, output: Output) -> None:
    """Rank the engines; nothing is sent."""
    from civitai_skill.client import choose_engine

    air = given.air
    if air is not None and is_looked_up(air):
        air = output.open_client(given).describe_model(air).chosen.air
    choices = choose_engine(
        given.needs,
        width=given.width,
        height=given.height,
        aspect_ratio=given.aspect_ratio,
        max_buzz=given.max_buzz,
        references=given.references,
        air=air,
        engines=given.engines or None,
        take=given.take,
    )
    rows = [{**choice.as_dict(), "flags": to_flags(choice.arguments)} for choice in choices]
    text = "\n".join(_choice_line(row, c) for row, c in zip(rows, choices, strict=True))
    output.answer({"choices": rows, "prompting": choices[0].prompting}, text, given.out)


def _choice_line(row: dict[str, Any], choice: Any) -> str:
    cheaper = f"\n  {choice.way}: {row['together']} Buzz together" if choice.way else ""
    return f"{row['flags']}\n  {choice.price}: {choice.reason}{cheaper}"


def to_flags(arguments: dict[str, Any]) -> str:
    """The fields of a request as flags of `generate` and `estimate`; a strength is of a FILE."""
    words: list[str] = ["--image", "FILE"] if "strength" in arguments else []
    for name, value in arguments.items():
        flag = next(field.flag for field in FIELDS if field.name == name)
        if value is True:
            words.append(flag)
        elif name == "options":
            for key, part in value.items():
                words += [flag, f"{key}={part if isinstance(part, str) else json.dumps(part)}"]
        else:
            for part in value if isinstance(value, list) else [value]:
                words += [flag, part["air"] if isinstance(part, dict) else str(part)]
    return shlex.join(words)


def add_doctor(parser: argparse.ArgumentParser) -> None:
    values.set_examples(parser, "doctor", "doctor --sandbox --json")


def doctor(given: argparse.Namespace, output: Output) -> int:
    """Check the set-up."""
    from civitai_skill.client import examine

    report = examine(load_settings(given))
    output.answer(report.as_dict(), report.text(), given.out)
    return report.exit_code
