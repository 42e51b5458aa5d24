"""Batches on more than one machine: a Ray Dataset of rows in, a Dataset of results out.

    import ray
    from civitai_skill.adapters.ray import make_images

    rows = ray.data.read_csv("s3://bucket/rows.csv")
    results = make_images(rows, out="s3://bucket/pictures", name="animals", max_buzz=5000)
    results.write_json("s3://bucket/results")

The keys are those of `run_batch`: whichever worker runs a row, it is paid once, and a worker that
dies is replaced by another that goes on. Rows that are all alike need an `id` each, because no
worker sees the others' rows; and a prompt that moderation stops is held back within a block only.
The key comes from each worker's environment (CIVITAI_API_KEY).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.batch.names import PictureNames
from civitai_skill.batch.plan import plan_rows
from civitai_skill.batch.results import RESULTS, TABLE
from civitai_skill.batch.rows import read_values
from civitai_skill.batch.run import run_batch
from civitai_skill.client import Civitai
from civitai_skill.config import Settings
from civitai_skill.errors import ConfigError, OverBudget, Problem, RequestInvalid, from_clone
from civitai_skill.errors.next_steps import Allow

#: Rows that a worker makes at once.
BLOCK = 50

#: Names that are the same on every machine, without knowing the other rows.
TEMPLATE = "{key}-{n}"

# Settings of run_batch that mean something to each block by itself.
_PASSED_ON = frozenset(
    {"tags", "metadata", "allow_mature_content", "currencies", "priority", "concurrency",
     "in_flight", "timeout", "retry_failed", "sources"}
)  # fmt: skip

# Bad rows that the error spells out.
_MOST_PROBLEMS = 200

# What a row of results says as a result says it; its pictures and its reason come after.
_COLUMNS = ("id", "key", "status", "workflow", "engine", "variant", "seed", "prompt", "cost",
            "refunded")  # fmt: skip


def make_images(
    rows: Any,
    *,
    out: str,
    name: str,
    max_buzz: int | None = None,
    workers: int = 2,
    block: int = BLOCK,
    template: str = TEMPLATE,
    where: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """Map a Dataset of rows (fields of an ImageRequest, and an `id`) to a Dataset of results.

    Pictures and their notes go to `out`, any path that fsspec knows. `where` holds the workers'
    Civitai settings (base_url, home, sandbox); `settings` are those of run_batch that a block can
    follow by itself. All rows are checked and priced first. Raises RequestInvalid, OverBudget, and
    ConfigError without the extra.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise ConfigError(
            "Ray is not installed.",
            advice=f"It comes with an extra of its own. {from_clone('ray')}",
        ) from None
    if "key" not in PictureNames(template).fields:
        why = "no worker sees the others' names, and one picture would lie on another"
        accepted = "a template with {key}, such as {id}-{key}-{n}"
        raise RequestInvalid(Problem("template", template, accepted, TEMPLATE, why))
    place = dict(where or {})
    if "key" in place:
        why = "a key does not travel with the work"
        accepted = "CIVITAI_API_KEY in the workers' environment"
        raise RequestInvalid(Problem("where.key", "***", accepted, None, why))
    odd = sorted(set(settings) - _PASSED_ON)
    if odd:
        why = "a batch on Ray has no such setting"
        raise RequestInvalid(Problem(odd[0], None, ", ".join(sorted(_PASSED_ON)), None, why))
    limit = Settings.load(**place).max_buzz if max_buzz is None else max_buzz
    _check_rows(rows, name, limit, block, workers)
    run_block = partial(
        _run_block, out=out, name=name, template=template, where=place, settings=settings
    )
    found = rows.map_batches(
        run_block, batch_size=block, batch_format="pyarrow", concurrency=workers, max_retries=-1
    )
    # A Dataset is made anew each time it is looked at, and each time would be one more try.
    return found.materialize() if settings.get("retry_failed") else found


def _check_rows(rows: Any, name: str, limit: int, block: int, workers: int) -> None:
    """Refuse bad rows and a whole that is too dear, before anything is bought."""
    look = partial(_price_block, name=name)
    seen = rows.map_batches(look, batch_size=block, batch_format="pyarrow", concurrency=workers)
    price, bad = 0, []
    known: set[str] = set()
    for one in seen.iter_rows():
        price += one["price"]
        bad += json.loads(one["problems"])
        for shown, names in json.loads(one["rows"]):
            if not known.isdisjoint(names):
                accepted = "an id of its own for each row"
                why = "two rows are alike, and no worker sees the other's"
                bad.append(asdict(Problem("id", shown, accepted, None, why)))
            known.update(names)
    if bad:
        problems = [Problem(**problem) for problem in bad[:_MOST_PROBLEMS]]
        raise RequestInvalid(*problems, advice=f"{len(bad)} problems; nothing was bought.")
    if price > limit:
        raise OverBudget(
            f"The rows cost up to {price} Buzz together; the limit is {limit}. Nothing was bought.",
            price=price,
            limit=limit,
            next=(Allow(price),),
        )


def _read_block(table: Any) -> list[dict[str, Any]]:
    """A block's rows; what a row leaves out and another says is empty there, in options too."""
    rows = [_drop_empty(row) for row in table.to_pylist()]
    return [
        {**row, "options": _drop_empty(row["options"])}
        if isinstance(row.get("options"), dict)
        else row
        for row in rows
    ]


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _price_block(table: Any, *, name: str) -> Any:
    import pyarrow

    problems: list[dict[str, Any]] = []
    alike: list[tuple[str, list[str]]] = []
    price = 0
    for fields in _read_block(table):
        try:
            (row,) = plan_rows(read_values([fields]), name)
            if row.price is None:
                why = f"the price of {row.plan.family} {row.plan.variant} is not documented"
                accepted = "an engine whose price is; use run_batch for the others, which asks"
                raise RequestInvalid(Problem("engine", row.plan.family, accepted, None, why))
            price += row.price
            names = [row.key] if row.id is None else [row.key, f"id {row.id}"]
            alike.append((_row_label(fields), names))
        except RequestInvalid as error:
            problems += [
                {**problem.as_dict(),
                 "field": problem.field.replace("line 1", f"row {_row_label(fields)!r}"),
                 "why": problem.why}
                for problem in error.problems
            ]  # fmt: skip
    columns = {"problems": problems, "rows": alike}
    texts = {column: [json.dumps(value, default=str)] for column, value in columns.items()}
    return pyarrow.table({"price": [price], **texts})


def _row_label(fields: Mapping[str, Any]) -> str:
    return str(fields.get("id") or fields.get("prompt", ""))[:40]


def _run_block(
    table: Any,
    *,
    out: str,
    name: str,
    template: str,
    where: dict[str, Any],
    settings: dict[str, Any],
) -> Any:
    """Make a block's rows here, and put what came of them where it belongs."""
    import fsspec
    import pyarrow

    files, target = fsspec.core.url_to_fs(out)
    files.makedirs(target, exist_ok=True)
    rows = _read_block(table)
    # The whole was held against the limit; each block to its part of it.
    most = sum(row.price or 0 for row in plan_rows(read_values(rows), name))
    with tempfile.TemporaryDirectory() as folder, Civitai(**where) as client:
        try:
            results = run_batch(
                rows, client=client, out=folder, name=name, max_buzz=most,
                template=template, purpose="ray", **settings,
            ).results if rows else ()  # fmt: skip
        finally:  # what came home before it broke off is paid for
            for path in Path(folder).iterdir():
                if path.name not in (RESULTS, TABLE):
                    files.put_file(str(path), f"{target}/{path.name}")
    found = [
        {
            **{column: getattr(result, column) for column in _COLUMNS},
            "pictures": [f"{out.rstrip('/')}/{picture.path}" for picture in result.pictures],
            "reason": result.reason or (result.error or {}).get("message"),
        }
        for result in results
    ]
    text, whole = pyarrow.string(), pyarrow.int64()
    kinds = {"seed": whole, "cost": whole, "refunded": whole, "pictures": pyarrow.list_(text)}
    names = (*_COLUMNS, "pictures", "reason")
    schema = pyarrow.schema([(column, kinds.get(column, text)) for column in names])
    return pyarrow.Table.from_pylist(found, schema=schema)
