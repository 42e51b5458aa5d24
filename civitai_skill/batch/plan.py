"""The plan of a batch: every row checked and priced before anything is bought."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from civitai_skill.batch.keys import key_of, seed_of
from civitai_skill.batch.names import PictureNames
from civitai_skill.batch.rows import RawRow, with_line
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import Source, SourcePolicy, open_source
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.identity import hash_json
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import Prepared, prepare
from civitai_skill.purchase.price import ASK_ABOVE
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import is_unicode

#: Problems that a message spells out; all of them stand in the error's details.
_MOST_PROBLEMS = 200

# Opened sources that are kept while rows that share them are planned.
_MOST_SOURCES = 8


@dataclass(frozen=True)
class Row:
    """One row, decided. `number` counts from 1, `line` is where it stands in the file.

    `price` is the most it costs (Buzz), None where nobody tells; rows of one `shape` cost the same.
    """

    number: int
    line: int
    id: str | None
    request: ImageRequest
    key: str
    engine: str
    variant: str
    seed: int | None
    quantity: int
    price: int | None
    shape: str
    stems: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def plan_rows(
    raw_rows: Sequence[RawRow],
    name: str,
    terms: Terms,
    template: str,
    policy: SourcePolicy,
) -> list[Row]:
    """Decide every row. Raises RequestInvalid that names every bad one with its line."""
    names = PictureNames(template)
    sources = _SourceCache(policy)
    rows: list[Row] = []
    problems: list[Problem] = []
    bad = 0
    alike: Counter[str] = Counter()
    ids: dict[str, int] = {}
    for number, raw in enumerate(raw_rows, 1):
        try:
            rows.append(_plan_row(number, raw, name, terms, names, sources, alike, ids))
        except RequestInvalid as error:
            bad += 1
            problems += [with_line(raw.line, problem) for problem in error.problems]
    if problems:
        raise _refuse_rows(problems, bad, len(raw_rows))
    return rows


def _refuse_rows(problems: list[Problem], bad: int, rows: int) -> RequestInvalid:
    error = RequestInvalid(*problems)
    sentences = [problem.sentence() for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        sentences.append(f"... and {len(problems) - _MOST_PROBLEMS} more.")
    head = f"{bad} of {rows} rows are refused; nothing was bought."
    error.message = "\n".join([head, *sentences])
    return error


def _plan_row(
    number: int,
    raw: RawRow,
    name: str,
    terms: Terms,
    names: PictureNames,
    sources: _SourceCache,
    alike: Counter[str],
    ids: dict[str, int],
) -> Row:
    if raw.problem is not None:
        raise RequestInvalid(raw.problem)
    fields = dict(raw.fields)
    id = _check_id(fields.pop("id", None), raw.line, ids)
    request = ImageRequest(**fields)
    order = Order(request, terms)
    prepared = prepare(order, sources.open)
    decided = prepared.plan
    assert decided is not None, "a row is a request"
    content = prepared.identity(order)
    alike[content] += 1
    identity = f"n:{alike[content]}" if id is None else f"id:{id}"
    key = key_of(name, identity, content)
    if request.seed is None and decided.seed is not None:
        request = request.model_copy(update={"seed": seed_of(key)})
        prepared = prepared.with_seed(seed_of(key))
        decided = prepared.plan
        assert decided is not None, "a row is a request"
    facts = {"row": number, "id": id or number, "engine": decided.family, "batch": name,
             "variant": decided.variant, "seed": decided.seed, "key": key}  # fmt: skip
    price = decided.price
    return Row(
        number,
        raw.line,
        id,
        request,
        key,
        decided.family,
        decided.variant,
        decided.seed,
        decided.quantity,
        price.most,
        _price_group(prepared),
        names.reserve(decided.quantity, facts),
        decided.warnings,
    )


def _check_id(given: object, line: int, ids: dict[str, int]) -> str | None:
    if given is None:
        return None
    text = str(given)
    if not isinstance(given, str | int) or isinstance(given, bool) or not 1 <= len(text) <= 200:
        raise RequestInvalid(Problem("id", given, "a text of 1 to 200 characters"))
    if not is_unicode(text):
        raise RequestInvalid(Problem("id", None, "text", None, "it holds half a character"))
    if text in ids:
        why = f"line {ids[text]} has it too"
        raise RequestInvalid(Problem("id", text, "an id of its own for each row", None, why))
    ids[text] = line
    return text


def _price_group(prepared: Prepared) -> str:
    """What a price depends on: everything but the words, the seed and the sources' content."""
    form = dict(prepared.filled("" for _ in prepared.sources)["steps"][0]["input"])
    for field in ("prompt", "negativePrompt", "seed"):
        form.pop(field, None)
    return hash_json(form)


class _SourceCache:
    """Opens sources; rows often share them, so the last few are kept."""

    def __init__(self, policy: SourcePolicy) -> None:
        self._policy = policy
        self._kept: dict[str, Source | str] = {}

    def open(self, text: str, field: str, policy: SourcePolicy) -> Source | str:
        mark = hashlib.sha256(text.encode()).hexdigest()
        if mark not in self._kept:
            while len(self._kept) >= _MOST_SOURCES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[mark] = open_source(text, field, self._policy)
        return self._kept[mark]


def apply_quote(row: Row, quotes: dict[str, int | None]) -> Row:
    """The row with the service's price, where it told a higher one than is documented: buying
    holds both against the limit."""
    price = quotes.get(row.shape)
    return row if price is None else replace(row, price=max(price, row.price or 0))


def rows_to_quote(rows: Iterable[Row]) -> Iterator[Row]:
    """One row of each shape whose price the service is asked for before it is bought."""
    seen = set()
    for row in rows:
        if (row.price is None or row.price > ASK_ABOVE) and row.shape not in seen:
            seen.add(row.shape)
            yield row
