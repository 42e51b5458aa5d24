"""What the tools for past and running workflows do; see registry.py."""

from __future__ import annotations

from dataclasses import replace
from operator import methodcaller
from typing import Any

from civitai_skill.client.history import history_row, parse_since
from civitai_skill.errors import RequestInvalid
from civitai_skill.tools.answers import LOOK, Result, look_again, next_call
from civitai_skill.tools.arguments import CancelImage, QueryImages
from civitai_skill.tools.fixed import ToolSettings
from civitai_skill.tools.steps import Steps


def query_images(fixed: ToolSettings, given: QueryImages) -> Steps:
    try:
        until = parse_since(given.until)
    except RequestInvalid as error:
        raise error.about(*(replace(p, field="until") for p in error.problems)) from None
    page = yield methodcaller(
        "page",
        given.cursor,
        tags=tuple(given.tags),
        take=given.take,
        since=parse_since(given.since),
        until=until,
        running=given.running,
    )
    saved = yield methodcaller("saved_paths", page)
    rows = ({**history_row(w), "paths": saved.get(w.id, [])} for w in page.items[: given.take])
    # What is empty is left out.
    items = [{n: v for n, v in row.items() if v not in (None, [], "")} for row in rows]
    data: dict[str, Any] = {"items": items}
    if page.next is not None:
        # Some hosts fill in every argument; what is as if left out is left out.
        said = {n: getattr(given, n) for n, f in QueryImages.model_fields.items()
                if getattr(given, n) != f.default}  # fmt: skip
        data["next"] = next_call("civitai_query_images", **said | {"cursor": page.next})
    if not page.items:
        otherwise = "Nothing matches. Drop tags, or take an earlier since."
        data["message"] = "Nothing is running." if given.running else otherwise
    return Result(data, page)


def cancel_image(fixed: ToolSettings, given: CancelImage) -> Steps:
    canceled = yield methodcaller("cancel", given.id)
    data: dict[str, Any] = {
        "id": given.id,
        "status": canceled.workflow.status,
        "refunded": canceled.refunded,
    }
    if canceled.was_done:
        data["message"] = "It had ended before; nothing was canceled."
        if canceled.workflow.status == "succeeded" and LOOK in fixed.tools:
            data["next"] = look_again(given.id)
    return Result(data, canceled)
