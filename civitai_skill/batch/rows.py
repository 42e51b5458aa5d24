"""Rows from a file, standard input or a program: fields of an ImageRequest, and an `id` if wanted.

JSON lines hold an object a line. A table (CSV) has the fields' names in its first line, in any
case; an empty cell says nothing, numbers are read as numbers, `loras` may hold AIRs, and `loras`,
`images`, `options` and columns such as `options.clipSkip` may hold JSON. A .txt file holds a prompt
a line; lines that begin with # are comments.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.problems import nearest_name
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import read_json

Given = Mapping[str, Any] | ImageRequest | str

#: Bytes; 5,000 rows with long prompts are a tenth of it.
MOST_BYTES = 64 * 1024 * 1024

#: Suffixes that say what a file is; the text of any other tells it.
_TABLES = (".csv", ".tsv")
_KINDS = {**dict.fromkeys(_TABLES, True), ".jsonl": False, ".ndjson": False}

#: Columns whose cells are texts, whatever they look like.
TEXTS = frozenset({"id", *(f.name for f in FIELDS if f.kind in ("text", "choice"))})


#: Columns whose cells are lists of texts: one alone may stand as it is.
LISTS = frozenset(f.name for f in FIELDS if f.kind == "texts")
_COLUMNS = frozenset({"id", *ImageRequest.model_fields})


@dataclass(frozen=True)
class RawRow:
    """A row as it was written; `line` is where, `problem` why it can't be read."""

    line: int
    fields: Mapping[str, Any]
    problem: Problem | None = None
    #: What a sweep put in, by name.
    values: Mapping[str, Any] | None = None
    #: What was found of the models that it names: what is good to know, and what to heed.
    told: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()


def read_values(values: Iterable[Given]) -> list[RawRow]:
    """Rows from a program; the line is the place in its list, from 1."""
    rows = []
    accepted = "a prompt, an ImageRequest, or its fields by name"
    for line, value in enumerate(values, 1):
        if isinstance(value, str):
            rows.append(RawRow(line, {"prompt": value}))
        elif isinstance(value, ImageRequest):
            said = {name: getattr(value, name) for name in value.model_fields_set}
            rows.append(RawRow(line, said))
        elif not isinstance(value, Mapping):
            rows.append(RawRow(line, {}, Problem("row", value, accepted)))
        elif odd := [name for name in value if not isinstance(name, str)]:
            problem = Problem("row", odd[0], accepted, None, "a name is a text")
            rows.append(RawRow(line, {}, problem))
        else:
            rows.append(RawRow(line, value))
    return rows


def read_file(path: Path) -> list[RawRow]:
    """Rows from a file; `-` reads standard input. Raises RequestInvalid."""
    text, why, suffix, rows = "", "", path.suffix.lower(), list[RawRow]()
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            why = f"larger than {MOST_BYTES // 2**20} MiB"
        else:
            text = decode_text(data)
    except UnicodeDecodeError:
        why = "not UTF-8 or UTF-16 text"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable path"
    if suffix not in _TABLES and _is_json_list(text):
        why = "it is one JSON list: put each of its objects on a line of its own"
    elif suffix == ".txt" and not _is_named_table(text) and text.lstrip()[:1] != "{":
        rows = [RawRow(line, {"prompt": prompt}) for line, prompt in split_lines(text)]
    else:
        rows = read_text(text, is_csv=_KINDS.get(suffix))
    if not rows:
        why = why or "it has no rows"
        accepted = "JSON lines or CSV with rows"
        raise RequestInvalid(Problem("file", str(path), accepted, None, why))
    return rows


def decode_text(data: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 where its first two bytes say so (what Excel calls
    Unicode Text). Raises ValueError."""
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_wide else "utf-8-sig")


def split_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""The lines of a list with their numbers, without blank ones and comments (# ...); `\#` begins
    a line that is none."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line[1:] if line.startswith("\\#") else line


def _is_named_table(text: str) -> bool:
    """Does a text begin with the names of columns?"""
    first = text.lstrip().partition("\n")[0]
    return "prompt" in (name.strip(' "\r').lower() for name in re.split("[,;\t]", first))


def _is_json_list(text: str) -> bool:
    try:
        return text.lstrip().startswith("[") and isinstance(read_json(text), list)
    except ValueError:
        return False


def read_text(text: str, *, is_csv: bool | None = None) -> list[RawRow]:
    """Rows from text: JSON lines where its first character is a brace, else CSV."""
    if is_csv is None:
        is_csv = not text.lstrip().startswith("{")
    return _parse_csv(text) if is_csv else _parse_json_lines(text)


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, no name of which stands twice: one of the two values would be dropped."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestInvalid(Problem("row", twice, "each name once", None, "it stands twice"))
    return found


def _parse_json_lines(text: str) -> list[RawRow]:
    rows = []
    # Not splitlines(): JSON texts may hold the line separators of Unicode.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = read_json(line, object_pairs_hook=_reject_duplicates)
            problem = Problem("row", value, 'an object: {"prompt": "..."}')
        except RequestInvalid as error:
            value, problem = None, error.problems[0]
        except ValueError as error:
            why = f"not JSON ({getattr(error, 'msg', 'a number of too many digits')})"
            value, problem = None, Problem("row", line, "a JSON object", None, why)
        is_object = isinstance(value, dict)
        rows.append(RawRow(number, value if is_object else {}, None if is_object else problem))
    return rows


# -- CSV -----------------------------------------------------------------------------------------
def _parse_csv(text: str) -> list[RawRow]:
    first, _, rest = text.partition("\n")
    begins = 1
    marked = re.fullmatch(r"sep=(.)", first.strip(), re.IGNORECASE)
    if marked:  # Excel's own way to say what parts the cells
        text, begins = rest, 2
    head = text.lstrip().partition("\n")[0]
    delimiter = marked[1] if marked else max((",", ";", "\t"), key=head.count)
    if delimiter not in head:
        delimiter = "\x1f"  # one column: a comma is part of its words
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[RawRow] = []
    names: list[str] = []
    line = begins
    try:
        for cells in reader:
            here, line = line, begins + reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _read_header(cells, here)
            else:
                rows.append(_parse_record(here, names, cells, decimal_comma=delimiter == ";"))
    except csv.Error as error:
        problem = Problem("row", None, "quoted cells that end", None, f"not CSV ({error})")
        rows.append(RawRow(line, {}, problem))
    return rows


def _read_header(cells: list[str], line: int) -> list[str]:
    """The names of the columns, "" where one has none. Raises RequestInvalid."""
    accepted = "a column prompt, and others named " + ", ".join(sorted(_COLUMNS - {"prompt"}))
    accepted += ", or options.NAME"
    names = []
    for cell in cells:
        name = cell.strip()
        bare = re.sub(r"[\s-]+", "_", name).lower()
        whole, dot, option = name.partition(".")
        if bare in _COLUMNS:
            name = bare
        elif dot and whole.lower() == "options":
            name = f"options.{option}"
        names.append(name)
    problems, where = [], f"line {line}"
    odd = [n for n in names if n and n not in _COLUMNS and not n.startswith("options.")]
    if "prompt" not in names:
        why, near = "there is no column prompt", nearest_name("prompt", odd)
        problems.append(Problem(where, ", ".join(names), accepted, near, why))
    for name in odd:
        why = "there is no such field; take the column out, or give it a field's name"
        near, told = nearest_name(name, list(_COLUMNS)), "" if problems else accepted
        problems.append(Problem(where, name, told, near, why))
    for name in dict.fromkeys(n for n in names if n and names.count(n) > 1):
        problems.append(Problem(where, name, accepted, None, "a column stands twice"))
    if problems:
        raise RequestInvalid(*problems)
    return names


def _parse_record(line: int, names: list[str], cells: list[str], *, decimal_comma: bool) -> RawRow:
    fields: dict[str, Any] = {}
    single: dict[str, Any] = {}
    for name, cell in itertools.zip_longest(names, cells, fillvalue=""):
        if not cell.strip():
            continue
        if not name:
            accepted = "a name in the first line for each column that is not empty"
            problem = Problem("row", cell, accepted, None, "a cell stands under no name")
            return RawRow(line, {}, problem)
        if decimal_comma and name not in TEXTS and re.fullmatch(r"-?\d+,\d+", cell.strip()):
            cell = cell.replace(",", ".")
        try:
            value = cell if name in TEXTS else _parse_cell(name, cell)
        except ValueError:
            problem = Problem(name, cell, _JSON_CELLS.get(name, "JSON"), None, "not JSON")
            return RawRow(line, {}, problem)
        whole, dot, option = name.partition(".")
        if dot and whole == "options":
            single[option] = value
        else:
            fields[name] = value
    if single:
        together = fields.get("options", {})
        if not isinstance(together, dict) or single.keys() & together.keys():
            why = "it stands in two columns, or the column options is no object"
            shown = ", ".join(sorted(single))
            problem = Problem("options", shown, _JSON_CELLS["options"], None, why)
            return RawRow(line, {}, problem)
        fields["options"] = {**together, **single}
    return RawRow(line, fields)


#: What parts the LoRAs of a cell; a name that is looked up may hold blanks.
_LORA_ENDS = re.compile(r"[,;\n]\s*|\s+(?=(?:urn|air|civitai|https?|name):)")

_JSON_CELLS = {
    "loras": 'AIRs, each with =STRENGTH if wanted, or JSON such as [{"air": "urn:air:..."}]',
    "options": 'JSON such as {"clipSkip": 2}',
}


def _parse_cell(name: str, cell: str) -> Any:
    text = cell.strip()
    if name in LISTS and not text.startswith("["):
        return [text]
    if name == "loras" and text[:1] not in ("[", "{"):
        return [part for part in _LORA_ENDS.split(text) if part]
    try:
        return read_json(text)
    except ValueError:
        if name in ("loras", "options", *LISTS):
            raise
        return cell  # left for the request to refuse by name
