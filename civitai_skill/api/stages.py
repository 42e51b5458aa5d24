"""Which pictures of a workflow are wanted: the last of each chain, or what came before it.

A workflow whose steps were named here (`steps/names.py`) is known by these names, whoever looks at
it; of any other one every picture is one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from civitai_skill.api.models import NO_REASON, Image, Step, Workflow
from civitai_skill.api.parse import read_objects, read_quantity, read_step_reasons
from civitai_skill.steps.names import STAGES, parse_name


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
    told = read_objects(workflow.raw, "steps")
    for step, raw in zip_longest(workflow.steps, told, fillvalue=None):
        if step is None:
            break
        named = parse_name(step.name)
        if named is None:
            drawn += _drawn(step, most if len(workflow.steps) == 1 else None)
        elif named[0] in STAGES:
            image = step.images[0] if step.images else None
            reasons = tuple(read_step_reasons(raw or {}))
            stage = Stage(named[0], image, step.status, reasons)
            follow.setdefault(named[1], []).append(stage)
    order = list(STAGES)
    chains: list[Chain] = []
    for number in range(1, max(len(drawn), *follow, 0) + 1 if follow else len(drawn) + 1):
        stages = sorted(follow.get(number, []), key=lambda s: order.index(s.name), reverse=True)
        first = drawn[number - 1 : number]
        if stages or first:
            chains.append((*stages, *first))
    return tuple(chains)


def _drawn(step: Step, most: int | None) -> Iterator[Stage]:
    """The pictures of a step, no more than it was asked for where its name says that it draws."""
    images = step.images
    if most is not None:
        images = images[:most]  # whatever more the service tells was not asked for
    elif step.name == "picture":
        images = images[: read_quantity(step.input)]
    for image in images:
        yield Stage("", image, step.status, step.errors)
