"""Bring a finished workflow home: each picture is fetched and saved, or gets its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from civitai_skill.api import blobs
from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.engines.planning.plan import Plan
from civitai_skill.errors import CivitaiError, TransportFailed
from civitai_skill.errors.next_steps import Look
from civitai_skill.images import save
from civitai_skill.images.decode import FetchedPicture, Unreadable, size_of
from civitai_skill.images.save import Place
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.result import Generation, Picture, summarize, workflow_failed_error


@dataclass(frozen=True)
class Delivery:
    """Where the pictures of a workflow go.

    `have` are those that are on disk already, by number; `record` hears of each one saved (number,
    path, bytes). `place` saves one where it belongs; left out, it is named after the workflow and
    its number. `plan` is what was asked for, where it is known; `resumed` says that an earlier call
    bought it.
    """

    out: Path
    tell: Tell = ignore_event
    plan: Plan | None = None
    resumed: bool = False
    have: Mapping[int, Path] = field(default_factory=dict)
    record: Callable[[int, Path, bytes], None] | None = None
    place: Place | None = None

    def save(self, workflow: Workflow, n: int, fetched: FetchedPicture) -> Path:
        """Put a picture on disk. Raises OSError."""
        self.out.mkdir(parents=True, exist_ok=True)
        if self.place is None:
            path = save.save_picture(fetched, self.out, f"{workflow.id}-{n}")
        else:
            path = self.place(n, fetched)
        if self.record is not None:
            self.record(n, path, fetched.data)
        return path


def bring_home(service: Service, workflow: Workflow, delivery: Delivery) -> Flow[Generation]:
    """Save every picture of a finished workflow.

    Raises WorkflowFailed when the workflow gave fewer pictures than asked for, TransportFailed when
    one is there but could not be fetched or written; both carry the Generation in `result`.
    """
    pictures: list[Picture] = []
    trouble: CivitaiError | None = None
    images, plan = workflow.images, delivery.plan
    if plan is not None and len(workflow.steps) == 1:
        images = images[: plan.quantity]  # whatever more the service tells was not asked for
    for n, image in enumerate(images):
        try:
            pictures.append((yield from _deliver_one(service, workflow, n, image, delivery)))
        except TransportFailed as error:
            trouble = error
            unsaved = Picture.unsaved(image)
            pictures.append(replace(unsaved, available=True, reason=error.message))
    wanted = plan.quantity if plan is not None else workflow.wanted
    while len(pictures) < wanted:
        reason = "; ".join(workflow.reasons()) or NO_REASON
        pictures.append(Picture(None, None, None, None, None, False, reason))
    wanted = len(pictures)  # steps that finish them give pictures of their own
    result = summarize(workflow, pictures, plan, resumed=delivery.resumed)
    if trouble is not None:
        raise trouble.replace(result=result) from None
    if workflow.status != "succeeded" or len(result.paths) < wanted:
        raise workflow_failed_error(result, wanted)
    return result


def _deliver_one(
    service: Service, workflow: Workflow, n: int, image: Image, delivery: Delivery
) -> Flow[Picture]:
    if n in delivery.have:
        path = delivery.have[n]
        width, height = yield Work(partial(measure, path))
        return Picture(path, image.url, width, height, image.seed, True, None, image.id)
    if not image.deliverable:
        return Picture.unsaved(image)
    fetched = yield from blobs.fetch(service, image, workflow.id or "")
    try:
        path = yield Work(partial(delivery.save, workflow, n, fetched))
    except OSError as error:
        raise _not_saved_error(workflow, delivery.out, error) from None
    width, height = fetched.size
    picture = Picture(path, image.url, width, height, image.seed, True, None, image.id)
    delivery.tell(picture)
    return picture


def measure(path: Path) -> tuple[int | None, int | None]:
    """The pixels of a picture on disk, where they can be read."""
    try:
        return size_of(path.read_bytes(), blobs.KINDS)
    except (OSError, Unreadable):
        return None, None


def _not_saved_error(workflow: Workflow, out: Path, error: OSError) -> TransportFailed:
    why = error.strerror or "the disk refused it"
    return TransportFailed(
        f"A picture of workflow {workflow.id} could not be written to {out}: {why}",
        spent="yes",
        workflow_id=workflow.id,
        advice="It is paid for and kept for 30 days.",
        next=[Look(workflow.id, save=True)] if workflow.id else (),
    )
