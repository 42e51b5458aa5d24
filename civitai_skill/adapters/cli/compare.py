"""The command for comparisons: one prompt on several engines, or pictures that are there."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from civitai_skill.adapters.cli import request, values
from civitai_skill.adapters.cli.batch import exit_code_of, print_plan, run_shown
from civitai_skill.adapters.cli.output import Output
from civitai_skill.errors import Problem, RequestInvalid


def add_compare(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        'compare "a lighthouse in a storm" --engines flux2,z-image,sdxl:juggernaut --dry-run',
        'compare "a shop sign that says OPEN" --engines qwen,seedream --out signs --max-buzz 100',
        "compare --picture a.png --picture b.png --out sheets",
    )
    parser.add_argument("prompt", nargs="?", metavar="PROMPT",
                        help="what should be in the pictures")  # fmt: skip
    parser.add_argument("--engines", metavar="A,B:C",
                        help="the engines, each with :VARIANT if wanted")  # fmt: skip
    parser.add_argument("--picture", action="append", default=[], type=values.parse_path,
                        dest="pictures", metavar="FILE",
                        help="instead: a picture that is there already; repeatable, "
                        "free")  # fmt: skip
    request.add_flags(parser)
    group = parser.add_argument_group("the run")
    group.add_argument("--dry-run", action="store_true", help="price it; buy nothing")
    values.add_shared(group, "--max-buzz", "refuse when all of them together cost more than N")
    values.add_shared(group, "--timeout", " for each picture")


def compare(given: argparse.Namespace, output: Output) -> int:
    """Price, buy as one batch, wait, and put everything on one sheet."""
    fields = request.request_fields(given)
    if given.pictures:
        if given.prompt or given.engines or fields:
            why = "pictures that are there already are only put on a sheet"
            raise RequestInvalid(Problem("--picture", None, "it alone, with --out", None, why))
        _only_sheet(given, output)
        return 0
    if not given.prompt or not given.engines or {"engine", "variant"} & fields.keys():
        accepted = 'a prompt and --engines A,B, such as: compare "a fox" --engines flux2,sdxl'
        raise RequestInvalid(Problem("engines", given.engines, accepted))
    from civitai_skill.batch.compare import acompare

    engines = [name for name in given.engines.split(",") if name.strip()]
    made = run_shown(given, output, partial(acompare, given.prompt, engines, fields=fields))
    if isinstance(made, int):
        return made
    if given.dry_run:
        print_plan(output, made.report)
        return 0
    data = made.as_dict()
    output.answer(data, f"{made.sheet}: {data['pictures']} pictures, {data['cost']} Buzz")
    return exit_code_of(made.report, False)


def _only_sheet(given: argparse.Namespace, output: Output) -> None:
    from civitai_skill.gallery.sheet import Entry, write_sheet

    output.sandbox = False  # nothing is asked of anybody
    entries = [Entry(Path(name), (Path(name).name,)) for name in given.pictures]
    sheet = write_sheet(entries, Path(given.out or ".") / "compare.jpeg")
    output.answer({"sheet": str(sheet), "pictures": given.pictures}, str(sheet))
