"""What the tools for past and running workflows do; see registry.py."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from civitai_skill.client.history import history_row, parse_since
from civitai_skill.errors import RequestInvalid
from civitai_skill.tools.answers import LOOK, Result, history_item, look_again, next_call
from civitai_skill.tools.arguments import CancelImage, QueryImages
from civitai_skill.tools.fixed import ToolSettings

Steps = Generator[Any, Any, Result]


def query_images(fixed: ToolSettings, given: QueryImages) -> Steps:
    page = yield lambda client: client.page(
        given.cursor,
        tags=tuple(given.tags),
        take=given.take,
        since=parse_since(given.since),
        until=_until(given.until),
        running=given.running,
    )
    saved = yield lambda client: client.saved_paths(page)
    rows = ({**history_row(w), "paths": saved.get(w.id, [])} for w in page.items[: given.take])
    data: dict[str, Any] = {"items": [history_item(row) for row in rows]}
    if page.next is not None:
        # Some hosts fill in every argument; what is as if left out is left out.
        said = {n: getattr(given, n) for n, f in QueryImages.model_fields.items()
                if getattr(given, n) != f.default}  # fmt: skip
        data["next"] = next_call("civitai_query_images", **said | {"cursor": page.next})
    if not page.items:
        otherwise = "Nothing matches. Drop tags, or take an earlier since."
        data["message"] = "Nothing is running." if given.running else otherwise
    return Result(data, page)


def _until(text: str | None) -> str | None:
    try:
        return parse_since(text)
    except RequestInvalid as error:
        raise RequestInvalid(*(replace(p, field="until") for p in error.problems)) from None


def cancel_image(fixed: ToolSettings, given: CancelImage) -> Steps:
    canceled = yield lambda client: client.cancel(given.id)
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
