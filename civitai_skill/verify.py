"""For the day a key exists: price one body of every wire form, and compare with what we expect.

A price request (`whatif`) spends nothing. For each form it is told whether the service took the
body, whether its echo agrees with what was sent, and whether its price is the documented one.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from civitai_skill.api import workflows
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service
from civitai_skill.engines import catalog
from civitai_skill.engines.plan import Plan, plan
from civitai_skill.errors import ApiError, TransportFailed
from civitai_skill.purchase.body import build_body
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


def bodies(only: str | None = None) -> Iterator[tuple[str, Plan]]:
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
                        **said,
                    )
                    yield way.form.__name__, plan(request, sources=((512, 512),))


def verify(
    service: Service, only: str | None = None, tell: Callable[[Row], None] | None = None
) -> Flow[list[Row]]:
    """Price every form and compare. Spends nothing; a refused body is a row, not an error."""
    rows = []
    for form, decided in bodies(only):
        row = yield from _compared(service, form, decided)
        rows.append(row)
        if tell is not None:
            tell(row)
    return rows


def _compared(service: Service, form: str, decided: Plan) -> Flow[Row]:
    ours = decided.price.buzz
    who = (form, decided.family, decided.variant, decided.route, decided.operation)
    try:
        quote = yield from workflows.estimate(service, build_body(decided))
    except (ApiError, TransportFailed) as error:
        return Row(*who, False, ours, None, trouble=error.message)
    echo = Workflow.read(quote.raw).input
    return Row(*who, True, ours, quote.total, tuple(_differences(decided.form.sent(), echo)))


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
    from PIL import Image

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
