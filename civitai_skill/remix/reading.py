"""What generation data says of a picture, before any fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.engines.prompts import read_lora_tags
from civitai_skill.engines.samplers import (
    BACKENDS,
    Backend,
    find_pair,
    name_schedule,
    split_sampler,
)
from civitai_skill.images.embedded import read_embedded


@dataclass(frozen=True)
class Sampling:
    """A sampler and its schedule by A1111's labels; a name that nobody knows stays as it is."""

    sampler: str | None = None
    schedule: str | None = None

    def on(self, backend: Backend) -> list[str] | None:
        """What a backend calls the two; None where it has no counterpart."""
        pair = None if self.sampler is None else find_pair(self.sampler, self.schedule, backend)
        return None if pair is None or pair.near else [pair.sampler, pair.scheduler]


#: What stands for no sampler: the engine's own is meant.
_NONE = frozenset({"", "undefined", "default", "same as primary", "use same sampler", "none"})


def read_sampling(sampler: str, schedule: str = "") -> Sampling:
    """A sampler in any program's spelling, with its schedule in the name or beside it."""
    beside = None if schedule.strip().lower() in _NONE else name_schedule(schedule.strip()[:100])
    if sampler.strip().lower() in _NONE:
        return Sampling(None, beside)
    found = split_sampler(sampler[:100])
    if found is None:
        return Sampling(sampler.strip()[:100], beside)
    return Sampling(found[0].name, beside or found[1])


@dataclass(frozen=True)
class Named:
    """A model, LoRA, embedding or VAE as the data names it; `weight` only of a LoRA."""

    name: str | None = None
    hash: str | None = None
    version_id: int | None = None
    air: str | None = None
    weight: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.name, self.hash, self.version_id, self.air))


@dataclass
class Reading:
    """One picture's generation data. Sizes are pixels of the first pass; None is what is not said.

    `hires` is a second, larger pass (scale, steps, upscaler, denoise); `denoise` alone means that a
    source picture was drawn over. `other_version_ids` are versions that a page lists without
    saying what for. `airs` are AIRs that the data tells of versions, `own` a request that this
    program wrote into its picture.
    """

    dialect: str
    prompt: str = ""
    negative_prompt: str = ""
    raw_prompt: str | None = None
    steps: int | None = None
    seed: int | None = None
    guidance: float | None = None
    distilled_guidance: float | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    sampling: Sampling = Sampling()
    model: Named = Named()
    vae: Named = Named()
    loras: list[Named] = field(default_factory=list)
    embeddings: list[Named] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    hires: dict[str, Any] = field(default_factory=dict)
    denoise: float | None = None
    needs_source_image: bool = False
    controlnets: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[str] = field(default_factory=list)
    other_version_ids: list[int] = field(default_factory=list)
    base_model: str | None = None
    hidden: bool = False
    airs: Mapping[int, str] = field(default_factory=dict)
    own: Mapping[str, Any] | None = None

    @property
    def prompt_plain(self) -> str:
        """The prompt without the tags of LoRAs."""
        return read_lora_tags(self.prompt).plain

    def own_request(self) -> dict[str, Any] | None:
        """The fields of the request that this program wrote into its picture; None where it did
        not."""
        fields = None if self.own is None else read_embedded(self.own)
        if fields is not None and self.seed is not None and "seed" in fields:
            fields["seed"] = self.seed  # of several pictures each has its own
        return fields

    def as_dict(self) -> dict[str, Any]:
        """What was said; `sdcpp` and `comfy` are the sampler and schedule in those words."""
        found: dict[str, Any] = {"dialect": self.dialect, "prompt": self.prompt}
        if self.prompt_plain != self.prompt:
            found["prompt_plain"] = self.prompt_plain
        found["negative_prompt"] = self.negative_prompt
        for name in _NUMBERS:
            if (value := getattr(self, name)) is not None:
                found[name] = value
        found |= {"sampler": self.sampling.sampler, "schedule": self.sampling.schedule}
        if self.sampling.sampler is not None:
            for backend in BACKENDS:
                found[backend] = self.sampling.on(backend)
        if self.model:
            found["model"] = self.model.as_dict()
        if self.vae:
            found["vae"] = self.vae.as_dict()
        found["loras"] = [lora.as_dict() for lora in self.loras]
        found["embeddings"] = [embedding.as_dict() for embedding in self.embeddings]
        for name in _WHERE_SAID:
            if value := getattr(self, name):
                found[name] = value
        return found


_NUMBERS = (
    "raw_prompt", "steps", "seed", "guidance", "distilled_guidance", "width", "height", "clip_skip",
)  # fmt: skip
_WHERE_SAID = (
    "modules", "hires", "denoise", "needs_source_image", "controlnets", "not_carried",
    "other_version_ids", "base_model", "hidden",
)  # fmt: skip
