"""A request and what surrounds it, on a command line: flags, and the values that they mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import values
from civitai_skill.errors import ConfigError, Problem, RequestInvalid
from civitai_skill.schema.fields import FIELDS, RequestField

if TYPE_CHECKING:
    from civitai_skill.config import Settings
    from civitai_skill.schema.request import ImageRequest

# Characters of a prompt that is read; no engine takes as many.
_LONGEST = 1_000_000

_READERS: dict[str, Callable[[str], Any]] = {
    "whole": values.parse_number,
    "number": values.parse_number,
    "options": values.parse_pair,
}
_MANY = ("loras", "texts", "options")
_ELSEWHERE = {"engine": "; see `civitai-skill engines`"}


def add_flags(
    parser: argparse.ArgumentParser,
    fields: Sequence[RequestField] = FIELDS[1:],
    title: str = "the picture",
) -> None:
    """The flags of every field of a request but the first, which has a place, and of what surrounds
    it."""
    group = parser.add_argument_group(title)
    for field in fields:
        more = _ELSEWHERE.get(field.name, "")
        given: dict[str, Any] = {"help": field.help + more}
        if field.kind in _MANY:
            given = {"action": "append", "default": [], "help": f"{field.help}; repeatable"}
        if field.kind == "flag":
            given |= {"action": "store_const", "const": True}
        else:
            given |= {"metavar": field.metavar, "type": _READERS.get(field.kind, str)}
        group.add_argument(field.flag, dest=field.name, **given)
    add_terms_flags(parser)


def add_terms_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of what surrounds a request."""
    group = parser.add_argument_group("the workflow")
    group.add_argument("--tag", action="append", default=[], dest="tags", metavar="TAG",
                       help="file it under a tag; repeatable, at most 10")  # fmt: skip
    group.add_argument("--priority", metavar="P", help="high, normal or low")
    group.add_argument("--currency", action="append", default=[], dest="currencies", metavar="C",
                       help="pay only with blue, green or yellow Buzz; repeatable")  # fmt: skip
    group.add_argument("--allow-mature", action="store_true",
                       help="allow mature content (paid in yellow Buzz only)")  # fmt: skip


def load_settings(given: argparse.Namespace) -> Settings:
    """The settings of this command line and its environment."""
    from civitai_skill.config import Settings

    return Settings.load(
        sandbox=True if given.sandbox else None,
        ledger=given.ledger,
        max_buzz=getattr(given, "max_buzz", None),
    )


def follow_settings(given: argparse.Namespace) -> None:
    """Let what was fetched of the service that this command speaks to be in force."""
    from civitai_skill.client import followed

    with suppress(ConfigError):  # whoever needs the settings says what is wrong
        followed.set(load_settings(given).engines_file)


def build_request(given: argparse.Namespace) -> ImageRequest:
    """The request of a command line. Raises RequestInvalid."""
    from civitai_skill.schema.request import ImageRequest

    prompt = read_input("prompt") if given.prompt == "-" else given.prompt
    return ImageRequest(prompt=prompt, **request_fields(given))


def read_input(name: str) -> str:
    """What stands for - on standard input. Raises RequestInvalid."""
    try:
        text = sys.stdin.read(_LONGEST + 1)
        why = "" if len(text) <= _LONGEST else f"longer than {_LONGEST} characters"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
    if why:
        accepted = f"a {name} on standard input"
        raise RequestInvalid(Problem(name, "-", accepted, None, why))
    return text


def request_fields(
    given: argparse.Namespace, known: Sequence[RequestField] = FIELDS[1:]
) -> dict[str, Any]:
    """The fields of a request that were said, without the first."""
    fields = {field.name: getattr(given, field.name) for field in known}
    fields = {name: value for name, value in fields.items() if value not in (None, [])}
    for field in known:
        if field.kind == "options" and field.name in fields:
            fields[field.name] = read_options(field.name, fields[field.name])
    return fields


def read_options(name: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Options as typed: a field of text as it stands, any other as JSON. Raises RequestInvalid."""
    from civitai_skill.client import is_text
    from civitai_skill.schema.types import read_json

    found: dict[str, Any] = {}
    for key, text in pairs:
        if key in found:
            why = "is said twice"
            raise RequestInvalid(Problem(f"{name}.{key}", text, "each option once", None, why))
        try:
            found[key] = text if name == "options" and is_text(key) else read_json(text)
        except ValueError:
            found[key] = text
    return found


def request_terms(given: argparse.Namespace) -> dict[str, Any]:
    """What surrounds a request."""
    return {
        "tags": given.tags,
        "priority": given.priority,
        "currencies": given.currencies or None,
        "allow_mature_content": True if given.allow_mature else None,
    }
