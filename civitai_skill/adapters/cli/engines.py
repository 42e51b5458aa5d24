"""The command `choose`: engines for a need, best first, with the flags to pass on."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any

from civitai_skill.adapters.cli.output import Output

_EXAMPLES = """\
  civitai-skill choose poster --max-buzz 50
  civitai-skill choose edit --references 3
  civitai-skill choose --air urn:air:sdxl:lora:civitai:12345@67890 --aspect-ratio 16:9"""


def add_command(
    command: Callable[..., argparse.ArgumentParser], count: Callable[[str], int]
) -> None:
    """Add the command to the parser; `count` reads a whole number."""
    text = "rank the engines for what the picture is for, with their prices; spends nothing"
    command_parser = command("choose", f"{__name__}:choose", text, _EXAMPLES)
    words = "such as photo, anime, poster, edit; a wrong one lists them all"
    command_parser.add_argument("needs", nargs="*", metavar="NEED", help=words)
    for flag, metavar, words in (
        ("width", "PX", "pixels that must be possible"),
        ("height", "PX", "pixels that must be possible"),
        ("max-buzz", "N", "the most that one picture may cost"),
        ("references", "N", "how many source pictures there are (0)"),
        ("take", "N", "how many choices to name (3)"),
    ):
        default = {"references": 0, "take": 3}.get(flag)
        command_parser.add_argument(
            f"--{flag}", type=count, metavar=metavar, help=words, default=default
        )
    command_parser.add_argument(
        "--aspect-ratio", metavar="W:H", help="a ratio that must be possible"
    )
    command_parser.add_argument("--air", help="a LoRA or checkpoint that must load")
    command_parser.add_argument(
        "--engine",
        action="append",
        default=[],
        dest="engines",
        metavar="NAME",
        help="only this engine; repeatable",
    )


def choose(given: argparse.Namespace, output: Output) -> int:
    """Rank the engines; nothing is sent."""
    from civitai_skill.engines.choose import choose_engine

    choices = choose_engine(
        given.needs,
        width=given.width,
        height=given.height,
        aspect_ratio=given.aspect_ratio,
        max_buzz=given.max_buzz,
        references=given.references,
        air=given.air,
        engines=given.engines or None,
        take=given.take,
    )
    rows = [{**choice.as_dict(), "flags": to_flags(choice.arguments)} for choice in choices]
    text = "\n".join(
        f"{row['flags']}\n  {c.price}: {c.reason}" for row, c in zip(rows, choices, strict=True)
    )
    output.answer({"choices": rows, "prompting": choices[0].prompting}, text, given.out)
    return 0


def to_flags(arguments: dict[str, Any]) -> str:
    """The fields of a request as flags of `generate` and `estimate`; a strength is of a FILE."""
    words: list[str] = ["--image", "FILE"] if "strength" in arguments else []
    for name, value in arguments.items():
        if name == "loras":
            words += [word for lora in value for word in ("--lora", lora["air"])]
        else:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
