"""The switches: what is disputed or unknown about the service, and how to set it.

Each field carries its words, from which the command line's help and every refusal are rendered.
Nothing heavy is imported here.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

_YEAR = 365 * 86400.0

_MOST = 1_000_000_000

# The numbers that a switch may take: how they are written, and how that is said.
_WHOLE = (r"0{0,9}[1-9][0-9]{0,9}", f"a whole number from 1 to {_MOST}")
_NUMBERS: Mapping[Any, tuple[str, str]] = {
    float: (r"[0-9]{1,10}(\.[0-9]{1,9})?", f"a number from 0 to {_MOST}"),
    int: _WHOLE, int | None: _WHOLE,
}  # fmt: skip


@dataclass(frozen=True)
class Switches:
    """What is disputed or unknown about the service (civitai-api facts, section 12)."""

    answers: Annotated[
        Literal["new", "old", "both"],
        "new: a step tells its queue, its preparation (a list) and warnings, and has no jobs, and "
        "PUT answers with the workflow; old: jobs, as the document of August 2026 has it; both: "
        "the new fields beside the jobs (September 2026)",
    ] = "new"
    variable_cost: Annotated[
        bool, "a price is a cap: a quarter of it comes back once the pictures are there"
    ] = False
    unheard_status: Annotated[
        bool, "what waits is called `throttled`, a status that no document has"
    ] = False
    short_of_buzz: Annotated[
        Literal["400", "403", "402", "problem"],
        "how a submit that can't be paid is refused: 400 with the token insufficientBuzz (taken "
        "to be so today), 403 with a bare JSON string, 402 or (problem) 400 with ProblemDetails",
    ] = "400"
    whatif_persists: Annotated[
        bool, "an estimate is kept: GET finds its id (documented; others measured a 404)"
    ] = False
    whatif_claims_key: Annotated[
        bool,
        "an estimate claims its externalId: a submit with the same one gets the estimate, and "
        "buys nothing (documented; others measured that it does not)",
    ] = False
    unfinished_at_most: Annotated[
        int | None,
        "how many unfinished workflows an account may have before a submit is answered with 429",
    ] = None
    largest_blob: Annotated[
        int, "bytes above which an upload is answered with 413 (64 MiB in the site's own code)"
    ] = 64 * 1024 * 1024
    cancel_after_end: Annotated[Literal[400, 409, 204], "the status of canceling what is over"] = (
        400
    )
    until_known: Annotated[
        bool, "GET takes until=completion|change; without it, until is answered with 400"
    ] = True
    longest_wait: Annotated[
        float, "seconds after which a request that waits is answered anyway"
    ] = 100.0
    url_lifetime: Annotated[
        float, "seconds that a signed address lives (a year was seen, and 45 minutes)"
    ] = _YEAR
    expired_url: Annotated[Literal[401, 403, 404], "the status of an expired address"] = 403
    blob_redirect: Annotated[
        Literal[301, 308], "the status that leads to a blob's bytes (301 seen, 308 documented)"
    ] = 301
    mature_url_blocked: Annotated[
        bool, "the signed address of a mature picture leads to 403, while its id works (seen)"
    ] = False
    metadata_merges: Annotated[
        bool, "PUT merges metadata into what there is, in place of replacing it"
    ] = False
    long_tags_refused: Annotated[
        bool, "tags above 200 characters are refused, as the document's prose says but no schema"
    ] = True
    embeds_metadata: Annotated[
        bool, "a form's imageMetadata stands in the picture's own text (the site's code; not seen)"
    ] = False
    tomorrow: Annotated[
        bool,
        "an engine that no client has heard of is offered (comfy aurora sketch), and a known form "
        "(z-image turbo) has a field and a sampler more",
    ] = False
    foreign_air_hangs: Annotated[bool, "an AIR of another family makes the job hang (seen)"] = True

    def with_values(self, given: Any) -> Switches:
        """A copy with the switches that a mapping names set. Raises ValueError with what fits."""
        if not isinstance(given, Mapping):
            raise ValueError("switches are an object of names and values")
        return replace(self, **{name: read(name, value) for name, value in given.items()})


def read(name: str, given: Any) -> Any:
    """The value of a switch, from JSON or from a word. Raises ValueError with what is accepted."""
    if name not in _hints():
        raise ValueError(f"there is no switch {name!r}; there are {', '.join(_hints())}")
    kind, _ = _hints()[name]
    word = given if isinstance(given, str) else json.dumps(given)
    values, (pattern, _) = _choices(kind), _NUMBERS.get(kind, ("", ""))
    if word and re.fullmatch(pattern, word) and float(word) <= _MOST:
        return float(word) if kind is float else int(word)
    if word not in values:
        raise ValueError(f"{name} must be {accepted_values(name)}, not {word[:80]}")
    return values[word]


def parse(text: str) -> tuple[str, Any]:
    """Name and value of a switch in the form NAME=VALUE. Raises ValueError."""
    name, equals, word = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name, read(name, word)


def accepted_values(name: str) -> str:
    """The values that a switch takes, in words."""
    kind, _ = _hints()[name]
    words = "|".join(word for word in _choices(kind) if word != "null")
    _, number = _NUMBERS.get(kind, ("", ""))
    return ", or ".join(filter(None, (words, number)))


def describe() -> str:
    """Every switch with its values, its default and what it means, for people."""
    lines = []
    for field in fields(Switches):
        default = field.default if isinstance(field.default, str) else json.dumps(field.default)
        default = "none" if default == "null" else default.removesuffix(".0")
        lines.append(f"  {field.name}={accepted_values(field.name)} ({default})")
        lines += textwrap.wrap(
            _hints()[field.name][1], 92, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def _choices(kind: Any) -> dict[str, Any]:
    """The values of a switch that have a word."""
    if kind is bool:
        return {"true": True, "false": False}
    if get_origin(kind) is Literal:
        return {str(one): one for one in get_args(kind)}
    return {"none": None, "null": None} if type(None) in get_args(kind) else {}


@cache
def _hints() -> dict[str, tuple[Any, str]]:
    hints = get_type_hints(Switches, include_extras=True)
    return {field.name: get_args(hints[field.name]) for field in fields(Switches)}
