"""Which pictures of a workflow are wanted: the last of each chain, or what came before it.

A workflow whose steps were named here (`steps/names.py`) is known by these names, whoever looks at
it; of any other one every picture is one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from civitai_skill.api.models import NO_REASON, Image, Workflow
from civitai_skill.steps.names import PICTURE, STAGES


@dataclass(frozen=True)
class Stage:
    """A picture at one place of its chain; `image` is None where its step gave none."""

    name: str
    image: Image | None
    status: str
    errors: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """Why it is not there, for people; only where it is not."""
        what = STAGES.get(self.name, "drawing")
        if self.image is not None and self.image.reason not in (None, NO_REASON):
            return f"{what} failed: {self.image.reason}"
        why = "; ".join(self.errors) or NO_REASON
        return f"{what} {'was not begun' if self.status == 'canceled' else 'failed'}: {why}"


Chain = tuple[Stage, ...]


def chains_of(workflow: Workflow, most: int | None = None) -> tuple[Chain, ...]:
    """The chain of each picture, the last stage first; `most` pictures of one that is drawn alone.

    Where a stage is missing altogether it is not told: the chain ends before it.
    """
    follow: dict[int, list[Stage]] = {}
    drawn: list[Stage] = []
    for step in workflow.steps:
        if step.place is None:
            # Whatever more the service tells than was asked for is not of this request.
            asked = most if len(workflow.steps) == 1 else None
            if asked is None and step.name == PICTURE:
                asked = step.quantity
            drawn += [Stage("", image, step.status, step.errors) for image in step.images[:asked]]
        elif step.place[0] in STAGES:
            stage, number = step.place
            image = step.images[0] if step.images else None
            found = Stage(stage, image, step.status, step.errors)
            follow.setdefault(number, []).append(found)
    order = list(STAGES)
    chains: list[Chain] = []
    for number in range(1, max([len(drawn), *follow]) + 1):
        stages = sorted(follow.get(number, []), key=lambda s: order.index(s.name), reverse=True)
        first = drawn[number - 1 : number]
        if stages or first:
            chains.append((*stages, *first))
    return tuple(chains)
