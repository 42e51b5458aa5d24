"""The tool that compares engines: one prompt on several, one sheet, one price for all."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from civitai_skill.batch.compare import MOST, Comparison, acompare, compare
from civitai_skill.client.clients import Civitai
from civitai_skill.engines import catalog
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.types import Buzz, Text
from civitai_skill.tools.answers import Result, Thumbnail, make_thumbnails
from civitai_skill.tools.arguments import Arguments, IncludeImage, Texts, to_list
from civitai_skill.tools.fixed import ToolSettings
from civitai_skill.tools.steps import Local, Steps

NAME = "civitai_compare_images"


class CompareImages(Arguments):
    prompt: Text = Field(description="What to draw.")
    engines: Annotated[
        list[Text], BeforeValidator(to_list), Field(min_length=2, max_length=MOST)
    ] = Field(description="Two or more; a variant behind a colon: flux2:klein-9b.")
    aspect_ratio: Text | None = Field(default=None, description="Such as 16:9.")
    quality: Text | None = Field(default=None, description="draft, standard or high, for all.")
    tags: Annotated[Texts, Field(max_length=9)] = Field(default=[], description="To find them.")
    max_buzz: Buzz | None = Field(default=None, description="Refuse when all together cost more.")
    estimate_only: bool = Field(default=False, description="true: only the price.")
    folder: Text | None = Field(default=None, description="Subfolder of the output folder.")
    include_image: IncludeImage = Field(
        default="no", description="thumbnail: also return the sheet small."
    )


def run_comparison(
    fixed: ToolSettings, given: CompareImages, *, dry: bool
) -> Generator[Any, Any, Comparison]:
    """Buy a comparison, or only price it (`dry`). Raises RequestInvalid, OverBudget."""
    for name in given.engines:
        engine = name.replace(":", " ").split(" ")[0]
        if catalog.find(engine[:200]).name not in fixed.engines:
            accepted = "some of " + ", ".join(fixed.engines)
            why = "these tools are set up without this engine"
            raise RequestInvalid(Problem("engines", name, accepted, None, why))
    fields = {n: getattr(given, n) for n in ("aspect_ratio", "quality") if getattr(given, n)}
    settings = fixed.purchase_options(given) | {"fields": fields, "dry_run": dry}
    del settings["tell"], settings["again"]  # it has events of its own, and goes on with its rows

    def ask(client: Any) -> Any:
        run = compare if isinstance(client, Civitai) else acompare
        return run(given.prompt, given.engines, client=client, **settings)

    made: Comparison = yield ask
    return made


def compare_steps(fixed: ToolSettings, given: CompareImages) -> Steps:
    """What the tool does."""
    made = yield from run_comparison(fixed, given, dry=given.estimate_only)
    plan = made.report.plan
    if given.estimate_only:
        told = {"buzz": plan.price, "engines": plan.by_engine, "limit": plan.limit}
        return Result({**told, "within_limit": plan.price <= plan.limit}, made)
    data: dict[str, Any] = {
        "sheet": None if made.sheet is None else str(made.sheet),
        "buzz": made.as_dict()["cost"],
        "images": [_told(row) for row in made.as_dict()["compared"]],
    }
    if not made.report.good:
        data["message"] = "Some are missing; the same call again goes on and pays nothing twice."
    small: tuple[Thumbnail, ...] = ()
    if given.include_image == "thumbnail" and made.sheet is not None:
        small = yield Local(partial(make_thumbnails, [Path(made.sheet)]))
    return Result(data, made, small)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    engine = " ".join(filter(None, (row["engine"], row["variant"])))
    kept = {n: row[n] for n in ("path", "size", "seed", "buzz", "reason") if row[n] is not None}
    return {"engine": engine, **kept}
