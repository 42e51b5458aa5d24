"""From a reading to a request for one engine: what is carried, what is changed, what is left out.

Each field is tried on the engine's own form, in the order of what depends on what; a value that the
form refuses goes in as the nearest it takes, or stays out, and is told with the form's own reason.
What the caller says wins over everything that was read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.prompts import adapt_prompt, find_foreign
from civitai_skill.engines.samplers import BACKENDS
from civitai_skill.engines.sizing import ratio_value
from civitai_skill.errors import RequestInvalid
from civitai_skill.remix.home import airs_of, find_home
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.resolve import Resolved
from civitai_skill.resources.takers import field_of
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_request

#: What stands for the prompt while the settings are tried: the prompt's own limits come last.
_ANY = "a picture"
#: Sides in pixels, of which a second program's picture is often not a multiple.
_GRID = 16
#: The site's own seeds end here.
_SITE_SEEDS = 2**32 - 1
#: The samplers of sdcpp that a third party's price requests saw accepted (facts of August 2026).
_SEEN_TO_RUN = frozenset({"euler", "euler_a", "heun", "dpm2", "lcm"})


@dataclass(frozen=True)
class Change:
    """Something that is not as it was read: what, why, and what it became (None: left out)."""

    what: str
    why: str
    became: Any = None

    def as_dict(self) -> dict[str, str]:
        why = self.why if self.became is None else f"{self.why}; it became {self.became}"
        return {"what": self.what, "why": why}


@dataclass
class Fitted:
    """A request that was made of a reading. `refusal` says why it can't be bought as it is."""

    fields: dict[str, Any]
    changes: list[Change] = field(default_factory=list)
    unresolved: list[dict[str, Any]] = field(default_factory=list)
    refusal: RequestInvalid | None = None


def fit(reading: Reading, resolved: Sequence[Resolved], said: Mapping[str, Any]) -> Fitted:
    """The request for a reading with what the caller says otherwise. Raises RequestInvalid where
    the caller's own fields do not fit together."""
    fitting = _Fitting(reading, list(resolved), dict(said))
    fitting.models()
    fitting.sampling()
    fitting.size()
    fitting.numbers()
    fitting.options()
    fitting.passes()
    fitting.words()
    return fitting.out


class _Fitting:
    def __init__(self, reading: Reading, resolved: list[Resolved], said: dict[str, Any]) -> None:
        self.reading, self.resolved, self.said = reading, resolved, said
        self.airs = list(airs_of(said))
        self.home = find_home(reading, resolved, self.airs)
        fields = {"prompt": _ANY} | said | {"prompt": _ANY}
        if "engine" not in fields and self.home.engine is not None:
            fields["engine"] = self.home.engine
            if self.home.variant is not None and fields.keys().isdisjoint(("model", "quality")):
                fields.setdefault("variant", self.home.variant)
        self.out = Fitted(fields)
        self.plan = plan(ImageRequest(**fields))
        self.family = catalog.family(self.plan.family)
        self.moved = self.home.engine not in (None, self.family.name)

    def _try(self, **more: Any) -> RequestInvalid | None:
        """Take fields over where the form takes them beside all the others; else say why not."""
        try:
            self.plan = plan(ImageRequest(**{**self.out.fields, **more}))
        except RequestInvalid as error:
            return error
        self.out.fields |= more
        return None

    def _take(self, what: str, **more: Any) -> bool:
        """The same, where a refusal is told."""
        refused = self._try(**more)
        if refused is not None:
            self._tell(what, _reason(refused))
        return refused is None

    def _tell(self, what: str, why: str, became: Any = None) -> None:
        self.out.changes.append(Change(what, why, became))

    # -- models ------------------------------------------------------------------------------------
    def models(self) -> None:
        for each in self.resolved:
            field = field_of(each.kind) or ""
            what = f"{each.kind} {each.label}"
            if field in ("model", "vae") and field in self.said:
                self._tell(what, f"{field} was said otherwise")
            elif each.air is not None and each.air in self.airs:
                continue  # as strong as was said
            elif self.moved:
                self._tell(what, f"made for another engine than {self.family.name}")
            elif each.air is None:
                self._ask_for(each, what)
            else:
                self._load(each, field, what)
        is_told = self.home.certain or not self.said.keys().isdisjoint(("model", "engine"))
        if not is_told and all(each.kind != "checkpoint" for each in self.resolved):
            self.out.unresolved.append({"kind": "checkpoint", "name": None, "hash": None})

    def _ask_for(self, each: Resolved, what: str) -> None:
        if each.kind == "vae" and each.named.hash is None and each.named.version_id is None:
            self._tell(what, "the engine's own is taken")
            return
        if each.kind == "checkpoint" and ("engine" in self.said or self.home.certain):
            why = f"{each.why}; the engine's own model is taken"
            self._tell(what, why, f"{self.plan.family} {self.plan.variant}")
            return
        self.out.unresolved.append(each.as_unresolved())
        self._tell(what, f"{each.why}; left out until it is named by its AIR")

    def _load(self, each: Resolved, field: str, what: str) -> None:
        value: Any = each.air
        if field == "loras":
            weight = 1.0 if each.named.weight is None else each.named.weight
            value = {"air": each.air, "strength": weight}
        if field in ("loras", "embeddings"):
            value = [*self.out.fields.get(field, ()), value]
        if self._take(what, **{field: value}) and field == "model":
            self.home.certain = True

    # -- sampler, size, numbers --------------------------------------------------------------------
    def sampling(self) -> None:
        sampling = self.reading.sampling
        if sampling.sampler is None or self.said.keys() & {"sampler", "scheduler"}:
            return
        what = " ".join(filter(None, (sampling.sampler, sampling.schedule)))
        if self.moved or type(self.plan.form).prompt_syntax not in ("weights", "comfy"):
            self._tell(f"sampler {what}", f"{self.family.name} draws best with its own")
            return
        # The surer first: of sdcpp's samplers only some were ever seen to run, but it alone loads
        # embeddings.
        comfy, sdcpp = (sampling.on(backend) for backend in BACKENDS)
        on_sdcpp = sdcpp and (self.out.fields.get("embeddings") or sdcpp[0] in _SEEN_TO_RUN)
        why = "no engine here has it"
        for pair in filter(None, (sdcpp, comfy) if on_sdcpp else (comfy, sdcpp)):
            refused = self._try(sampler=pair[0], scheduler=pair[1])
            if refused is None:
                return
            why = _reason(refused)
        self._tell(f"sampler {what}", why)

    def size(self) -> None:
        width, height = self.reading.width, self.reading.height
        if not width or not height or self.said.keys() & {"width", "height", "aspect_ratio"}:
            return
        what = f"size {width}x{height}"
        if not self.moved:
            on_grid = tuple(max(1, round(side / _GRID)) * _GRID for side in (width, height))
            for size in dict.fromkeys(((width, height), on_grid, self._within(width, height))):
                if size[0] % self.family.multiple or size[1] % self.family.multiple:
                    continue
                if self._try(width=size[0], height=size[1]) is None:
                    if size != (width, height):
                        self._tell(what, "not a size that the engine takes", f"{size[0]}x{size[1]}")
                    return
        shape = width / height
        ratios = self.family.ratios()
        for ratio in sorted(ratios, key=lambda one: abs(math.log(ratio_value(one) / shape)))[:3]:
            if self._try(aspect_ratio=ratio) is None:
                became = "{}x{}".format(*self.plan.size) if self.plan.size else ratio
                if self.plan.size != (width, height):
                    self._tell(what, f"{self.family.name} has sizes of its own", became)
                return
        self._tell(what, f"{self.family.name} takes no size")

    def _within(self, width: int, height: int) -> tuple[int, int]:
        """The same shape within the form's limits, as far as they go."""
        known = limits(type(self.plan.form))
        if "width" not in known or "height" not in known:
            return width, height
        sides = ((known["width"], width), (known["height"], height))
        most = min((limit.maximum or side) / side for limit, side in sides)
        least = max((limit.minimum or side) / side for limit, side in sides)
        scale = min(max(1.0, least), most) / _GRID
        wide, high = (max(1, math.floor(side * scale)) * _GRID for side in (width, height))
        return wide, high

    def numbers(self) -> None:
        reading, guidance = self.reading, self.reading.guidance
        if type(self.plan.form).prompt_syntax in ("words", "parsed"):
            # sd.cpp writes a distilled guidance for every model; of its own families alone it is.
            is_said = reading.distilled_guidance is not None
            if is_said and (reading.dialect != "sdcpp" or guidance == 1):
                guidance = reading.distilled_guidance
        for name, value in (("steps", reading.steps), ("guidance", guidance)):
            if value is None or name in self.said:
                continue
            if self.moved:
                self._tell(f"{name} {value:g}", f"{self.family.name} has its own")
            elif "quality" in self.said:
                self._tell(f"{name} {value:g}", "the quality that was asked for sets it")
            else:
                self._number(name, value)
        if reading.seed is not None and "seed" not in self.said:
            self._seed(reading.seed)

    def _number(self, name: str, value: float) -> None:
        refused = self._try(**{name: value})
        if refused is None:
            return
        near = next((p.nearest for p in refused.problems if p.field == name), None)
        if isinstance(near, int | float) and self._try(**{name: near}) is None:
            self._tell(f"{name} {value:g}", "out of the engine's range", f"{near:g}")
        else:
            self._tell(f"{name} {value:g}", _reason(refused))

    def _seed(self, seed: int) -> None:
        what = f"seed {seed}"
        if seed < 1:
            self._tell(what, "it stands for a random one")
        elif (refused := self._try(seed=seed)) is None:
            if seed > _SITE_SEEDS:
                self._tell(what, f"sent as it is; the site's own seeds end at {_SITE_SEEDS}")
        elif self._try(seed=seed % 2**32 or 1) is None:
            self._tell(what, "too large", seed % 2**32 or 1)
        else:
            self._tell(what, _reason(refused))

    # -- the rest ----------------------------------------------------------------------------------
    def options(self) -> None:
        clip_skip = self.reading.clip_skip
        known = limits(type(self.plan.form))
        if "clip_skip" in known and not self.moved:
            # What a text does not say is 1 there, whatever the form's own default is.
            options = self.said.get("options", {})
            if options.keys().isdisjoint(("clipSkip", "clip_skip")):
                self._try(options={**options, "clipSkip": clip_skip or 1})
        elif clip_skip is not None and clip_skip > 2:
            self._tell(f"clip skip {clip_skip}", f"{self.family.name} has no such setting")

    def passes(self) -> None:
        reading = self.reading
        if reading.hires:
            self._second_pass()
        if reading.needs_source_image:
            self._source()
        if reading.controlnets and "control_nets" not in self.said:
            nets = ((net.get("preprocessor"), net.get("model"), "?") for net in reading.controlnets)
            kinds = ", ".join(next(str(name) for name in net if name) for net in nets)
            why = "its picture is not in the metadata: give it with control_nets"
            self._tell(f"ControlNet {kinds[:200]}", why)
        for what in reading.not_carried:
            self._tell(what, "there is no such setting here")
        if reading.modules:
            self._tell(f"modules {', '.join(reading.modules)[:200]}", "the engine has its own")
        if reading.other_version_ids:
            ids = ", ".join(map(str, reading.other_version_ids[:20]))
            self._tell(f"model versions {ids}", "the page lists them without saying what for")

    def _second_pass(self) -> None:
        hires = self.reading.hires
        variant = f"a variant of it{self.reading.second_pass}"
        instead = f"there is no second pass: make the picture, then {variant}"
        scale = hires.get("scale")
        if scale is None and "width" in hires and self.reading.width:
            scale = round(hires["width"] / self.reading.width, 2)
        if scale is None or self.moved or self.said.keys() & {"hires", "upscale"}:
            self._tell("Hires fix", instead)
            return
        more = {"hires": scale} | ({"hires_strength": d} if (d := hires.get("denoise")) else {})
        refused = refusal_of({**self.out.fields, **more})
        if refused is not None:
            self._tell("Hires fix", f"{_reason(refused)}; {instead}")
            return
        self.out.fields |= more
        left = [n for n in ("upscaler", "steps") if n in hires]
        if left:
            self._tell(f"Hires {' and '.join(left)}", "the second pass draws as the first does")

    def _source(self) -> None:
        denoise = self.reading.denoise
        if "images" not in self.said:
            why = "it was drawn over one, which is not in the metadata: give it as images"
            self._tell("source picture", why)
        elif denoise is not None and "strength" not in self.said:
            self._take(f"denoising strength {denoise:g}", strength=denoise)

    def words(self) -> None:
        """The prompts, in the way of the form that was chosen."""
        syntax = type(self.plan.form).prompt_syntax
        told: dict[str, None] = {}

        def adapted(text: str) -> str:
            foreign = {each.kind for each in find_foreign(text)}
            if self.moved or syntax in ("weights", "comfy") or "weight" in foreign:
                text, notes = adapt_prompt(text, syntax)
                told.update(dict.fromkeys(notes))
            return text

        negative = self.reading.negative_prompt
        if negative and "negative_prompt" not in self.said:
            self._take("negative prompt", negative_prompt=adapted(negative))
        prompt = self.said.get("prompt") or adapted(self.reading.prompt_plain)
        for note in told:
            self._tell("prompt", note)
        self.out.fields["prompt"] = prompt
        if self.reading.hidden and not prompt:
            why = "its owner hides the prompt and the settings; say a prompt of your own"
            self._tell("prompt", why)
        self.out.refusal = refusal_of(self.out.fields)


def refusal_of(fields: Mapping[str, Any]) -> RequestInvalid | None:
    """Why a request can't be bought as it is."""
    try:
        # Trigger words are looked up where it is bought.
        plan_request(ImageRequest(**{n: v for n, v in fields.items() if n != "trigger"}))
    except RequestInvalid as error:
        return error
    return None


def _reason(error: RequestInvalid) -> str:
    """Why a form refuses a field, in one line."""
    owner = f"{error.engine}: " if error.engine else ""
    return f"{owner}{error.problems[0].why or 'not accepted'}"
