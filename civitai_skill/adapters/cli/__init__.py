"""The command line: `civitai-skill COMMAND ...`.

JSON on standard output (with --json, and whenever it is not a terminal), words on standard error,
one exit code for each kind of ending. Nothing here decides: commands call the client and print.
Each command's flags (add_NAME) and function (NAME, which gives an exit code that is not 0) stand in
one module; parser.py lists them all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from civitai_skill.adapters.cli.interrupts import Interrupts

if TYPE_CHECKING:
    from civitai_skill.adapters.cli.output import Output

#: The exit code that is no error of the tree and no signal.
DEFECT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Without `argv` it is this process's command."""
    interrupts = Interrupts()
    if argv is None:
        interrupts.catch()
    # Loaded once the signals are held: an interruption while it loads is told like any other.
    from civitai_skill.adapters.cli.output import Output
    from civitai_skill.adapters.cli.streams import wrap_streams

    words = list(sys.argv[1:] if argv is None else argv)
    with wrap_streams():
        code = _run_command(words, Output.for_argv(words, interrupts))
    interrupts.ignore()
    return code


def _run_command(words: list[str], output: Output) -> int:
    from civitai_skill.adapters.cli.output import Output
    from civitai_skill.adapters.cli.parser import parse
    from civitai_skill.errors import AnswerLost, CivitaiError

    interrupts, answered = output.interrupts, False
    try:
        try:
            interrupts.release()
            given = parse(words)
            output = Output(given, interrupts)
            output.check_folder(given.out)
            if getattr(given, "sandbox", False):  # else it is what the environment names
                from civitai_skill.adapters.cli.request import follow_settings

                follow_settings(given)
            code: int = given.run(given, output) or 0
            answered = True
            return code
        except CivitaiError as error:
            if interrupts.number is None:
                interrupts.hold()
                answered = not isinstance(error, AnswerLost)
                return output.report_error(error)
            raise KeyboardInterrupt from None  # what an interruption broke on its way
        except Exception:
            if interrupts.number is None:
                interrupts.hold()
                output.report_defect()
                return DEFECT
            raise KeyboardInterrupt from None
    except KeyboardInterrupt:
        output.report_interrupt()
        return interrupts.exit_code
    finally:
        output.close_client(answered)
