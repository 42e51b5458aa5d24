"""Words into arguments. Light on purpose: --help loads nothing but this and argparse."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from civitai_skill._version import __version__
from civitai_skill.adapters.cli import batch_words, engines, serve, skill, values
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.sandbox import switches

_COMMANDS = "civitai_skill.adapters.cli.pictures"
_LEDGER = "civitai_skill.adapters.cli.ledger"

EXIT_CODES = """exit codes:
  0 done                         4 not enough Buzz, or over the limit
  1 a defect of civitai-skill    5 failed, blocked, canceled, expired, or fewer pictures
  2 request refused              6 still running at the deadline
  3 no key, or a bad one         7 the service or the network failed
  8 done, but its answer could not be written
  130 interrupted (the workflow goes on, its Buzz is committed)"""

_SINCE = "7d, 12h, 30m or 2w back from now, or an ISO date (UTC)"


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints turned into our errors."""

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse lets a broken stream pass, and the help with it.
        print(message, end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        raise RequestInvalid(
            Problem("command line", None, "", None, message), advice=f"See: {self.prog} --help"
        )


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line. Raises RequestInvalid; exits for --help and --version."""
    parser, commands = _build_parser()
    _check_argv(words)
    _check_order(words, commands)
    given, unknown = parser.parse_known_args(list(words))
    if unknown:
        flag = unknown[0].partition("=")[0]
        near = None
        if flag.startswith("-"):
            what, accepted = "there is no such flag", ""
            near = _nearest_flag(flag, _list_flags(commands[given.command]))
        else:
            what, accepted = "one word too many", "the prompt as one word: put it in quotes"
        raise RequestInvalid(
            Problem(flag, None, accepted, near, what),
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


def _check_order(words: Sequence[str], commands: Mapping[str, argparse.ArgumentParser]) -> None:
    """Refuse a command's flag that stands before the command. Raises RequestInvalid."""
    flag = words[0].partition("=")[0] if words else ""
    having = [name for name, parser in commands.items() if flag in _list_flags(parser)]
    if not flag.startswith("--") or flag == "--help" or not having:
        return
    meant = next((word for word in words if word in having), having[0])
    raise RequestInvalid(
        Problem(flag, None, f"after the command: civitai-skill {meant} ... {flag}", None,
                "stands before the command")
    )  # fmt: skip


def _list_flags(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _nearest_flag(flag: str, known: list[str]) -> str | None:
    """The flag that was probably meant. The dashes are no likeness."""
    from civitai_skill.schema.problems import nearest_name

    bare = [name.removeprefix("--").replace("-", "_") for name in known]
    near = nearest_name(flag.lstrip("-").replace("-", "_"), bare)
    found = None if near is None else f"--{near.replace('_', '-')}"
    return found if found in known else None


def _build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="civitai-skill",
        description="Pictures from Civitai's image engines: priced first, never paid twice.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"civitai-skill {__version__}")
    group = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, run: str, text: str, examples: str) -> argparse.ArgumentParser:
        subparser: argparse.ArgumentParser = group.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        home = _LEDGER if name in ("resume", "history", "spend", "budget") else _COMMANDS
        subparser.set_defaults(run=run if ":" in run else f"{home}:{run}")
        _add_common_flags(subparser)
        commands[name] = subparser
        return subparser

    make = command(
        "generate",
        "generate",
        "make pictures: price, submit, wait, save",
        '  civitai-skill generate "a red fox in the snow" --aspect-ratio 16:9 --out pictures\n'
        '  civitai-skill generate "make it winter" --image photo.jpg --engine flux2\n'
        '  civitai-skill generate "a poster that says OPEN" --engine qwen --max-buzz 40 --json\n'
        '  civitai-skill generate "a fox" --sandbox',
    )
    _add_request_flags(make)
    _add_terms_flags(make)
    make.add_argument("--no-wait", action="store_true", help="submit only and print the id")
    make.add_argument("--again", action="store_true",
                      help="buy anew although the same request is still open")  # fmt: skip
    make.add_argument("--timeout", type=values.parse_seconds, default=1200.0, metavar="S",
                      help="seconds to wait for the pictures (1200)")  # fmt: skip
    make.add_argument("--max-buzz", type=values.parse_count, metavar="N",
                      help="refuse above N Buzz (CIVITAI_MAX_BUZZ, or 300)")  # fmt: skip

    batch_words.add_commands(
        command,
        request=_add_request_flags,
        terms=_add_terms_flags,
        count=values.parse_count,
        seconds=values.parse_seconds,
    )

    price = command(
        "estimate",
        "estimate",
        "say the price of a request; spends nothing",
        '  civitai-skill estimate "a fox" --engine seedream\n'
        '  civitai-skill estimate "a fox" --quality high --offline',
    )
    _add_request_flags(price)
    _add_terms_flags(price)
    price.add_argument("--offline", action="store_true",
                       help="by the documented rule, without asking the service")  # fmt: skip

    look = command(
        "get",
        "get",
        "look at a workflow, and save its pictures with --wait or --out",
        "  civitai-skill get 123456-20260101120000000\n"
        "  civitai-skill get 123456-20260101120000000 --wait --out pictures",
    )
    look.add_argument("id", help="the id that generate printed")
    look.add_argument("--wait", action="store_true", help="wait until it ends, then save")
    look.add_argument("--timeout", type=values.parse_seconds, default=1200.0, metavar="S",
                      help="seconds to wait (1200)")  # fmt: skip

    find = command(
        "query",
        "query",
        "list past workflows, newest first",
        "  civitai-skill query --take 5\n  civitai-skill query --tag holiday --since 7d --json",
    )
    find.add_argument("--tag", action="append", default=[], help="only with this tag; repeatable")
    find.add_argument("--take", type=values.parse_count, default=20, metavar="N", help="rows (20)")
    find.add_argument("--cursor", help="where the last page ended (its `next`)")
    find.add_argument("--since", help=_SINCE)

    stop = command(
        "cancel",
        "cancel",
        "cancel a workflow and say what was refunded",
        "  civitai-skill cancel 123456-20260101120000000",
    )
    stop.add_argument("id", help="the id that generate printed")

    rest = command(
        "resume",
        "resume",
        "finish what was left open: send, wait, download; nothing is bought twice",
        "  civitai-skill resume\n"
        "  civitai-skill resume 123456-20260101120000000 --retry-failed --max-buzz 20",
    )
    rest.add_argument("ids", nargs="*", metavar="ID", help="only these: workflow ids, or keys")
    rest.add_argument("--timeout", type=values.parse_seconds, default=1200.0, metavar="S",
                      help="seconds to wait for each (1200)")  # fmt: skip
    rest.add_argument("--retry-failed", action="store_true",
                      help="buy once more what failed or expired in the last 24 hours")  # fmt: skip
    rest.add_argument("--max-buzz", type=values.parse_count, metavar="N",
                      help="with --retry-failed: refuse above N Buzz each")  # fmt: skip

    past = command(
        "history",
        "history",
        "list what was bought from this machine, from the ledger",
        "  civitai-skill history\n  civitai-skill history --since 7d --json",
    )
    past.add_argument("--since", help=_SINCE)
    past.add_argument("--take", type=values.parse_count, default=50, metavar="N", help="rows (50)")

    money = command(
        "spend",
        "spend",
        "sum what was spent from this machine, from the ledger",
        "  civitai-skill spend --since 7d --by engine",
    )
    money.add_argument("--since", help=_SINCE)
    money.add_argument("--by", choices=("engine", "day"), help="a row for each engine or day (UTC)")

    cap = command(
        "budget",
        "budget",
        "show or set the most that all calls together may spend",
        "  civitai-skill budget\n  civitai-skill budget set 500 --per day\n"
        "  civitai-skill budget clear",
    )
    cap.add_argument("action", nargs="?", choices=("show", "set", "clear"), default="show")
    cap.add_argument("amount", nargs="?", type=values.parse_count, metavar="N", help="Buzz")
    cap.add_argument("--per", choices=("hour", "day", "week", "month"), default="day",
                     help="counted back from now: a day is the last 24 hours (day)")  # fmt: skip

    free = command(
        "release",
        "release",
        "accept a mature result that is held back (paid in yellow Buzz)",
        "  civitai-skill release 123456-20260101120000000 --max-buzz 20",
    )
    free.add_argument("id", help="the id that generate printed")
    free.add_argument(
        "--max-buzz", type=values.parse_count, metavar="N", help="refuse above N yellow Buzz"
    )

    listing = command(
        "engines",
        "engines",
        "list the engines, or describe one",
        "  civitai-skill engines\n  civitai-skill engines flux2 --json",
    )
    listing.add_argument("name", nargs="?", help="one engine: variants, sizes, limits, prices")

    engines.add_command(command, values.parse_count)

    command(
        "doctor",
        "doctor",
        "check the set-up: key, service, sandbox, extras, and what to do next",
        "  civitai-skill doctor\n  civitai-skill doctor --sandbox --json",
    )

    box = command(
        "sandbox",
        "sandbox",
        "serve the sandbox on a port, for any client",
        "  civitai-skill sandbox --port 8787\n"
        "  civitai-skill sandbox --seconds-per-job 3 --balance blue=500,yellow=200\n"
        "  civitai-skill sandbox --switch short_of_buzz=403 --switch unfinished_at_most=4\n\n"
        f"switches, for what is disputed or unknown about the service:\n{switches.describe()}",
    )
    box.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    box.add_argument(
        "--port", type=values.parse_count, default=8787, metavar="N", help="port (8787)"
    )
    box.add_argument(
        "--seconds-per-job", type=values.parse_seconds, metavar="S", help="how long a job takes"
    )
    box.add_argument("--balance", type=values.parse_balance, metavar="C=N,...",
                     help="Buzz of a new account, such as blue=500,yellow=200")  # fmt: skip
    box.add_argument("--switch", type=values.parse_switch, action="append", default=[],
                     metavar="NAME=VALUE", dest="switches",
                     help="see the switches below; repeatable")  # fmt: skip

    serve.add_commands(command, values.parse_count)
    skill.add_commands(command)
    return parser, commands


def _add_common_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("everywhere")
    group.add_argument("--sandbox", action="store_true", help="use the sandbox: no key, no Buzz")
    group.add_argument("--json", action="store_true", help="JSON on standard output")
    group.add_argument("--quiet", action="store_true", help="nothing but errors on standard error")
    where = "where pictures go; other commands write their answer there as JSON"
    group.add_argument("--out", metavar="DIR", help=where)
    group.add_argument("--ledger", metavar="FILE", help="another ledger than the user's own")


def _add_request_flags(parser: argparse.ArgumentParser, *, prompt: bool = True) -> None:
    if prompt:
        parser.add_argument(
            "prompt", metavar="PROMPT", help="what should be in the picture; - reads it"
        )
    group = parser.add_argument_group("the picture")
    for flag, metavar, text in (
        ("engine", "NAME", "engine (flux2); see `civitai-skill engines`"),
        ("variant", "NAME", "variant of the engine, such as klein-9b, dev, turbo, v4.5"),
        ("route", "NAME", "backend, normally left out (sdcpp, comfy, fal)"),
        ("quality", "Q", "draft, standard or high (standard)"),
        ("negative-prompt", "TEXT", "what should not be in it"),
        ("aspect-ratio", "W:H", "such as 16:9, instead of pixels"),
        ("sampler", "NAME", "in the route's own spelling"),
        ("scheduler", "NAME", "in the route's own spelling"),
        ("model", "AIR", "checkpoint, where the engine takes one"),
    ):
        group.add_argument(f"--{flag}", metavar=metavar, help=text)
    for flag, metavar, text in (
        ("width", "PX", "pixels"),
        ("height", "PX", "pixels"),
        ("quantity", "N", "how many pictures (1)"),
        ("seed", "N", "for the same picture again"),
        ("steps", "N", "denoising steps"),
        ("guidance", "X", "how closely the prompt is followed"),
        ("strength", "X", "0 to 1: makes a variant of one --image"),
    ):
        group.add_argument(f"--{flag}", type=values.parse_number, metavar=metavar, help=text)
    group.add_argument("--format", dest="output_format", metavar="F", help="jpeg, png or webP")
    group.add_argument("--lora", type=values.parse_lora, action="append", default=[],
                       metavar="AIR[=X]", dest="loras",
                       help="a LoRA and its strength (1); repeatable")  # fmt: skip
    group.add_argument("--image", action="append", default=[], metavar="SRC", dest="images",
                       help="source picture: file, https URL or data URL; repeatable")  # fmt: skip
    group.add_argument("--option", type=values.parse_pair, action="append", default=[],
                       metavar="K=V", dest="options",
                       help="a field of the engine's own; repeatable")  # fmt: skip


def _add_terms_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the workflow")
    group.add_argument("--tag", action="append", default=[], dest="tags", metavar="TAG",
                       help="file it under a tag; repeatable, at most 10")  # fmt: skip
    group.add_argument("--priority", metavar="P", help="high, normal or low")
    group.add_argument("--currency", action="append", default=[], dest="currencies", metavar="C",
                       help="pay only with blue, green or yellow Buzz; repeatable")  # fmt: skip
    group.add_argument("--allow-mature", action="store_true",
                       help="allow mature content (paid in yellow Buzz only)")  # fmt: skip


REQUEST_FIELDS = (
    "engine", "variant", "route", "quality", "negative_prompt", "aspect_ratio", "sampler",
    "scheduler", "model", "width", "height", "quantity", "seed", "steps", "guidance", "strength",
    "output_format", "loras", "images",
)  # fmt: skip
