"""The frame of the command line: the commands, and what is refused before one of them runs.

Light: each command's flags stand beside its function and load only where the command is named.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from civitai_skill._version import __version__
from civitai_skill.adapters.cli.values import parse_path
from civitai_skill.errors import Problem, RequestInvalid

EXIT_CODES = """exit codes:
  0 done                         4 not enough Buzz, or over the limit
  1 a defect of civitai-skill    5 failed, blocked, canceled, expired, or fewer pictures
  2 request refused              6 still running at the deadline
  3 no key, or a bad one         7 the service or the network failed
  8 done, but its answer could not be written
  130 interrupted (the workflow goes on, its Buzz is committed); 143, 129 by SIGTERM, SIGHUP"""

#: Every command: the module here that has its function NAME and its flags, add_NAME.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "generate": ("pictures", "make pictures: price, submit, wait, save"),
    "batch": ("batch", "make every row of a file; the same command again goes on where it was"),
    "sweep": ("batch", "make every combination of values in a prompt; it goes on like batch"),
    "compare": ("batch", "make one prompt on several engines and put them on one sheet"),
    "again": ("pictures", "make a picture of ours once more, or vary it"),
    "remix": ("remix", "make one like a picture: its file, its page on Civitai, or its "
              "generation data as text; --go buys it"),
    "finish": ("pictures", "finish pictures: upscale, cut out, as SVG, exact pixels, captions"),
    "estimate": ("pictures", "say the price of a request; spends nothing"),
    "get": ("workflows", "look at a workflow, and save its pictures with --wait or --out"),
    "query": ("workflows", "list past workflows, newest first"),
    "cancel": ("workflows", "cancel a workflow and say what was refunded"),
    "resume": ("ledger", "finish what was left open: send, wait, download; nothing is bought "
               "twice"),
    "history": ("ledger", "list what was bought from this machine, from the ledger"),
    "spend": ("ledger", "sum what was spent from this machine, from the ledger"),
    "budget": ("ledger", "show or set the most that all calls together may spend"),
    "release": ("workflows", "accept a mature result that is held back (paid in yellow Buzz)"),
    "engines": ("engines", "list the engines, or describe one"),
    "choose": ("engines", "rank the engines for what the picture is for, with their prices; "
               "spends nothing"),
    "models": ("models", "find checkpoints and LoRAs that can be generated with, or tell all about "
               "one; spends nothing"),
    "doctor": ("engines", "check the set-up: key, service, sandbox, extras, and what to do next"),
    "sandbox": ("serve", "serve the sandbox on a port, for any client"),
    "mcp": ("serve", "serve the tools to an agent by MCP, over standard input and output or "
            "over HTTP"),
    "rest": ("serve", "serve the capability's REST interface, with OpenAPI, health and metrics"),
    "tools": ("tools", "print the tools' definitions for a framework that registers them itself"),
    "install-skill": ("skill", "copy the agent skills to where an agent looks for them"),
    "uninstall-skill": ("skill", "remove what install-skill copied"),
    "completion": ("skill", "print the completion of a shell for this command"),
    "install-mcp": ("hosts", "write the MCP server into the settings of a program that starts it"),
    "uninstall-mcp": ("hosts", "take it out of those settings again"),
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints turned into our errors."""

    def __init__(self, **given: Any) -> None:
        looks = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=looks, allow_abbrev=False, **given)

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse lets a broken stream pass, and the help with it.
        print(message, end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        raise RequestInvalid(
            Problem("command line", None, "", None, message), advice=f"See: {self.prog} --help"
        )


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line. Raises RequestInvalid; exits for --help and --version."""
    _check_argv(words)
    _check_order(words)
    parser, commands = build_parser([word for word in words if word in COMMANDS][:1])
    given, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise RequestInvalid(
            _unknown_word(unknown, given, commands[given.command]),
            advice=f"See: civitai-skill {given.command} --help",
        )
    return given


def _check_argv(words: Sequence[str]) -> None:
    """Refuse what argparse would misread, or nothing could send. Raises RequestInvalid."""
    for word in words:
        # Bytes that are not UTF-8 arrive as surrogates.
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in word):
            why = "is no text in UTF-8"
            raise RequestInvalid(Problem("command line", word, "words in UTF-8", None, why))
    flags = words[: words.index("--")] if "--" in words else words
    for word in flags:
        flag, equals, value = word.partition("=")
        if equals and value == "--" and flag.startswith("--"):
            # argparse gives the command an empty list for it.
            raise RequestInvalid(Problem(flag, value, "a value"))


def _check_order(words: Sequence[str]) -> None:
    """Refuse a command's flag that stands before the command. Raises RequestInvalid."""
    flag = words[0].partition("=")[0] if words else ""
    if not flag.startswith("--") or flag in ("--help", "--version"):
        return
    _, commands = build_parser(COMMANDS)
    having = [name for name, parser in commands.items() if flag in _list_flags(parser)]
    if having:
        meant = next((word for word in words if word in having), having[0])
        accepted = f"after the command: civitai-skill {meant} ... {flag}"
        why = "stands before the command"
        raise RequestInvalid(Problem(flag, None, accepted, None, why))


def _unknown_word(
    unknown: list[str], given: argparse.Namespace, command: argparse.ArgumentParser
) -> Problem:
    flag = unknown[0].partition("=")[0]
    if flag.startswith("-"):
        near = _nearest_flag(flag, _list_flags(command))
        return Problem(flag, None, "", near, "there is no such flag")
    if isinstance(prompt := getattr(given, "prompt", None), str) and given.command != "sweep":
        near = " ".join([prompt, *unknown]) if not any(w.startswith("-") for w in unknown) else None
        accepted = "the prompt as one word: put it in quotes"
        return Problem(flag, None, accepted, near, "one word too many")
    places = [str(a.metavar or a.dest) for a in command._actions if not a.option_strings]
    accepted = f"{' '.join(places)} and flags" if places else "flags alone"
    return Problem(flag, None, accepted, None, "one word too many")


def _list_flags(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _nearest_flag(flag: str, known: list[str]) -> str | None:
    """The flag that was probably meant. The dashes are no likeness."""
    from civitai_skill.schema.problems import nearest_name

    bare = [name.removeprefix("--").replace("-", "_") for name in known]
    near = nearest_name(flag.lstrip("-").replace("-", "_"), bare)
    found = None if near is None else f"--{near.replace('_', '-')}"
    return found if found in known else None


def build_parser(
    names: Collection[str],
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all commands, which has the flags of those that are named."""
    parser = _Parser(
        prog="civitai-skill",
        description="Pictures from Civitai's image engines: priced first, never paid twice.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"civitai-skill {__version__}")
    group = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands: dict[str, argparse.ArgumentParser] = {}
    for name, (home, text) in COMMANDS.items():
        command = group.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in names:
            module, function = import_module(f"{__package__}.{home}"), name.replace("-", "_")
            _add_common_flags(command)
            getattr(module, f"add_{function}")(command)
            command.set_defaults(run=getattr(module, function))
        commands[name] = command
    return parser, commands


def _add_common_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("everywhere")
    group.add_argument("--sandbox", action="store_true", help="use the sandbox: no key, no Buzz")
    group.add_argument("--json", action="store_true", help="JSON on standard output")
    group.add_argument("--quiet", action="store_true", help="nothing but errors on standard error")
    where = "where pictures go; other commands write their answer there as JSON"
    group.add_argument("--out", type=parse_path, metavar="DIR", help=where)
    group.add_argument("--ledger", type=parse_path, metavar="FILE",
                       help="another ledger than the user's own")  # fmt: skip
