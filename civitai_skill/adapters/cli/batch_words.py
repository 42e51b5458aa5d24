"""The words of batch, sweep and again. As light as the parser that calls it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Protocol

_MANY = "civitai_skill.adapters.cli.batch"


class _AddCommand(Protocol):
    def __call__(self, name: str, run: str, text: str, examples: str) -> argparse.ArgumentParser:
        """Add a command."""


class _AddRequestFlags(Protocol):
    def __call__(self, parser: argparse.ArgumentParser, *, prompt: bool = True) -> None:
        """Add the flags of a request."""


Kind = Callable[[str], Any]


def add_commands(
    command: _AddCommand,
    *,
    request: _AddRequestFlags,
    terms: Callable[[argparse.ArgumentParser], None],
    count: Kind,
    seconds: Kind,
) -> None:
    """Add the three commands."""
    batch = command(
        "batch",
        f"{_MANY}:batch",
        "make every row of a file; the same command again goes on where it was",
        "  civitai-skill batch rows.csv --out pictures --dry-run\n"
        "  civitai-skill batch rows.jsonl --out pictures --max-buzz 500\n"
        "  civitai-skill batch - --name animals --out pictures < rows.jsonl",
    )
    batch.add_argument(
        "file", metavar="FILE", help="JSON lines or CSV with the fields of a request; - reads it"
    )
    terms(batch)
    _add_run_flags(batch, count, seconds, "FILE's name")

    sweep = command(
        "sweep",
        f"{_MANY}:sweep",
        "make every combination of values in a prompt; it goes on like batch",
        '  civitai-skill sweep --prompt "a {animal} in {style}" --set animal=fox,owl '
        "--set style=@styles.txt --seeds 3 --out pictures\n"
        '  civitai-skill sweep --prompt "a lighthouse" --set engine=flux2,z-image --dry-run\n'
        '  civitai-skill sweep --prompt "a {a} {b}" --set a=red,blue --set b=fox,owl --mode zip',
    )
    sweep.add_argument("--prompt", required=True, metavar="TEXT", help="with {names} to fill in")
    sweep.add_argument("--set", action="append", default=[], dest="sets", metavar="NAME=A,B",
                       help="values of a {name} or of a field; @FILE has one a line; "
                       "repeatable")  # fmt: skip
    sweep.add_argument("--mode", default="product", metavar="M",
                       help="product (every combination), zip, or random")  # fmt: skip
    sweep.add_argument("--count", type=count, metavar="N", help="combinations that random draws")
    sweep.add_argument("--seeds", type=count, default=1, metavar="N",
                       help="pictures of each combination, each with its own seed (1)")  # fmt: skip
    request(sweep, prompt=False)
    terms(sweep)
    _add_run_flags(sweep, count, seconds, "sweep")

    again = command(
        "again",
        f"{_MANY}:again",
        "make a picture of a batch or sweep once more, or vary it",
        "  civitai-skill again pictures/3-flux2-77-0.jpeg --out more\n"
        "  civitai-skill again pictures/3-flux2-77-0.jpeg --seed 78 --quality high",
    )
    again.add_argument("picture", metavar="PICTURE", help="a picture with its NAME.json beside it")
    again.add_argument("--prompt", metavar="TEXT", help="another prompt")
    request(again, prompt=False)
    terms(again)
    again.add_argument("--again", action="store_true",
                       help="buy anew although the same request is still open")  # fmt: skip
    again.add_argument("--timeout", type=seconds, default=1200.0, metavar="S",
                       help="seconds to wait for the pictures (1200)")  # fmt: skip
    again.add_argument("--max-buzz", type=count, metavar="N",
                       help="refuse above N Buzz (CIVITAI_MAX_BUZZ, or 300)")  # fmt: skip


def _add_run_flags(parser: argparse.ArgumentParser, count: Kind, seconds: Kind, name: str) -> None:
    group = parser.add_argument_group("the run")
    group.add_argument("--dry-run", action="store_true",
                       help="check and price every row; buy nothing")  # fmt: skip
    group.add_argument("--max-buzz", type=count, metavar="N",
                       help="refuse when all rows together cost more than N "
                       "(CIVITAI_MAX_BUZZ, or 300)")  # fmt: skip
    group.add_argument("--name", metavar="NAME",
                       help=f"the same row under another name is bought anew ({name})")  # fmt: skip
    group.add_argument("--names", metavar="T", dest="template",
                       help="the pictures' names ({row}-{engine}-{seed}-{n}); also {id}, "
                       "{variant}, {batch}, {key}")  # fmt: skip
    group.add_argument("--csv", action="store_true", help="write results.csv as well")
    group.add_argument("--retry-failed", action="store_true",
                       help="buy once more what failed or expired")  # fmt: skip
    group.add_argument("--allow-unpriced", action="store_true",
                       help="let rows through whose price nobody tells")  # fmt: skip
    group.add_argument("--concurrency", type=count, default=16, metavar="N",
                       help="requests at once at most; the service's answers decide "
                       "below it (16)")  # fmt: skip
    group.add_argument("--in-flight", type=count, default=100, metavar="N",
                       help="rows under way at once (100)")  # fmt: skip
    group.add_argument("--timeout", type=seconds, default=1200.0, metavar="S",
                       help="seconds to wait for each row (1200)")  # fmt: skip
