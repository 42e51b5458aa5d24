"""Sweeps: rows from a prompt with {names} and the values they take."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from civitai_skill.batch.rows import LISTS, TEXTS, RawRow, decode_text, split_lines
from civitai_skill.config import expand_home
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.purchase.identity import hash_json
from civitai_skill.schema.problems import nearest_name
from civitai_skill.schema.request import ImageRequest

Mode = Literal["product", "zip", "random"]
MODES: tuple[Mode, ...] = ("product", "zip", "random")

#: Rows of one sweep.
MOST = 100_000


def expand_sweep(
    prompt: str,
    sets: Mapping[str, Sequence[Any]],
    *,
    mode: Mode = "product",
    count: int | None = None,
    seeds: int = 1,
    **fields: Any,
) -> list[RawRow]:
    """The rows of a sweep, each with the values that were put in.

    Each name in `sets` is a {name} of the prompt, a field of the request (`engine`, `steps`), or
    both. `product` takes every combination, `zip` the first values, the second ones and so on,
    `random` draws `count` combinations, the same ones each time. Every combination is made with
    `seeds` seeds. Raises RequestInvalid.
    """
    _check_sets(_find_placeholders(prompt), sets)
    _check_mode(sets, fields, mode, count, seeds)
    rows: list[RawRow] = []
    for combination in _combinations(sets, mode, count):
        words = dict(zip(sets, combination, strict=True))
        read = {n: _parse_field(n, w) for n, w in words.items() if n in ImageRequest.model_fields}
        row = {**fields, "prompt": _fill_in(prompt, words), **read}
        values = {n: _as_value(read.get(n, w), w) for n, w in words.items()}
        rows += [RawRow(len(rows) + 1 + i, row, values=values) for i in range(seeds)]
        if len(rows) > MOST:
            raise RequestInvalid(Problem("sweep", None, f"at most {MOST} rows", None, "too many"))
    return rows


def _as_value(read: Any, word: Any) -> Any:
    """What a result says of a value that was put in: a number, or text."""
    plain = isinstance(read, str | int) or (isinstance(read, float) and math.isfinite(read))
    return read if plain else str(word)


# A brace that is written twice, a {name}, or a brace too many.
_BRACE = re.compile(r"(?P<twice>\{\{|\}\})|\{(?P<name>[^{}]*)\}|[{}]")
_BRACES = "names in braces, such as {animal}; a brace itself is written twice, {{ and }}"


def _find_placeholders(prompt: str) -> set[str]:
    """The names in a prompt. Raises RequestInvalid for what would only look like one."""
    names = set()
    for found in _BRACE.finditer(prompt):
        name = found["name"]
        if found["twice"]:
            continue
        if name is None:
            why = f"a {found[0]} stands alone"
        elif not name.strip():
            why = f"{found[0]} has no name"
        elif re.search(r"[!:.\[\]]", name):
            why = f"{found[0]} is more than a name: values are put in as they are"
        else:
            names.add(name)
            continue
        raise RequestInvalid(Problem("prompt", prompt, _BRACES, None, why))
    return names


def _fill_in(prompt: str, values: Mapping[str, Any]) -> str:
    def put(found: re.Match[str]) -> str:
        return found["twice"][0] if found["twice"] else str(values[found["name"]])

    return _BRACE.sub(put, prompt)


def _check_sets(wanted: set[str], sets: Mapping[str, Sequence[Any]]) -> None:
    problems = []
    for name in sorted(wanted - set(sets)):
        why, near = f"{{{name}}} has no values", nearest_name(name, list(sets))
        problems.append(Problem("prompt", None, "a set of values for each {name}", near, why))
    for name, values in sets.items():
        if name not in wanted and name not in ImageRequest.model_fields:
            near = nearest_name(name, [*wanted, *ImageRequest.model_fields])
            why = "neither a {name} of the prompt nor a field of the request"
            problems.append(Problem(f"set {name}", None, "", near, why))
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            problems.append(Problem(f"set {name}", values, "a list of values", [values]))
        elif not values:
            problems.append(Problem(f"set {name}", None, "at least one value", None, "is empty"))
    if problems:
        raise RequestInvalid(*problems)


def _check_mode(
    sets: Mapping[str, Sequence[Any]], fields: Mapping[str, Any], mode: str, count: int | None,
    seeds: int,
) -> None:  # fmt: skip
    """Raises RequestInvalid, also for what is said twice: one of the two would be dropped."""
    problems = []
    if mode not in MODES:
        problems.append(Problem("mode", mode, "one of " + ", ".join(MODES)))
    if mode == "zip" and len({len(values) for values in sets.values()} - {1}) > 1:
        counts = ", ".join(f"{name} {len(values)}" for name, values in sets.items())
        problems.append(Problem("set", counts, "lists of one length for zip"))
    if (mode == "random") != (count is not None):
        why = "is missing" if count is None else "goes with mode random only"
        problems.append(Problem("count", count, "how many combinations random draws", None, why))
    elif count is not None and not 1 <= count <= MOST:
        problems.append(Problem("count", count, f"1 to {MOST}"))
    if not 1 <= seeds <= MOST:
        problems.append(Problem("seeds", seeds, f"1 to {MOST}"))
    for name in sets:
        if name == "prompt" or name in fields:
            accepted = "one of the two" if name in fields else "{names} in the prompt to fill in"
            problems.append(Problem(f"set {name}", None, accepted, None, "is said already"))
    if seeds > 1 and (fields.get("seed") is not None or "seed" in sets):
        why = "a seed is said, so that all of them would be the same picture"
        problems.append(Problem("seeds", seeds, "1 where a seed is said", 1, why))
    if problems:
        raise RequestInvalid(*problems)


def _combinations(
    sets: Mapping[str, Sequence[Any]], mode: Mode, count: int | None
) -> Iterator[tuple[Any, ...]]:
    lists = [list(values) for values in sets.values()]
    if mode == "product":
        yield from itertools.product(*lists)
    elif mode == "zip":
        longest = max((len(values) for values in lists), default=1)
        for i in range(longest):
            yield tuple(values[i if len(values) > 1 else 0] for values in lists)
    else:
        # Drawn from what is swept, so that the same command draws the same again.
        drawn = random.Random(
            hash_json([list(sets), [[str(v) for v in vs] for vs in lists]], "")[:8]
        )
        for _ in range(count or 0):
            yield tuple(drawn.choice(values) for values in lists)


# -- values from words -----------------------------------------------------------------------------
_COMMA = re.compile(r"(?<!\\),")


def parse_values(text: str) -> list[str]:
    r"""Values from `fox,owl` (`\,` is a comma in a value) or `@FILE`, a value a line (# comments).

    Raises RequestInvalid.
    """
    if text.startswith("@"):
        try:
            words = decode_text(expand_home(text[1:]).read_bytes()).replace("\r", "\n")
            return [value for _, value in split_lines(words)]
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 or UTF-16 text"
            problem = Problem("set", text, "@FILE with a value a line", None, why)
            raise RequestInvalid(problem) from None
    found = [part.replace("\\,", ",").strip() for part in _COMMA.split(text)]
    return [value for value in found if value]


def _parse_field(name: str, value: Any) -> Any:
    """A value as the request's field takes it: texts that are numbers become numbers."""
    if not isinstance(value, str) or name in TEXTS:
        return value
    text = value.strip()
    if name in LISTS:
        return [text]
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", text):
        return float(text)
    return value
