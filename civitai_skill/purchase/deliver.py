"""Bring a finished workflow home: each picture is fetched and saved, or gets its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from civitai_skill.api import blobs
from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.api.stages import Chain, Stage, chains_of
from civitai_skill.errors import CivitaiError, RequestInvalid, TransportFailed
from civitai_skill.errors.next_steps import Look
from civitai_skill.images import save
from civitai_skill.images.convert import Conversion, convert_picture
from civitai_skill.images.decode import FetchedPicture, Unreadable, size_of
from civitai_skill.images.save import Place
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.result import Generation, Picture, summarize, workflow_failed_error
from civitai_skill.steps.chain import Planned


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
    plan: Planned | None = None
    resumed: bool = False
    have: Mapping[int, Path] = field(default_factory=dict)
    record: Callable[[int, Path, bytes], None] | None = None
    place: Place | None = None
    #: What is done to each picture on this machine.
    conversion: Conversion | None = None
    #: Do the pictures from before the last step come home too?
    keep_all: bool = False

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
    plan = delivery.plan
    chains = chains_of(workflow, None if plan is None else plan.quantity)
    kept = [stage.image for chain in chains for stage in chain[1:] if stage.image is not None]
    whole = [*chains, *(((Stage("", image, ""),)) for image in kept if delivery.keep_all)]
    for n, chain in enumerate(whole):
        try:
            pictures.append((yield from _deliver_last(service, workflow, n, chain, delivery)))
        except TransportFailed as error:
            trouble = error
            image = next(s.image for s in chain if s.image is not None and s.image.deliverable)
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
    unfinished = any(picture.reason for picture in pictures)
    if workflow.status != "succeeded" or len(result.paths) < wanted or unfinished:
        raise workflow_failed_error(result, wanted)
    return result


def _deliver_last(
    service: Service, workflow: Workflow, n: int, chain: Chain, delivery: Delivery
) -> Flow[Picture]:
    """The last picture of a chain that is there; one from before its end says what is missing."""
    troubles: list[str] = []
    seed = next((s.image.seed for s in reversed(chain) if s.image is not None), None)
    refused: TransportFailed | None = None
    for stage in chain:
        image = stage.image
        if image is None or not (image.deliverable or n in delivery.have):
            troubles.append(stage.trouble)
            continue
        try:
            found = yield from _deliver_one(
                service, workflow, n, replace(image, seed=seed), delivery, finished=not troubles
            )
        except TransportFailed as error:
            if not image.vector or stage is chain[-1]:
                raise
            refused = error  # what came is no SVG to keep: the picture it was drawn from is there
            troubles.append(error.message)
            continue
        if not troubles:
            return found
        # The one after it failed, and what was to follow that was not begun.
        return replace(found, reason=f"not finished, but as it was before: {troubles[-1]}")
    if refused is not None:
        raise refused
    image = next((s.image for s in reversed(chain) if s.image is not None), None)
    unsaved = Picture(None, None, None, None, seed, False, troubles[-1])
    unsaved = unsaved if image is None else Picture.unsaved(image)
    if unsaved.reason == NO_REASON and workflow.reasons():
        return replace(unsaved, reason="; ".join(workflow.reasons()))
    return unsaved


def _deliver_one(
    service: Service, workflow: Workflow, n: int, image: Image, delivery: Delivery, finished: bool
) -> Flow[Picture]:
    if n in delivery.have:
        path = delivery.have[n]
        width, height = yield Work(partial(measure, path))
        return Picture(path, image.url, width, height, image.seed, True, None, image.id)
    fetched = yield from blobs.fetch(service, image, workflow.id or "")
    why: str | None = None
    if delivery.conversion is not None and not image.vector:
        fetched, why = yield Work(partial(_convert, fetched, delivery.conversion, finished))
    try:
        path = yield Work(partial(delivery.save, workflow, n, fetched))
    except OSError as error:
        raise _not_saved_error(workflow, delivery.out, error) from None
    width, height = (side or None for side in fetched.size)
    picture = Picture(path, image.url, width, height, image.seed, True, why, image.id)
    delivery.tell(picture)
    return picture


def _convert(
    fetched: FetchedPicture, conversion: Conversion, finished: bool
) -> tuple[FetchedPicture, str | None]:
    """A picture as it was wanted, or as it came, with the reason."""
    try:
        return convert_picture(fetched.data, conversion), None
    except RequestInvalid as error:
        # It is paid for: it comes home whatever it is.
        return fetched, f"saved as it came: {error.message}" if finished else None


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
