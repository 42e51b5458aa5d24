"""What generation data says of a picture, before any fitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from civitai_skill.remix.values import number_of, positive_of, size_of, text_of, whole_of


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


def read_sampling(sampler: Any, schedule: Any = "") -> Sampling:
    """A sampler in any program's spelling, with its schedule in the name or beside it."""
    name, said = text_of(sampler)[:100], text_of(schedule)[:100]
    beside = None if said.lower() in _NONE else name_schedule(said)
    if name.lower() in _NONE:
        return Sampling(None, beside)
    found = split_sampler(name)
    if found is None:
        return Sampling(name, beside)
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
        return (self.name, self.hash, self.version_id, self.air) != (None,) * 4


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

    @property
    def second_pass(self) -> str:
        """Its size and strength in words, as far as they are said."""
        size, hires = "", self.hires
        if "width" in hires:
            size = f" at {hires['width']}x{hires['height']}"
        elif self.width and self.height and hires.get("scale"):
            sides = (round(side * hires["scale"]) for side in (self.width, self.height))
            size = " at {}x{}".format(*sides)
        return size + (f" with strength {hires['denoise']:g}" if "denoise" in hires else "")

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
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        found |= {name: value for name, value in numbers.items() if value is not None}
        found |= {"sampler": self.sampling.sampler, "schedule": self.sampling.schedule}
        if self.sampling.sampler is not None:
            found |= {backend: self.sampling.on(backend) for backend in BACKENDS}
        models = {"model": self.model, "vae": self.vae}
        found |= {name: named.as_dict() for name, named in models.items() if named}
        found["loras"] = [lora.as_dict() for lora in self.loras]
        found["embeddings"] = [embedding.as_dict() for embedding in self.embeddings]
        said = {name: getattr(self, name) for name in _WHERE_SAID}
        return found | {name: value for name, value in said.items() if value}


#: How what a program wrote is read for a field.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "prompt": text_of, "negative_prompt": text_of,
    "steps": positive_of, "seed": whole_of, "guidance": number_of, "distilled_guidance": number_of,
    "width": positive_of, "height": positive_of, "clip_skip": positive_of, "size": size_of,
}  # fmt: skip


def read_fields(data: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a reading by the keys under which a program writes them: {field: key, or several
    with | between them, of which the first that is there counts}. A size is width and height."""
    values = {
        name: next((data[k] for k in spelt.split("|") if data.get(k) is not None), None)
        for name, spelt in keys.items()
    }
    found = {name: _READERS[name](value) for name, value in values.items()}
    for name, side in zip(("width", "height"), found.pop("size", ()), strict=False):
        found[name] = side or found.get(name)
    return found


_NUMBERS = (
    "raw_prompt", "steps", "seed", "guidance", "distilled_guidance", "width", "height", "clip_skip",
)  # fmt: skip
_WHERE_SAID = (
    "modules", "hires", "denoise", "needs_source_image", "controlnets", "not_carried",
    "other_version_ids", "base_model", "hidden",
)  # fmt: skip
