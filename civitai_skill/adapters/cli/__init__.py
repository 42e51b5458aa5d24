"""The command line: `civitai-skill COMMAND ...`.

JSON on standard output (with --json, and whenever it is not a terminal), words on standard error,
one exit code for each kind of ending. Nothing here decides: commands call the client and print.
Each command's flags (add_NAME) and function (NAME) stand in one module; parser.py lists them all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.parser import parse
from civitai_skill.adapters.cli.streams import wrap_streams
from civitai_skill.errors import CivitaiError

#: Exit codes that are no error of the tree.
INTERRUPTED = 130
DEFECT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with wrap_streams():
        return _run_command(words, Output.for_argv(words))


def _run_command(words: list[str], output: Output) -> int:
    try:
        given = parse(words)
        output = Output(given)
        output.check_folder(given.out)
        return int(given.run(given, output))
    except CivitaiError as error:
        return output.report_error(error)
    except KeyboardInterrupt:
        output.report_interrupt()
        return INTERRUPTED
    except Exception:
        output.report_defect()
        return DEFECT
