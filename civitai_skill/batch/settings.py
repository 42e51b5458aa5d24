"""How a batch may be set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from civitai_skill.batch.report import Tell
from civitai_skill.client.base import BaseClient, Folder
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import SourcePolicy
from civitai_skill.schema.problems import nearest_name


class BatchSettings(TypedDict, total=False):
    """How a batch runs.

    out             the folder of the pictures and of results.jsonl (the working folder)
    name            the batch's name: the same row under another name is bought anew
    client          a Civitai or AsyncCivitai whose settings count; made from the environment else
    max_buzz        the most that all rows together may cost; the client's limit when left out
    template        the pictures' names (`{row}-{engine}-{seed}-{n}`)
    concurrency     requests at once at most; the service's answers decide below it
    in_flight       rows under way at once
    timeout         seconds to wait for one row
    retry_failed    buy once more what failed or expired
    allow_unpriced  let rows through whose price nobody tells
    dry_run         plan only
    table           write results.csv as well
    sources         which source pictures the rows may name
    tell            hears the plan, each result and how it stands
    purpose         the door's name in the ledger
    tags, metadata, allow_mature_content, currencies, priority: as in `generate`
    """

    out: Folder
    name: str
    client: BaseClient | None
    max_buzz: int | None
    template: str
    concurrency: int
    in_flight: int
    timeout: float
    retry_failed: bool
    allow_unpriced: bool
    dry_run: bool
    table: bool
    sources: SourcePolicy
    tell: Tell
    purpose: str
    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None


def check_names(given: Mapping[str, Any]) -> None:
    """Raises RequestInvalid for a setting that there is not."""
    known = list(BatchSettings.__annotations__)
    for name in given:
        if name not in known:
            near = nearest_name(name, known)
            why = "there is no such setting"
            raise RequestInvalid(Problem(name, None, ", ".join(known), near, why))
