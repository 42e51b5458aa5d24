"""The command `choose`: engines for a need, best first, with the flags to pass on."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from civitai_skill.adapters.cli.output import Output


def choose(given: argparse.Namespace, output: Output) -> int:
    """Rank the engines; nothing is sent."""
    from civitai_skill.choose import choose_engine

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
    rows = [{**choice.as_dict(), "flags": flags(choice.arguments)} for choice in choices]
    text = "\n".join(f"{row['flags']}\n  {c.price}: {c.reason}" for row, c in zip(rows, choices))
    output.answer({"choices": rows, "prompting": choices[0].prompting}, text, given.out)
    return 0


def flags(arguments: dict[str, Any]) -> str:
    """The fields of a request as flags of `generate` and `estimate`."""
    words: list[str] = []
    for name, value in arguments.items():
        if name == "loras":
            words += [word for lora in value for word in ("--lora", lora["air"])]
        else:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
