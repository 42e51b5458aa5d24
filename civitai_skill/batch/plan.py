"""The plan of a batch: every row checked, priced and given its key before anything is bought.

A key follows from the batch's name, the row's identity and what would be sent: any process on any
machine that runs the same row sends the same key, and the service makes and charges it once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from civitai_skill.api.drivers import adrive
from civitai_skill.batch.names import TEMPLATE, PictureNames
from civitai_skill.batch.rows import RawRow
from civitai_skill.client.clients import AsyncCivitai
from civitai_skill.engines.planning.plan import Plan, with_seed
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE, Source, SourcePolicy, open_source
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.identity import hash_json
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import Prepared, prepare
from civitai_skill.purchase.price import rule_of
from civitai_skill.resources.resolve import NAMING, resolve_request, with_engine
from civitai_skill.resources.site import ModelSite
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import is_unicode

#: Names the way of hashing, so that a change of it shows.
TAG = "b1"

# Every form and every offset within a workflow is safe up to here (see engines.planning.plan).
_SEEDS = 2**31 - 65

#: Sentences of a message about bad rows; all of them stand in the error's details.
_MOST_SENTENCES = 200
#: Rows that a sentence names when they are bad in one way.
_FEW = 3

# Opened sources that are kept while rows that share them are planned, and bytes of sources that
# are kept until they are sent.
_MOST_SOURCES = 8
_MOST_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One row, decided. `number` counts from 1, `line` is where it stands in the file.

    `price` is the most it costs (Buzz), None where nobody tells it; `stems` name its pictures.
    """

    number: int
    line: int
    id: str | None
    request: ImageRequest
    key: str
    plan: Plan
    #: As it is sent; where its sources are "", they are opened again.
    prepared: Prepared
    price: int | None
    stems: tuple[str, ...]
    #: What a sweep put in, by name.
    values: Mapping[str, Any] | None = None
    #: Which documented price rule holds for it.
    rule: str = ""
    #: The service's price; with `ask_again` it is asked once more before the first of the rule.
    quoted: int | None = None
    ask_again: bool = False


async def resolve_rows(
    raw_rows: Sequence[RawRow], client: AsyncCivitai, terms: Terms
) -> list[RawRow]:
    """The rows with the AIRs of the models that they name; a row whose model can't be used has its
    problem. Raises TransportFailed and ApiError where the site gives no answer."""
    site = ModelSite(client._public, client._models, client.account)
    mature, found = terms.allow_mature_content is True, []
    for raw in raw_rows:
        if raw.problem is None and any(raw.fields.get(name) for name in NAMING):
            raw = await _resolve_row(raw, client, site, mature)
        found.append(raw)
    return found


async def _resolve_row(raw: RawRow, client: AsyncCivitai, site: ModelSite, mature: bool) -> RawRow:
    id = {"id": raw.fields["id"]} if "id" in raw.fields else {}
    try:
        request = ImageRequest(**{n: v for n, v in raw.fields.items() if n != "id"})
    except RequestInvalid:
        return raw  # the plan says what is wrong with it, with every other row
    try:
        resolved = await adrive(resolve_request(site, request, mature=mature), client._http)
    except RequestInvalid as error:
        return replace(raw, problem=error.problems[0])
    fields = {**id, **resolved.request.said()}
    return replace(raw, fields=fields, told=resolved.notes, warned=resolved.warnings)


def plan_rows(
    raw_rows: Sequence[RawRow],
    name: str,
    terms: Terms = Terms(),  # noqa: B008 - frozen
    template: str = TEMPLATE,
    policy: SourcePolicy = EVERY_SOURCE,
) -> list[Row]:
    """Decide every row. Raises RequestInvalid that names every bad one with its line."""
    planner = _Planner(
        name, terms, policy, PictureNames(template, raw_rows[0].values or () if raw_rows else ())
    )
    rows: list[Row] = []
    refused: list[tuple[int, Problem]] = []
    for number, raw in enumerate(raw_rows, 1):
        try:
            rows.append(planner.plan_row(number, raw))
        except RequestInvalid as error:
            refused += [(raw.line, problem) for problem in error.problems]
    if refused:
        bad = len(raw_rows) - len(rows)
        raise _refuse(refused, f"{bad} of {len(raw_rows)} rows are refused; nothing was bought.")
    return rows


def _refuse(refused: Sequence[tuple[int, Problem]], head: str) -> RequestInvalid:
    """The refusal of rows; what repeats over them is told once, with their number."""
    alike: dict[tuple[str, ...], list[tuple[int, Problem]]] = {}
    for line, problem in refused:
        kind = (problem.field, problem.why, problem.accepted, repr(problem.nearest))
        alike.setdefault(kind, []).append((line, problem))
    problems: list[Problem] = []
    sentences = [head]
    for group in alike.values():
        lines = ", ".join(str(line) for line, _ in group[:_FEW])
        if len(group) > _FEW:
            lines += f" and {len(group) - _FEW} more"
        word = "line" if len(group) == 1 else "lines"
        first = replace(group[0][1], field=f"{word} {lines}, {group[0][1].field}")
        sentences.append(first.sentence())
        each = [replace(one, field=f"line {line}, {one.field}") for line, one in group]
        problems += [first] if len(group) > _FEW else each
    if len(sentences) > _MOST_SENTENCES:
        more = len(sentences) - _MOST_SENTENCES
        sentences = [*sentences[:_MOST_SENTENCES], f"... and {more} more."]
    return RequestInvalid(*problems).replace(message="\n".join(sentences))


@dataclass
class _Planner:
    """What the rows of a batch share, and what is known of those before."""

    name: str
    terms: Terms
    policy: SourcePolicy
    names: PictureNames
    alike: Counter[str] = field(default_factory=Counter)
    ids: dict[str, int] = field(default_factory=dict)
    sources: dict[str, Source | str] = field(default_factory=dict)
    bytes: int = 0

    def plan_row(self, number: int, raw: RawRow) -> Row:
        if raw.problem is not None:
            raise RequestInvalid(raw.problem)
        fields = dict(raw.fields)
        id = fields.pop("id", None)
        if id is not None:
            id = self._check_id(id, raw.line)
        request = with_engine(ImageRequest(**fields))
        order = Order(request, self.terms, sources=self.policy, told=raw.told, warned=raw.warned)
        prepared = prepare(order, self._open)
        content = prepared.identity(order)
        self.alike[content] += 1
        key = key_of(self.name, f"n:{self.alike[content]}" if id is None else f"id:{id}", content)
        decided = prepared.plan
        assert isinstance(decided, Plan), "a row is a request"
        if request.seed is None and decided.seed is not None:
            seed = seed_of(key)
            request = request.model_copy(update={"seed": seed})
            prepared, decided = prepared.with_seed(seed), with_seed(decided, seed)
        facts = {
            **(raw.values or {}), "row": number, "id": id or number, "engine": decided.family,
            "batch": self.name, "variant": decided.variant, "seed": decided.seed, "key": key,
        }  # fmt: skip
        stems = self.names.reserve(decided.quantity, facts)
        if self.bytes > _MOST_BYTES:
            prepared = replace(prepared, sources=tuple("" for _ in prepared.sources))
        price = decided.price.most
        return Row(
            number, raw.line, id, request, key, decided, prepared, price, stems, raw.values,
            rule_of(decided),
        )  # fmt: skip

    def _check_id(self, given: object, line: int) -> str:
        text = str(given)
        if not isinstance(given, str | int) or isinstance(given, bool) or not 1 <= len(text) <= 200:
            raise RequestInvalid(Problem("id", given, "a text of 1 to 200 characters"))
        if not is_unicode(text):
            raise RequestInvalid(Problem("id", None, "text", None, "it holds half a character"))
        if text in self.ids:
            why = f"line {self.ids[text]} has it too"
            raise RequestInvalid(Problem("id", text, "an id of its own for each row", None, why))
        self.ids[text] = line
        return text

    def _open(self, text: str, field: str, policy: SourcePolicy) -> Source | str:
        """Open a source; rows often share them, so the last few are kept."""
        mark = hashlib.sha256(text.encode()).hexdigest()
        if mark not in self.sources:
            while len(self.sources) >= _MOST_SOURCES:
                self.sources.pop(next(iter(self.sources)))
            source = self.sources[mark] = open_source(text, field, policy)
            self.bytes += 0 if isinstance(source, str) else len(source.data)
        return self.sources[mark]


def key_of(name: str, identity: str, content: str) -> str:
    """The key of a row's first attempt, such as `b1-k9f86d0...`."""
    return f"{TAG}-k{hash_json([name, identity, content], '')[:40]}"


def seed_of(key: str) -> int:
    """The seed of a row that says none: always the same for the same row."""
    return 1 + int(hash_json([TAG, "seed", key], ""), 16) % _SEEDS


def shape_of(prepared: Prepared) -> str:
    """What a price depends on: everything but the words, the seed and the sources' content."""
    words = ("prompt", "negativePrompt", "seed", "imageMetadata")
    steps = [step["input"] for step in prepared.body("" for _ in prepared.sources)["steps"]]
    told = [{name: value for name, value in s.items() if name not in words} for s in steps]
    return hash_json(told[0] if len(told) == 1 else told)
