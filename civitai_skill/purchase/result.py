"""What became of a request: a Picture for each one asked for, saved or with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.api.stages import chains_of
from civitai_skill.engines.catalog import identify
from civitai_skill.errors import WorkflowFailed
from civitai_skill.errors.next_steps import Choose, Next, Release, TryAgain
from civitai_skill.steps.chain import Planned


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

    @classmethod
    def unsaved(cls, image: Image) -> Picture:
        """A picture as the service tells of it."""
        return cls(
            None, image.url if image.deliverable else None, image.width, image.height, image.seed,
            image.deliverable, image.reason, image.id,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name != "id"}
        return told | {"path": None if self.path is None else str(self.path)}


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
    plan: Planned | None = field(default=None, repr=False)

    @property
    def id(self) -> str | None:
        return self.workflow.id

    @property
    def status(self) -> str:
        return self.workflow.status

    @property
    def cost(self) -> int | None:
        """What it costs in Buzz, as last told by the service: less once something came back."""
        return self.workflow.cost.total

    @property
    def paths(self) -> tuple[Path, ...]:
        """The pictures that are on disk."""
        return tuple(p.path for p in self.pictures if p.path is not None)

    @property
    def outputs(self) -> tuple[Mapping[str, Any], ...]:
        """The words that steps gave."""
        return self.workflow.outputs

    @property
    def enhanced_prompt(self) -> str | None:
        """The prompt as a step reworded it before it was drawn."""
        said = (output.get("enhancedPrompt") for output in self.workflow.outputs)
        return next((text for text in said if isinstance(text, str) and text), None)

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": self.workflow.id,
            "status": self.workflow.status,
            "engine": self.engine,
            "variant": self.variant,
            "cost": self.workflow.cost.as_dict(),
            "images": [p.as_dict() for p in self.pictures],
            "errors": list(self.workflow.reasons()),
            "resumed": self.resumed,
        }
        if outputs := self.workflow.outputs:
            out["outputs"] = [dict(output) for output in outputs]
            if self.enhanced_prompt is not None:
                out["enhanced_prompt"] = self.enhanced_prompt
        if self.notes:
            out["notes"] = list(self.notes)
        if self.warnings:
            out["warnings"] = list(self.warnings)
        return out


def summarize(
    workflow: Workflow,
    pictures: Sequence[Picture] = (),
    decided: Planned | None = None,
    *,
    resumed: bool = False,
) -> Generation:
    """A Generation for a workflow; the engine is read back where it was not decided here."""
    notes, warnings = (decided.notes, decided.warnings) if decided is not None else ((), ())
    if decided is None:
        engine, variant = identify(workflow.input)
    else:
        engine, variant = decided.family, decided.variant
    if workflow.cost.variable and workflow.cost.total:
        notes = (*notes, f"The {workflow.cost.total} Buzz are a cap: it may settle lower.")
    return Generation(
        workflow, tuple(pictures), engine, variant, notes,
        tuple(dict.fromkeys([*warnings, *map(str, workflow.warnings)])), resumed, decided,
    )  # fmt: skip


def summarize_unsaved(workflow: Workflow) -> Generation:
    """A Generation without fetching: what each picture's state is."""
    last: list[Image] = []
    for chain in chains_of(workflow):
        # The last that can be delivered, or the first that there is.
        there = [stage.image for stage in chain if stage.image is not None]
        last += [next((i for i in there if i.deliverable), there[-1])] if there else []
    return summarize(workflow, [Picture.unsaved(image) for image in last])


def workflow_failed_error(result: Generation, wanted: int) -> WorkflowFailed:
    """The error for a workflow that ended without all its pictures, with the reason it gave."""
    workflow = result.workflow
    reasons = workflow.reasons() or tuple(p.reason for p in result.pictures if p.reason)
    got = sum(picture.available for picture in result.pictures)
    what = f"ended as {workflow.status}"
    if workflow.status == "succeeded" or got:
        what += f" with {got} of {wanted} pictures"
        unfinished = sum(p.available and p.reason is not None for p in result.pictures)
        if unfinished:
            what += f", {unfinished} of them not finished"
    why = "; ".join(dict.fromkeys(reasons)) or NO_REASON
    kept = sum(workflow.cost.by_currency.values())
    refunded = sum(workflow.cost.refunded.values())
    money = f" {refunded} Buzz were refunded." if refunded else ""
    advice, following = _what_next(workflow, result.pictures, wanted)
    return WorkflowFailed(
        f"Workflow {workflow.id} {what}: {why.rstrip('.')}.{money}",
        workflow=workflow,
        result=result,
        reasons=reasons,
        advice=advice,
        next=following,
        spent="yes" if kept or (workflow.cost.total or 0) > 0 else "no",
    )


def _what_next(
    workflow: Workflow, pictures: Sequence[Picture], wanted: int
) -> tuple[str, list[Next]]:
    """What to do about missing pictures."""
    got = sum(picture.available for picture in pictures)
    if any(image.held for image in workflow.images):
        return (
            "What is held back is made and paid for: do not make it again. Only the user can "
            "release it, for yellow Buzz; then it is fetched by its id.",
            [Release(workflow.id)] if workflow.id else [],
        )
    if workflow.moderated:
        return "Change the prompt; a blocked one must not be sent again unchanged.", []
    if got == wanted and not any(p.reason for p in pictures):
        return "The pictures are whole and saved; only what was to be said of them is missing.", []
    if got and got == wanted:
        return (
            "What came is saved as it was before the step that failed. It can be finished by "
            "itself: do not draw it again.",
            [],
        )
    if got:
        missing = wanted - got
        return (
            f"Keep those that came, and ask only for what is missing: quantity {missing}, with "
            "another seed where one was set.",
            [],
        )
    if workflow.status == "canceled":
        return "It was canceled; the same request makes it anew.", []
    again = [TryAgain(workflow.id)] if workflow.id else []
    return "Try the same request once more, or choose another engine.", [*again, Choose()]
