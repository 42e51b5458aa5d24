"""From a reading to a request for one engine: what is carried, what is changed, what is left out.

Each field is tried on the engine's own form, in the order of what depends on what; a value that the
form refuses goes in as the nearest it takes, or stays out, and is told with the form's own reason.
What the caller says wins over everything that was read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.prompts import adapt_prompt, find_foreign
from civitai_skill.engines.sizing import ratio_value
from civitai_skill.errors import RequestInvalid
from civitai_skill.remix.changes import Change, Fitted, describe_hires, reason_of
from civitai_skill.remix.home import Home, find_home
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.resolve import Resolved
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import plan_request

#: What stands for the prompt while the settings are tried: the prompt's own limits come last.
_ANY = "a picture"
#: Sides in pixels, of which a second program's picture is often not a multiple.
_GRID = 16
#: The site's own seeds end here.
_SITE_SEEDS = 2**32 - 1
_SIZES = ("width", "height", "aspect_ratio")


def fit(reading: Reading, resolved: Sequence[Resolved], said: Mapping[str, Any]) -> Fitted:
    """The request for a reading with what the caller says otherwise. Raises RequestInvalid where
    the caller's own fields do not fit together."""
    return _Fitting(reading, list(resolved), dict(said)).run()


class _Fitting:
    def __init__(self, reading: Reading, resolved: list[Resolved], said: dict[str, Any]) -> None:
        self.reading, self.resolved, self.said = reading, resolved, said
        self.home: Home = find_home(reading, resolved, list(_airs(said)))
        self.out = Fitted({**said, "prompt": _ANY})
        self.plan: Plan = self._start()
        self.family: Family = catalog.family(self.plan.family)
        self.moved = self.home.engine is not None and self.home.engine != self.family.name

    def run(self) -> Fitted:
        self._models()
        self._sampling()
        self._size()
        self._numbers()
        self._options()
        self._passes()
        self._words()
        return self.out

    # -- the tools ---------------------------------------------------------------------------------
    def _start(self) -> Plan:
        fields = self.out.fields
        if "engine" not in fields and self.home.engine is not None:
            fields["engine"] = self.home.engine
            if self.home.variant is not None and "model" not in fields and "quality" not in fields:
                fields.setdefault("variant", self.home.variant)
        return plan(ImageRequest(**fields))

    def _try(self, **more: Any) -> RequestInvalid | None:
        """Take fields over where the form takes them beside all the others; else say why not."""
        try:
            request = ImageRequest(**{**self.out.fields, **more})
            self.plan = plan(request)
        except RequestInvalid as error:
            return error
        self.out.fields |= more
        return None

    def _is_said(self, *names: str) -> bool:
        return any(name in self.said for name in names)

    def _tell(self, what: str, why: str, became: Any = None) -> None:
        self.out.changes.append(Change(what, why, became))

    # -- models ------------------------------------------------------------------------------------
    def _models(self) -> None:
        for each in self.resolved:
            field = _FIELDS[each.kind]
            what = f"{each.kind} {each.label}"
            if field in ("model", "vae") and self._is_said(field):
                self._tell(what, f"{field} was said otherwise")
            elif each.air is not None and each.air in _airs(self.said):
                continue  # as strong as was said
            elif self.moved:
                self._tell(what, f"made for another engine than {self.family.name}")
            elif each.air is None:
                self._ask_for(each, what)
            else:
                self._load(each, field, what)
        names_no_model = not any(each.kind == "checkpoint" for each in self.resolved)
        if names_no_model and not self._is_said("model", "engine") and not self.home.certain:
            self.out.unresolved.append({"kind": "checkpoint", "name": None, "hash": None})

    def _ask_for(self, each: Resolved, what: str) -> None:
        if each.kind == "vae" and each.named.hash is None and each.named.version_id is None:
            self._tell(what, "the engine's own is taken")
            return
        if each.kind == "checkpoint" and (self._is_said("engine") or self.home.certain):
            why = f"{each.why}; the engine's own model is taken"
            self._tell(what, why, f"{self.plan.family} {self.plan.variant}")
            return
        self.out.unresolved.append(each.as_unresolved())
        self._tell(what, f"{each.why}; left out until it is named by its AIR")

    def _load(self, each: Resolved, field: str, what: str) -> None:
        value: Any = each.air
        if field == "loras":
            weight = 1.0 if each.named.weight is None else each.named.weight
            value = [*self.out.fields.get("loras", ()), {"air": each.air, "strength": weight}]
        elif field == "embeddings":
            value = [*self.out.fields.get("embeddings", ()), each.air]
        refused = self._try(**{field: value})
        if refused is not None:
            self._tell(what, reason_of(refused))
        elif field == "model":
            self.home.certain = True

    # -- sampler, size, numbers --------------------------------------------------------------------
    def _sampling(self) -> None:
        sampling = self.reading.sampling
        if sampling.sampler is None or self._is_said("sampler", "scheduler"):
            return
        what = " ".join(filter(None, (sampling.sampler, sampling.schedule)))
        if self.moved or type(self.plan.form).prompt_syntax not in ("weights", "comfy"):
            self._tell(f"sampler {what}", f"{self.family.name} draws best with its own")
            return
        refused: RequestInvalid | None = None
        for pair in self._pairs():
            refused = self._try(sampler=pair[0], scheduler=pair[1])
            if refused is None:
                return
        why = "no engine here has it" if refused is None else reason_of(refused)
        self._tell(f"sampler {what}", why)

    def _pairs(self) -> list[list[str]]:
        """What the backends call it, the surer first: of sdcpp's samplers only some were ever seen
        to run, but it alone loads embeddings."""
        comfy, sdcpp = (self.reading.sampling.on(backend) for backend in ("comfy", "sdcpp"))
        pairs = [pair for pair in (comfy, sdcpp) if pair is not None]
        if sdcpp is not None and (self.out.fields.get("embeddings") or sdcpp[0] in SEEN_ON_SDCPP):
            pairs.reverse()
        return pairs

    def _size(self) -> None:
        width, height = self.reading.width, self.reading.height
        if not width or not height or self._is_said(*_SIZES):
            return
        what = f"size {width}x{height}"
        if not self.moved:
            on_grid = tuple(max(_GRID, round(side / _GRID) * _GRID) for side in (width, height))
            for size in dict.fromkeys(((width, height), on_grid, self._within(width, height))):
                if size[0] % self.family.multiple or size[1] % self.family.multiple:
                    continue
                if self._try(width=size[0], height=size[1]) is None:
                    if size != (width, height):
                        self._tell(what, "not a size that the engine takes", f"{size[0]}x{size[1]}")
                    return
        wanted = width / height
        ratios = sorted(
            self.family.ratios(), key=lambda ratio: abs(math.log(ratio_value(ratio) / wanted))
        )
        for ratio in ratios[:3]:
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
        most = min((known[n].maximum or side) / side for n, side in
                   (("width", width), ("height", height)))  # fmt: skip
        least = max((known[n].minimum or side) / side for n, side in
                    (("width", width), ("height", height)))  # fmt: skip
        scale = min(max(1.0, least), most)
        return tuple(  # type: ignore[return-value]
            max(_GRID, math.floor(side * scale / _GRID) * _GRID) for side in (width, height)
        )

    def _numbers(self) -> None:
        reading = self.reading
        guidance = reading.guidance
        if reading.distilled_guidance is not None and self._is_distilled():
            guidance = reading.distilled_guidance
        for name, value in (("steps", reading.steps), ("guidance", guidance)):
            if value is None or self._is_said(name):
                continue
            if self.moved:
                self._tell(f"{name} {value:g}", f"{self.family.name} has its own")
            elif self._is_said("quality"):
                self._tell(f"{name} {value:g}", "the quality that was asked for sets it")
            else:
                self._number(name, value)
        if reading.seed is not None and not self._is_said("seed"):
            self._seed(reading.seed)

    def _is_distilled(self) -> bool:
        """sd.cpp writes a distilled guidance for every model; of its own families alone it is."""
        words = type(self.plan.form).prompt_syntax in ("words", "parsed")
        return words and not (self.reading.dialect == "sdcpp" and self.reading.guidance != 1)

    def _number(self, name: str, value: float) -> None:
        refused = self._try(**{name: value})
        if refused is None:
            return
        near = next((p.nearest for p in refused.problems if p.field == name), None)
        if isinstance(near, int | float) and self._try(**{name: near}) is None:
            self._tell(f"{name} {value:g}", "out of the engine's range", f"{near:g}")
        else:
            self._tell(f"{name} {value:g}", reason_of(refused))

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
            self._tell(what, reason_of(refused))

    # -- the rest ----------------------------------------------------------------------------------
    def _options(self) -> None:
        clip_skip = self.reading.clip_skip
        known = limits(type(self.plan.form))
        if "clip_skip" in known and not self.moved:
            # What a text does not say is 1 there, whatever the form's own default is.
            options = {**self.said.get("options", {})}
            if not {"clipSkip", "clip_skip"} & set(options):
                self._try(options={**options, "clipSkip": clip_skip or 1})
        elif clip_skip is not None and clip_skip > 2:
            self._tell(f"clip skip {clip_skip}", f"{self.family.name} has no such setting")

    def _passes(self) -> None:
        reading = self.reading
        if reading.hires:
            self._second_pass()
        if reading.needs_source_image:
            self._source()
        if reading.controlnets and not self._is_said("control_nets"):
            kinds = [
                str(n.get("preprocessor") or n.get("model") or "?") for n in reading.controlnets
            ]
            why = "its picture is not in the metadata: give it with control_nets"
            self._tell(f"ControlNet {', '.join(kinds)[:200]}", why)
        for what in reading.not_carried:
            self._tell(what, "there is no such setting here")
        if reading.modules:
            self._tell(f"modules {', '.join(reading.modules)[:200]}", "the engine has its own")
        if reading.other_version_ids:
            ids = ", ".join(map(str, reading.other_version_ids[:20]))
            self._tell(f"model versions {ids}", "the page lists them without saying what for")

    def _second_pass(self) -> None:
        hires = self.reading.hires
        scale = hires.get("scale")
        if scale is None and "width" in hires and self.reading.width:
            scale = round(hires["width"] / self.reading.width, 2)
        if scale is None or self.moved or self._is_said("hires", "upscale"):
            self._tell("Hires fix", describe_hires(self.reading))
            return
        more = {"hires": scale} | ({"hires_strength": d} if (d := hires.get("denoise")) else {})
        try:
            plan_request(ImageRequest(**{**self.out.fields, **more}))
        except RequestInvalid as error:
            self._tell("Hires fix", f"{reason_of(error)}; {describe_hires(self.reading)}")
            return
        self.out.fields |= more
        left = [n for n in ("upscaler", "steps") if n in hires]
        if left:
            self._tell(f"Hires {' and '.join(left)}", "the second pass draws as the first does")

    def _source(self) -> None:
        denoise = self.reading.denoise
        if not self._is_said("images"):
            why = "it was drawn over one, which is not in the metadata: give it as images"
            self._tell("source picture", why)
        elif denoise is not None and not self._is_said("strength"):
            refused = self._try(strength=denoise)
            if refused is not None:
                self._tell(f"denoising strength {denoise:g}", reason_of(refused))

    def _words(self) -> None:
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
        if negative and not self._is_said("negative_prompt"):
            refused = self._try(negative_prompt=adapted(negative))
            if refused is not None:
                self._tell("negative prompt", reason_of(refused))
        prompt = self.said.get("prompt") or adapted(self.reading.prompt_plain)
        for note in told:
            self._tell("prompt", note)
        self.out.fields = {
            "prompt": prompt,
            **{n: v for n, v in self.out.fields.items() if n != "prompt"},
        }
        if self.reading.hidden and not prompt:
            why = "its owner hides the prompt and the settings; say a prompt of your own"
            self._tell("prompt", why)
        try:
            plan_request(ImageRequest(**self.out.fields))
        except RequestInvalid as error:
            self.out.refusal = error


def _airs(said: Mapping[str, Any]) -> Iterator[str]:
    """The AIRs of the models that were said; they come beside those that were read."""
    if said.get("model"):
        yield str(said["model"])
    for lora in (*(said.get("loras") or ()), *(said.get("embeddings") or ())):
        yield str(lora["air"] if isinstance(lora, Mapping) else getattr(lora, "air", lora))


#: The samplers of sdcpp that a third party's price requests saw accepted (facts of August 2026).
SEEN_ON_SDCPP = frozenset({"euler", "euler_a", "heun", "dpm2", "lcm"})

_FIELDS = {"checkpoint": "model", "lora": "loras", "embedding": "embeddings", "vae": "vae"}
