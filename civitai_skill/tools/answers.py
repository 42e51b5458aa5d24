"""What a tool says back, and on its way: small JSON for the model, the full objects beside it.

The text holds paths and short ids, never a picture's bytes and never a signed URL, which a model
would mangle. A picture comes as a small thumbnail, and only on request.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.api.progress import Progress
from civitai_skill.api.workflows import Page
from civitai_skill.errors import CivitaiError, StillRunning, explain
from civitai_skill.errors import next_steps as steps
from civitai_skill.purchase.events import Event, Submitted, Submitting
from civitai_skill.purchase.result import Generation, Picture, summarize_unsaved
from civitai_skill.schema.request import ImageRequest
from civitai_skill.tools.arguments import WAIT

#: The tool that looks at a workflow and saves its pictures.
LOOK = "civitai_get_image"
#: The tool that makes a request of a picture or a text.
REMIX = "civitai_remix_image"

THUMBNAIL_SIDE = 512
#: Bytes of one thumbnail as base64; some hosts cut a tool's answer off at a few hundred kilobytes.
THUMBNAIL_BYTES = 100_000
MOST_THUMBNAILS = 4
_LONGEST = 2000


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG, base64."""

    data: str
    mime: str = "image/jpeg"


@dataclass(frozen=True)
class Result:
    """A tool's answer. `data` is what the model reads (as `text`); `artifact` holds the full
    objects; `failed` says that it is an explained error."""

    data: Mapping[str, Any]
    artifact: Any
    thumbnails: tuple[Thumbnail, ...] = ()
    failed: bool = False

    @property
    def text(self) -> str:
        return json.dumps(self.data, ensure_ascii=False)


def to_plain(artifact: Any) -> Any:
    """An artifact as JSON data."""
    if isinstance(artifact, Page):
        return {"items": [dict(w.raw) for w in artifact.items], "next": artifact.next}
    if isinstance(artifact, list):
        return [to_plain(item) for item in artifact]
    return artifact.as_dict() if hasattr(artifact, "as_dict") else artifact


# -- what to do next -------------------------------------------------------------------------------
def next_call(tool: str, **arguments: Any) -> dict[str, Any]:
    """The exact next call, as the model should make it."""
    return {"tool": tool, "arguments": arguments}


def look_again(workflow_id: str | None) -> dict[str, Any]:
    """The next call for a workflow; without an id yet, the one that finds it."""
    if workflow_id is None:
        return next_call("civitai_query_images", since="1h", take=5)
    return next_call(LOOK, id=workflow_id, wait_seconds=WAIT)


def in_tools(
    step: steps.Next, ceiling: int | None = None, tools: Sequence[str] | None = None
) -> str:
    """A next step in the words of a model that calls tools.

    `ceiling` is the Buzz limit that the model can't raise; `tools` are those that there are, every
    one when left out.
    """
    look = look_again(getattr(step, "id", None))["tool"]
    known = (look,) if tools is None else tools
    if isinstance(step, steps.Look | steps.Settle) and look not in known:
        return "No tool here can look it up: tell the user, and do not make it again of yourself."
    match step:
        case steps.Look(None) | steps.Settle():
            return "Look as `next` says before submitting again, else it may be paid twice."
        case steps.Look():
            return "Look again as `next` says."
        case steps.Resume():
            return (
                "Make exactly the same call again: it goes on with this purchase and can't pay "
                "twice. Another call could."
            )
        case steps.TryAgain():
            return (
                "The call that asked for it, made once more with the same arguments, buys it anew."
            )
        case steps.Allow(price) if ceiling is not None and (price is None or price <= ceiling):
            return f"max_buzz may be raised up to {ceiling}, if the user agrees."
        case steps.Allow():
            return "This limit is set for these tools and max_buzz can't raise it."
        case steps.RaiseBudget():
            return "This limit is on all calls together; max_buzz can't raise it."
        case steps.Choose():
            return "civitai_choose_engine says which engine suits."
        case steps.Release():
            return "Only the user can release it, for yellow Buzz: ask them."
        case steps.Say(option, to) if option in ImageRequest.model_fields:
            return f"To {to}: {option} true."
        case steps.Remix() if tools is None or REMIX in tools:
            return f"{REMIX} makes a request of it."
        case steps.UseSandbox():
            return steps.in_python(step)  # the developer's
    return ""  # no argument says BuyAgain, and the message says Fix


#: What is said of an answer of the sandbox.
SANDBOX = "Sandbox: a placeholder picture, a simulated price; nothing was paid."


# -- generations -----------------------------------------------------------------------------------
def generation_data(generation: Generation) -> dict[str, Any]:
    """A generation, small enough to be read."""
    workflow = generation.workflow
    data: dict[str, Any] = {"id": workflow.id, "status": workflow.status}
    if generation.engine is not None:
        data["engine"] = " ".join(filter(None, (generation.engine, generation.variant)))
    if workflow.cost.total is not None:
        data["buzz"] = workflow.cost.total
    if any(workflow.cost.refunded.values()):
        data["refunded"] = sum(workflow.cost.refunded.values())
    told: set[str] = set()
    data["images"] = [_picture_data(picture, told) for picture in generation.pictures]
    if outputs := workflow.outputs:
        data["outputs"] = [dict(output) for output in outputs]
    if generation.enhanced_prompt is not None:
        data["enhanced_prompt"] = generation.enhanced_prompt
    for name in ("notes", "warnings"):
        if getattr(generation, name):
            data[name] = [steps.advise(text, in_tools) for text in getattr(generation, name)]
    return data


def _picture_data(picture: Picture, told: set[str]) -> dict[str, Any]:
    """A picture; a reason that another one `told` already is not told again."""
    found: dict[str, Any] = {}
    if picture.path is None:
        found |= {"available": picture.available, "reason": None}
    else:
        found["path"] = str(picture.path)
        if picture.width and picture.height:
            found["size"] = f"{picture.width}x{picture.height}"
        if picture.seed is not None:
            found["seed"] = picture.seed
    if picture.reason is not None:
        found["reason"] = "the same" if picture.reason in told else picture.reason
        told.add(picture.reason)
    return found


def running_result(generation: Generation, *, already: bool = False) -> Result:
    """Submitted and not done: a normal answer, with the exact next call.

    `already` says that an earlier call bought it and this one bought nothing.
    """
    data = generation_data(generation)
    del data["images"]
    data["progress"] = str(generation.workflow.progress)
    if already or generation.resumed:
        data["message"] = "The same request is being made already; nothing new was bought."
    else:
        data["message"] = "Still running; its Buzz is committed. Do not submit it again."
    data["next"] = look_again(generation.id)
    return Result(data, generation)


def still_running_result(error: StillRunning) -> Result:
    """The answer to a purchase that has not ended."""
    if error.result is not None:
        return running_result(error.result)
    return running_result(summarize_unsaved(error.workflow), already=True)


def event_data(event: Event) -> dict[str, Any]:
    """An event as JSON data: its kind (`event`), `message`, and what there is of id, percent and
    path. Never the idempotency key."""
    data: dict[str, Any] = {"event": type(event).__name__.lower()}
    match event:
        case Submitting():
            data["message"] = "submitting"
        case Submitted(workflow):
            data |= {"message": f"submitted as {workflow.id}", "id": workflow.id}
        case Picture(path):
            data |= {"message": f"saved {path}", "path": None if path is None else str(path)}
        case Progress(percent=percent):
            data |= {"message": str(event), "percent": percent}
        case _:
            data["message"] = str(event)
    return data


# -- errors ----------------------------------------------------------------------------------------
def failure_result(error: CivitaiError, ceiling: int, tools: Sequence[str] | None = None) -> Result:
    """An error of the tree as an answer; `ceiling` and `tools` as for `in_tools`."""
    explained = explain(error, partial(in_tools, ceiling=ceiling, tools=tools))
    text = explained.text()
    data: dict[str, Any] = {
        "error": text if len(text) <= _LONGEST else text[:_LONGEST] + "...",
        "code": explained.code,
        "buzz_spent": explained.spent,
    }
    workflow_id = explained.details.get("id")
    if workflow_id is not None:
        data["id"] = workflow_id
    if isinstance(error.result, Generation):
        came = generation_data(error.result)
        data |= {name: came[name] for name in ("images", "outputs", "warnings") if name in came}
    look = next((step for step in error.next if isinstance(step, steps.Look | steps.Settle)), None)
    if look is not None:
        call = look_again(getattr(look, "id", None))
        if tools is None or call["tool"] in tools:
            data["next"] = call
    return Result(data, error.result or explained.as_dict(), failed=True)


# -- thumbnails ------------------------------------------------------------------------------------
def make_thumbnails(paths: Sequence[Path]) -> tuple[Thumbnail, ...]:
    """The first pictures, small. One that can't be read is left out; its path is in the text."""
    found = (_make_thumbnail(path) for path in paths[:MOST_THUMBNAILS])
    return tuple(t for t in found if t is not None)


def _make_thumbnail(path: Path) -> Thumbnail | None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
            small = picture.convert("RGBA")
            small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError):
        return None
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small.getchannel("A"))
    for quality in (80, 60, 40, 20):
        out = io.BytesIO()
        flat.save(out, "JPEG", quality=quality)
        data = base64.b64encode(out.getvalue()).decode("ascii")
        if len(data) <= THUMBNAIL_BYTES:
            return Thumbnail(data)
    return None
