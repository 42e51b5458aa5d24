"""Compare our engines' files with the published document, or with the service itself.

    python scripts/check_api.py DOCUMENT [--out DIR]
    CIVITAI_API_KEY=... python scripts/check_api.py --live [--engine NAME] [--out DIR]

With a document: forms, fields, enums, and limits where they are judged; it ends with 1 where
something moved. With --live: a price request (`whatif`) for one body of every form, which spends
nothing; it is told whether the service took the body, whether its echo agrees with what was sent,
and whether its price is the documented one; it ends with 5 where not.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from civitai_skill import Civitai, CivitaiError
from civitai_skill.api.models import Workflow
from civitai_skill.config import Settings
from civitai_skill.engines import catalog
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.published.compare import Comparison, our_forms
from civitai_skill.engines.published.compare import compare as compare_forms
from civitai_skill.engines.published.document import read
from civitai_skill.engines.published.ours import forms
from civitai_skill.errors import (
    ApiError,
    Problem,
    RequestInvalid,
    TransportFailed,
    WorkflowFailed,
    explain,
)
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.schema.request import ImageRequest

_PROMPT = "a red fox in the snow"


@dataclass(frozen=True)
class Row:
    """One wire form, compared. Prices are Buzz; `differs` names what the echo has otherwise."""

    form: str
    engine: str
    variant: str
    route: str
    operation: str
    accepted: bool
    ours: int | None
    theirs: int | None
    differs: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def agrees(self) -> bool:
        price = not self.priced or self.ours == self.theirs
        return self.accepted and price and not self.differs

    @property
    def priced(self) -> bool:
        """Is there a price on both sides, to be compared?"""
        return self.ours is not None and self.theirs is not None

    def as_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "differs": list(self.differs),
            "agrees": self.agrees,
        }


def bodies(only: str | None) -> Iterator[tuple[str, Plan]]:
    """One decided request for each wire form of every family, or of one."""
    names = catalog.NAMES if only is None else (catalog.find(only).name,)
    for name in names:
        seen = set()
        for variant in catalog.family(name).variants:
            for way in variant.ways:
                for operation in way.form.operations():
                    if (way.form, operation) in seen:
                        continue
                    seen.add((way.form, operation))
                    said: dict[str, Any] = {}
                    if operation != "create":
                        said["images"] = [_source()]
                    if operation == "variant":
                        said["strength"] = 0.5
                    request = ImageRequest(
                        prompt=_PROMPT,
                        engine=name,
                        variant=variant.name,
                        route=way.form.route(),
                        retired=True,
                        **said,
                    )
                    yield way.form.__name__, plan(request, sources=((512, 512),))


def compare(client: Civitai, only: str | None, tell: Callable[[str], None]) -> list[Row]:
    """Price every form and compare. Spends nothing; a refused body is a row, not an error."""
    rows = []
    for form, decided in bodies(only):
        tell(form)
        ours = decided.price.buzz
        who = (form, decided.family, decided.variant, decided.route, decided.operation)
        step = {"$type": "imageGen", "input": decided.form.sent()}
        try:
            quote = client.estimate(WorkflowBody({"steps": [step]}))
        except (ApiError, TransportFailed) as error:
            rows.append(Row(*who, False, ours, None, trouble=error.message))
            continue
        differs = tuple(_differences(decided.form.sent(), Workflow.read(quote.raw).input))
        rows.append(Row(*who, True, ours, quote.total, differs))
    return rows


def _differences(sent: Mapping[str, Any], echo: Mapping[str, Any]) -> Iterator[str]:
    for name, value in sent.items():
        if name in ("image", "images"):
            continue  # the service may keep a source under an address of its own
        if name not in echo:
            # An echo was seen to rename a field, so a value that is there under any name counts.
            if value not in echo.values():
                yield f"{name} is missing"
        elif echo[name] != value:
            yield f"{name} is {echo[name]!r}"


def _source() -> str:
    out = io.BytesIO()
    Image.new("RGB", (512, 512), (190, 120, 60)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def table(rows: list[Row]) -> str:
    """The comparison as a Markdown table."""
    lines = [
        "| form | engine | variant | route | operation | accepted | documented | service | notes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        notes = row.trouble or ", ".join(row.differs)
        if row.ours is not None and row.theirs is not None and row.ours != row.theirs:
            notes = ", ".join(filter(None, ["price differs", notes]))
        names = [row.form, row.engine, row.variant, row.route, row.operation]
        cells = [*names, "yes" if row.accepted else "no", _buzz(row.ours), _buzz(row.theirs), notes]
        lines.append("| " + " | ".join(cells) + " |")
    agreeing = sum(row.agrees and row.priced for row in rows)
    told = f"{agreeing} of {len(rows)} agree."
    if without := sum(row.agrees and not row.priced for row in rows):
        told += f" {without} have no price on one side to compare."
    return "\n".join([*lines, "", told])


def _buzz(price: int | None) -> str:
    return "?" if price is None else str(price)


# -- a document ----------------------------------------------------------------------------------
def against(path: Path) -> Comparison:
    """Our files beside the document at a path. Raises RequestInvalid where it is none."""
    try:
        document = read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        why = str(error)[:200]
        raise RequestInvalid(
            Problem("DOCUMENT", str(path), "the service's published document, as JSON", None, why)
        ) from None
    return compare_forms(our_forms(forms()), document)


def changes_table(found: Comparison) -> str:
    """What differs as a Markdown table, under how many forms there are."""
    lines = [f"{found}", ""]
    if not found.changes:
        return "\n".join([*lines, "Nothing moved."])
    lines += ["| form | field | what moved | our file | the document |", "|---|---|---|---|---|"]
    for change in found.changes:
        cells = [change.form, change.field, change.what, change.ours, change.theirs]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the comparison; 0 where everything agrees, 1 or 5 where not."""
    parser = argparse.ArgumentParser(description="Hold our rules against the service.")
    parser.add_argument("document", nargs="?", type=Path, metavar="DOCUMENT",
                        help="the service's published OpenAPI document, as JSON")  # fmt: skip
    parser.add_argument("--live", action="store_true", help="price one body of every wire form")
    parser.add_argument("--engine", metavar="NAME", help="only this engine (with --live)")
    parser.add_argument("--sandbox", action="store_true", help="ask the sandbox: no key needed")
    parser.add_argument("--json", action="store_true", help="JSON, also on a terminal")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write the table and JSON there")
    given = parser.parse_args(words)
    if given.live == (given.document is not None):
        parser.error("say what to check: a DOCUMENT, or --live")
    if given.document is not None and (given.engine or given.sandbox):
        parser.error("--engine and --sandbox go with --live")
    as_json = given.json or (given.live and not sys.stdout.isatty())
    try:
        return _live(given, as_json) if given.live else _document(given, as_json)
    except CivitaiError as error:
        told = explain(error)
        print(f"check_api.py: {told.text()}", file=sys.stderr)
        if as_json:
            print(json.dumps({"error": told.as_dict()}, indent=2))
        return told.exit_code


def _document(given: argparse.Namespace, as_json: bool) -> int:
    found = against(given.document)
    changes = [change.as_dict() for change in found.changes]
    data = {"forms": found.total, "known": found.known, "changes": changes}
    _report(given.out, data, f"# check_api.py {given.document.name}", changes_table(found), as_json)
    return 1 if found.changes else 0


def _report(out: Path | None, data: Any, title: str, told: str, as_json: bool) -> None:
    """Print the report, and write it where it shall stand."""
    text = json.dumps(data, indent=2)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "check_api.json").write_text(f"{text}\n", encoding="utf-8")
        (out / "check_api.md").write_text(f"{title}\n\n{told}\n", encoding="utf-8")
    print(text if as_json else told)


def _live(given: argparse.Namespace, as_json: bool) -> int:
    settings = Settings.load(sandbox=True if given.sandbox else None)
    where = "the sandbox" if settings.sandbox else settings.base_url
    with Civitai(settings=settings) as client:
        rows = compare(client, given.engine, lambda form: print(form, file=sys.stderr))
    data = {"service": where, "rows": [row.as_dict() for row in rows]}
    _report(given.out, data, f"# check_api.py --live, against {where}", table(rows), as_json)
    return 0 if all(row.agrees for row in rows) else WorkflowFailed.exit_code


if __name__ == "__main__":
    sys.exit(main())
