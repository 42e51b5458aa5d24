"""The command line: `civitai-skill COMMAND ...`.

JSON on standard output (with --json, and whenever it is not a terminal), words on standard error,
one exit code for each kind of ending. Nothing here decides: commands call the client and print.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.parser import parse
from civitai_skill.adapters.cli.streams import Unheard, told
from civitai_skill.errors import CivitaiError

#: Exit codes that are no error of the tree. The last is what a shell reports for a program whose
#: reader has gone.
INTERRUPTED = 130
DEFECT = 1
UNHEARD = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output.for_words(words)
    try:
        given = parse(words)
        output = Output(given)
        module, _, function = given.run.rpartition(":")
        command = getattr(import_module(module), function)
        return int(command(given, output))
    except SystemExit as ended:  # --help and --version
        return _helped(ended)
    except CivitaiError as error:
        return output.failure(error)
    except KeyboardInterrupt:
        output.interrupted()
        return INTERRUPTED
    except Unheard as error:
        output.unheard(error)
        return UNHEARD
    except Exception:
        output.defect()
        return DEFECT


def _helped(ended: SystemExit) -> int:
    try:
        told("", end="")
    except Unheard:
        return UNHEARD
    return int(ended.code or 0)
