"""Bringing a finished workflow home: a Picture for each one asked for, saved or with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.api import blobs
from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.catalog import identify
from civitai_skill.engines.planning.plan import Plan
from civitai_skill.errors import CivitaiError, RequestInvalid, TransportFailed, WorkflowFailed
from civitai_skill.images import save
from civitai_skill.images.decode import Unreadable, size_of
from civitai_skill.images.save import Place


@dataclass(frozen=True)
class Picture:
    """One picture that was asked for: where it is, or why it is not. Sizes are pixels."""

    path: Path | None
    url: str | None
    width: int | None
    height: int | None
    seed: int | None
    available: bool
    reason: str | None
    id: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": None if self.path is None else str(self.path),
            "url": self.url,
            "width": self.width,
            "height": self.height,
            "seed": self.seed,
            "available": self.available,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Generation:
    """What became of a request: the workflow as last read, and a Picture for each one asked for."""

    workflow: Workflow
    pictures: tuple[Picture, ...] = ()
    engine: str | None = None
    variant: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    resumed: bool = False
    plan: Plan | None = field(default=None, repr=False)

    @property
    def id(self) -> str | None:
        return self.workflow.id

    @property
    def status(self) -> str:
        return self.workflow.status

    @property
    def paths(self) -> tuple[Path, ...]:
        """The pictures that are on disk."""
        return tuple(p.path for p in self.pictures if p.path is not None)

    @property
    def outputs(self) -> tuple[Mapping[str, Any], ...]:
        """The words that steps gave."""
        return self.workflow.outputs

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "engine": self.engine,
            "variant": self.variant,
            "cost": self.workflow.cost.as_dict(),
            "images": [p.as_dict() for p in self.pictures],
            "errors": list(self.workflow.reasons()),
            "resumed": self.resumed,
        }
        if self.outputs:
            out["outputs"] = [dict(output) for output in self.outputs]
        if self.notes:
            out["notes"] = list(self.notes)
        if self.warnings:
            out["warnings"] = list(self.warnings)
        return out


def bring_home(
    service: Service,
    workflow: Workflow,
    *,
    out: Path,
    decided: Plan | None = None,
    tell: Callable[[Picture], None] = lambda picture: None,
    resumed: bool = False,
    have: Mapping[int, Path] | None = None,
    record: Callable[[int, Path, bytes], None] | None = None,
    place: Place | None = None,
) -> Flow[Generation]:
    """Save every picture of a finished workflow.

    `have` are pictures that are on disk already, by number; `record` hears of each one saved.
    `place` saves one where it belongs; left out, it is named after the workflow and its number.

    Raises WorkflowFailed when the workflow gave fewer pictures than asked for, TransportFailed when
    one is there but could not be fetched or written; both carry the Generation in `result`.
    """
    yield Work(lambda: save.prepare_folder(out))
    pictures: list[Picture] = []
    trouble: CivitaiError | None = None
    for n, image in enumerate(workflow.images):
        if have and n in have:
            width, height = yield Work(partial(measure, have[n]))
            at_home = Picture(have[n], image.url, width, height, image.seed, True, None, image.id)
            pictures.append(at_home)
            continue
        if not image.deliverable:
            pictures.append(_missing_picture(image))
            continue
        try:
            fetched = yield from blobs.fetch(service, image, workflow.id or "")
            saved = partial(save.save_picture, fetched, out, f"{workflow.id}-{n}")
            put = saved if place is None else partial(place, n, fetched)
            path = yield Work(partial(_save_one, put, n, fetched.data, record))
        except TransportFailed as error:
            trouble = error
            pictures.append(replace(_missing_picture(image), available=True, reason=error.message))
            continue
        except OSError as error:
            trouble = _not_saved_error(workflow, out, error.strerror or "the disk refused it")
            pictures.append(
                replace(_missing_picture(image), available=True, reason=trouble.message)
            )
            continue
        width, height = fetched.size
        picture = Picture(path, image.url, width, height, image.seed, True, None, image.id)
        pictures.append(picture)
        tell(picture)
    wanted = decided.quantity if decided is not None else workflow.wanted
    while len(pictures) < wanted:
        reason = "; ".join(workflow.reasons()) or NO_REASON
        pictures.append(Picture(None, None, None, None, None, False, reason))
    wanted = len(pictures)  # steps that finish them give pictures of their own
    result = replace(summarize(workflow, pictures, decided), resumed=resumed)
    if trouble is not None:
        raise _attach_result(trouble, result)
    if workflow.status != "succeeded" or len(result.paths) < wanted:
        raise workflow_failed_error(result, wanted)
    return result


def _save_one(
    put: Callable[[], Path],
    n: int,
    data: bytes,
    record: Callable[[int, Path, bytes], None] | None,
) -> Path:
    path = put()
    if record is not None:
        record(n, path, data)
    return path


def measure(path: Path) -> tuple[int | None, int | None]:
    """The pixels of a picture on disk, where they can be read."""
    try:
        return size_of(path.read_bytes(), blobs.KINDS)
    except (OSError, Unreadable):
        return None, None


def summarize(
    workflow: Workflow, pictures: Sequence[Picture] = (), decided: Plan | None = None
) -> Generation:
    """A Generation for a workflow; the engine is read back where it was not decided here."""
    if decided is not None:
        return Generation(
            workflow,
            tuple(pictures),
            decided.family,
            decided.variant,
            decided.notes,
            decided.warnings,
            plan=decided,
        )
    engine, variant = identify(workflow.input)
    return Generation(workflow, tuple(pictures), engine, variant)


def summarize_unsaved(workflow: Workflow) -> Generation:
    """A Generation without fetching: what each picture's state is."""
    return summarize(workflow, [_missing_picture(image) for image in workflow.images])


def _missing_picture(image: Image) -> Picture:
    return Picture(
        None, image.url, image.width, image.height, image.seed,
        image.deliverable, image.reason, image.id,
    )  # fmt: skip


def workflow_failed_error(result: Generation, wanted: int) -> WorkflowFailed:
    """The error for a workflow that ended without all its pictures, with the reason it gave."""
    workflow = result.workflow
    reasons = workflow.reasons() or tuple(p.reason for p in result.pictures if p.reason)
    got = sum(picture.available for picture in result.pictures)
    if workflow.status == "succeeded" or got:
        what = f"ended as {workflow.status} with {got} of {wanted} pictures"
    else:
        what = f"ended as {workflow.status}"
    why = "; ".join(dict.fromkeys(reasons)) or NO_REASON
    kept = sum(workflow.cost.by_currency.values())
    refunded = sum(workflow.cost.refunded.values())
    money = f" {refunded} Buzz were refunded." if refunded else ""
    return WorkflowFailed(
        f"Workflow {workflow.id} {what}: {why.rstrip('.')}.{money}",
        workflow=workflow,
        result=result,
        reasons=reasons,
        advice=_next_steps(workflow, got, wanted),
        spent="yes" if kept or (workflow.cost.total or 0) > 0 else "no",
    )


def _next_steps(workflow: Workflow, got: int, wanted: int) -> str:
    """What to do about missing pictures; sentences with a command stand last."""
    if any(image.held for image in workflow.images):
        return (
            "What is held back is made and paid for: do not make it again. Only the user can "
            "release it, for yellow Buzz; then it is fetched by its id. They do so with: "
            f"civitai-skill release {workflow.id}"
        )
    if workflow.moderated:
        return "Change the prompt; a blocked one must not be sent again unchanged."
    if got:
        missing = wanted - got
        return (
            f"Keep those that came, and ask only for what is missing: quantity {missing}, with "
            "another seed where one was set."
        )
    if workflow.status == "canceled":
        return "It was canceled; call again to make it."
    return "Call again to try once more, or choose another engine."


def _not_saved_error(workflow: Workflow, out: Path, why: str) -> TransportFailed:
    return TransportFailed(
        f"A picture of workflow {workflow.id} could not be written to {out}: {why}",
        spent="yes",
        workflow_id=workflow.id,
        advice=f"It is paid for and kept for 30 days. Fetch it with: "
        f"civitai-skill get {workflow.id} --out FOLDER",
    )


def folder_gone_error(workflow: Workflow, out: Path, refused: RequestInvalid) -> CivitaiError:
    """The error for a folder that was ready before the purchase, and is not any more."""
    error = _not_saved_error(workflow, out, refused.problems[0].why)
    return _attach_result(error, summarize_unsaved(workflow))


def _attach_result(error: CivitaiError, result: Generation) -> CivitaiError:
    error.result = result
    return error
