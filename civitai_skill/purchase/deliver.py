"""Bring a finished workflow home: each picture is fetched and saved, or gets its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from civitai_skill.api import blobs
from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.api.stages import Chain, Stage, chains_of
from civitai_skill.errors import CivitaiError, ConfigError, RequestInvalid, TransportFailed
from civitai_skill.errors.next_steps import Look
from civitai_skill.images import save
from civitai_skill.images.convert import convert_picture
from civitai_skill.images.decode import FetchedPicture, Unreadable, size_of
from civitai_skill.images.save import Label, Place
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.result import Generation, Picture, summarize, workflow_failed_error
from civitai_skill.steps.chain import Planned


@dataclass(frozen=True)
class Delivery:
    """Where the pictures of a workflow go.

    `plan` is what was asked for, where it is known; `resumed` says that an earlier call bought it.
    The `ledger` hears of each picture saved for its `run`, whose label says how they come home;
    `have` are those that are on disk already, by number. `place` saves one where it belongs,
    whatever the label says.
    """

    out: Path
    tell: Tell = ignore_event
    plan: Planned | None = None
    resumed: bool = False
    ledger: Ledger | None = None
    run: Run | None = None
    have: Mapping[int, Path] = field(default_factory=dict)
    place: Place | None = None

    def save(self, workflow: Workflow, n: int, label: Label, fetched: FetchedPicture) -> Path:
        """Put a picture on disk; one without a name of its own bears its workflow's. Raises
        OSError."""
        self.out.mkdir(parents=True, exist_ok=True)
        run, place = self.run, self.place
        if place is None and label.facts is not None and run is not None:
            place = label.places(run.key, workflow.id, self.out)
        if place is None:
            path = save.save_picture(fetched, self.out, f"{workflow.id}-{n}")
        else:
            path = place(n, fetched)
        if self.ledger is not None and run is not None:
            data = fetched.data
            digest = hashlib.sha256(data).hexdigest()
            # Where it fails the picture is home; the next run would at most fetch it once more.
            with suppress(ConfigError):
                self.ledger.record_picture(run.key, n, path, len(data), digest)
        return path


def bring_home(service: Service, workflow: Workflow, delivery: Delivery) -> Flow[Generation]:
    """Save every picture of a finished workflow.

    Raises WorkflowFailed when the workflow gave fewer pictures than asked for, TransportFailed when
    one is there but could not be fetched or written; both carry the Generation in `result`.
    """
    pictures: list[Picture] = []
    trouble: CivitaiError | None = None
    plan, run = delivery.plan, delivery.run
    label = Label((), None) if run is None or run.label is None else Label.from_json(run.label)
    bring = partial(_bring, service, workflow, delivery, label)
    chains = list(chains_of(workflow, None if plan is None else plan.quantity))
    if label.keep_all:
        before = [stage.image for chain in chains for stage in chain[1:]]
        chains += [(Stage("", image, ""),) for image in before if image is not None]
    for n, chain in enumerate(chains):
        last = chain[0].image
        try:
            if last is not None and (last.deliverable or n in delivery.have) and len(chain) == 1:
                pictures.append((yield from bring(n, last)))
            else:
                pictures.append((yield from _bring_last(workflow, chain, n, delivery.have, bring)))
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
    whole = all(picture.path is not None and not picture.reason for picture in pictures)
    if workflow.status != "succeeded" or not whole:
        raise workflow_failed_error(result, wanted)
    return result


def _bring_last(
    workflow: Workflow,
    chain: Chain,
    n: int,
    have: Mapping[int, Path],
    bring: Callable[[int, Image], Flow[Picture]],
) -> Flow[Picture]:
    """The last picture of a chain that is there; one from before its end says what is missing."""
    troubles: list[str] = []
    seen = [stage.image for stage in chain if stage.image is not None]
    seed = seen[-1].seed if seen else None
    refused: TransportFailed | None = None
    for stage in chain:
        image = stage.image
        if image is None or not (image.deliverable or n in have):
            troubles.append(stage.trouble)
            continue
        try:
            found = yield from bring(n, replace(image, seed=seed))
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
    unsaved = Picture(None, None, None, None, seed, False, troubles[-1])
    unsaved = Picture.unsaved(seen[-1]) if seen else unsaved
    if unsaved.reason == NO_REASON and workflow.reasons():
        return replace(unsaved, reason="; ".join(workflow.reasons()))
    return unsaved


def _bring(
    service: Service, workflow: Workflow, delivery: Delivery, label: Label, n: int, image: Image
) -> Flow[Picture]:
    """Fetch a picture, make of it what is wanted here, and save it; or take what is there."""
    if n in delivery.have:
        path = delivery.have[n]
        width, height = yield Work(partial(measure, path))
        return Picture(path, image.url, width, height, image.seed, True, None, image.id)
    fetched = yield from blobs.fetch(service, image, workflow.id or "")
    why: str | None = None
    if label.conversion is not None and not image.vector:
        try:
            fetched = yield Work(partial(convert_picture, fetched.data, label.conversion))
        except RequestInvalid as error:  # it is paid for: it comes home whatever it is
            why = f"saved as it came: {error.message}"
    try:
        path = yield Work(partial(delivery.save, workflow, n, label, fetched))
    except OSError as error:
        raise _not_saved_error(workflow, delivery.out, error) from None
    width, height = (side or None for side in fetched.size)
    picture = Picture(path, image.url, width, height, image.seed, True, why, image.id)
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
