"""The models that a request names, looked up once: after it the request holds AIRs alone.

What the site says counts, not what was typed. An AIR needs no look-up to be sent, so a site that
gives no answer stops no purchase that has its AIRs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from civitai_skill.api.service import Flow
from civitai_skill.engines import catalog
from civitai_skill.engines.planning.checks import check_name
from civitai_skill.errors import ApiError, Problem, RequestInvalid, TransportFailed
from civitai_skill.errors.next_steps import Advice, Say
from civitai_skill.resources.records import HELD, Kind, Resource
from civitai_skill.resources.search import find_by_name
from civitai_skill.resources.site import ModelSite, has_engine
from civitai_skill.resources.takers import find_takers
from civitai_skill.schema.references import Reference, parse_reference
from civitai_skill.schema.request import ImageRequest

#: Seconds that a purchase with AIRs waits for the site to say what it knows of them.
CHECKING = 5.0
#: Trigger words that are all put into a prompt; of more, which are other ways to use it, the first.
_MOST_TRIGGERS = 3
_TOLD = 10
_UNKNOWN = "the site knows no such model: it is deleted, or not public"

#: The fields by which a request asks anything of the site.
NAMING = (*HELD, "trigger")


@dataclass(frozen=True)
class Place:
    """A model in a request: where it stands, as a refusal names it, and the text that names it."""

    field: str
    at: str
    text: str

    def refused(self, why: str, accepted: str = "", nearest: str | None = None) -> RequestInvalid:
        """The refusal of what it names."""
        problem = Problem(self.at, self.text, accepted, nearest, why)
        return RequestInvalid(problem)


@dataclass(frozen=True)
class Resolved:
    """A request with AIRs alone, what was found of them, and what a person should know."""

    request: ImageRequest
    found: tuple[Resource, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def places(request: ImageRequest) -> Iterator[Place]:
    """The models that a request names; its checkpoint first. Raises RequestInvalid for a bare name
    in its place."""
    if request.model is not None:
        check_name(request.model)
        yield Place("model", "model", request.model)
    yield from (Place("loras", f"loras.{i}.air", x.air) for i, x in enumerate(request.loras))
    yield from (Place("embeddings", f"embeddings.{i}", x) for i, x in enumerate(request.embeddings))
    if request.vae is not None:
        yield Place("vae", "vae", request.vae)


def resolve_request(
    site: ModelSite, request: ImageRequest, *, mature: bool = False
) -> Flow[Resolved]:
    """Look up what a request names.

    `mature` lets a name mean a mature model. Raises RequestInvalid for what is unknown, not clear,
    not to be generated with, or made for another engine; TransportFailed and ApiError where the
    site gives no answer and an AIR is needed from it.
    """
    said = list(places(request))
    if not said:
        notes = ("No LoRA is named, so there are no trigger words.",) if request.trigger else ()
        return Resolved(_without_trigger(request), notes=notes)
    engine = catalog.find(request.engine).name if request.given("engine") else None
    looking = _Looking(site, request, mature, engine)
    airs: dict[str, str] = {}
    for place in said:
        airs[place.at] = yield from looking.look_up(place)
    whole = with_engine(_with_airs(request, airs))
    prompt, warnings = _with_triggers(request, looking.found)
    if prompt != request.prompt:
        whole = whole.model_copy(update={"prompt": prompt})
    if not request.given("engine") and whole.engine != request.engine:
        chosen = f"Engine {whole.engine}: what the models that were named are made for."
        looking.notes.append(chosen)
    return Resolved(
        _without_trigger(whole), tuple(looking.found), tuple(looking.notes), tuple(warnings)
    )


def find_model(
    site: ModelSite,
    place: Place,
    reference: Reference,
    kind: Kind | None = None,
    engine: str | None = None,
    mature: bool = False,
) -> Flow[Resource]:
    """What a reference means, of a kind and for an engine where they are said.

    Raises RequestInvalid where it means none, or several; TransportFailed and ApiError.
    """
    found: Resource | None = None
    if reference.hash is not None:
        found = yield from site.by_hash(reference.hash)
    elif reference.name is not None:
        name = reference.name
        match = yield from find_by_name(site, name, kind=kind, engine=engine, mature=mature)
        found = match.found
        if found is None:
            raise _unclear(place, match.candidates)
    elif reference.version is not None:
        found = yield from site.by_version(reference.version)
        _check_model(place, reference, found)
    elif reference.model is not None:
        model = yield from site.model(reference.model)
        if model is not None:  # what does not fit is refused by its own reason
            found = yield from site.shown(model, kind=kind, engine=engine)
    else:
        why = "only models of Civitai's are looked up; name this one by its whole AIR"
        raise place.refused(why)
    if found is None:
        raise place.refused(_UNKNOWN)
    return found


@dataclass
class _Looking:
    """One request's look-ups; `engine` becomes that of the first model where none was said."""

    site: ModelSite
    request: ImageRequest
    mature: bool
    engine: str | None
    found: list[Resource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look_up(self, place: Place) -> Flow[str]:
        """The AIR of one model."""
        reference, kind = parse_reference(place.text), HELD[place.field]
        if reference.is_whole:
            return (yield from self._check(place, reference))
        asked, meant = (reference.text, kind, self.engine, self.mature), self.site.meant
        if asked not in meant:
            meant[asked] = yield from find_model(
                self.site, place, reference, kind, self.engine, self.mature
            )
        one = meant[asked]
        self.notes.append(f"{place.text} is {one.label}, {one.air}.")
        return (yield from self._take(place, one))

    def _check(self, place: Place, reference: Reference) -> Flow[str]:
        """An AIR that could be sent as it is: what the site says of it counts, where it answers."""
        must = self.request.trigger
        unasked = reference.version is None or self._is_stock(place.text)
        if unasked or (self.site.silent and not must):
            return place.text
        site = self.site if must else replace(self.site, seconds=CHECKING)
        try:
            one = yield from site.by_version(reference.version or 0)
        except (TransportFailed, ApiError) as error:
            if must:
                raise
            self.site.silent = True
            why = f"because the site gave no answer: {error.message}"
            self.notes.append(f"{place.text} was not checked, {why}")
            return place.text
        if one is None:
            self.notes.append(
                f"The site knows no {place.text} (deleted, or not public): whether it fits is not "
                "certain."
            )
            return place.text
        _check_model(place, reference, one)
        air = yield from self._take(place, one)
        if air != place.text:
            self.notes.append(f"{place.text} is {air} by the site.")
        return air

    def _is_stock(self, text: str) -> bool:
        """Is it a model that the engine's own variants draw with?"""
        if self.engine is None:
            return False
        ways = (way for variant in catalog.family(self.engine).variants for way in variant.ways)
        return any(text == way.default.get("model") for way in ways)

    def _take(self, place: Place, one: Resource) -> Flow[str]:
        """A model that was found, where it may be used here. Raises RequestInvalid."""
        wanted = HELD[place.field]
        if one.refusal:
            why = f"{one.label} is {one.refusal} on the site"
            raise place.refused(why, "a model that can be used")
        if one.kind != wanted:
            right = next((field for field, kind in HELD.items() if kind == one.kind), None)
            accepted = f"the field {right}" if right else f"a {wanted}"
            why = f"{one.label} is of the kind {one.kind}"
            raise place.refused(why, accepted)
        if one.takers and not has_engine(one.takers, self.engine):
            raise (yield from self._misfit(place, one))
        if self.engine is None and one.takers:
            self.engine = one.takers[0].engine
        self.found.append(one)
        return one.air

    def _misfit(self, place: Place, one: Resource) -> Flow[RequestInvalid]:
        """The refusal of what another engine takes, with the version of it that fits, if any."""
        model = None if one.model_id is None else (yield from self.site.model(one.model_id))
        other = None
        if model is not None:
            other = yield from self.site.newest(model, kind=one.kind, engine=self.engine)
        takers = " or ".join(map(str, one.takers))
        why = f"{one.label} is made for {one.base_model or 'another family'}, which {takers} takes"
        accepted = f"what engine {self.engine} takes, or engine {takers}"
        if other is None:
            return place.refused(why, accepted)
        accepted += f"; {other.label} fits"
        return place.refused(why, accepted, other.air)


def _check_model(place: Place, reference: Reference, one: Resource | None) -> None:
    """A version's number belongs to one model; another's beside it is a slip. Raises
    RequestInvalid."""
    if one is not None and reference.model not in (None, one.model_id):
        why = f"version {reference.version} is {one.label}, of model {one.model_id}"
        raise place.refused(why, nearest=one.air)


def _unclear(place: Place, candidates: tuple[Resource, ...]) -> RequestInvalid:
    """The refusal of a name that several models bear, or none."""
    if not candidates:
        why = "no model that can be generated with, and fits, is found by this name"
        return place.refused(why)
    told = "; ".join(
        f"{one.air} ({one.label}, {one.base_model}, by {one.creator or 'somebody'}"
        f"{'' if one.downloads is None else f', {one.downloads} downloads'})"
        for one in candidates
    )
    why = f"{'several models bear' if len(candidates) > 1 else 'no model bears exactly'} this name"
    return place.refused(why, f"one of {told}")


# -- the request with what was found ---------------------------------------------------------------
def _with_airs(request: ImageRequest, airs: Mapping[str, str]) -> ImageRequest:
    changes: dict[str, Any] = {n: airs[n] for n in ("model", "vae") if n in airs}
    if request.loras:
        changes["loras"] = [
            lora.model_copy(update={"air": airs[f"loras.{i}.air"]})
            for i, lora in enumerate(request.loras)
        ]
    if request.embeddings:
        changes["embeddings"] = [airs[f"embeddings.{i}"] for i in range(len(request.embeddings))]
    return request.model_copy(update=changes)


def _without_trigger(request: ImageRequest) -> ImageRequest:
    """The wish is granted: what it asked for stands in the prompt."""
    if "trigger" not in request.model_fields_set:
        return request
    return ImageRequest(**{n: v for n, v in request.said().items() if n != "trigger"})


def _with_triggers(request: ImageRequest, found: list[Resource]) -> tuple[str, list[str]]:
    """The prompt, with the LoRAs' trigger words where they are asked for; a warning for each model
    whose words it lacks all the same."""
    prompt, warnings = request.prompt, []
    for one in found:
        prompts = [prompt]
        if one.kind == "embedding":  # most are made for the negative one
            prompts.append(request.negative_prompt or "")
        lacking = [words for words in one.triggers if not any(_holds(p, words) for p in prompts)]
        # Of many, each is another way to use it, and one is enough.
        many = len(one.triggers) > _MOST_TRIGGERS
        if not lacking or (many and len(lacking) < len(one.triggers)):
            continue
        if request.trigger and one.kind == "lora":
            added = lacking[:1] if many else lacking
            prompt = ", ".join([prompt.rstrip(" ,"), *added])
            if many:
                rest = " | ".join(lacking[1:_TOLD])
                warnings.append(f"{one.label}: added {added[0]}; its other trigger words: {rest}.")
            continue
        where = "prompt or negative_prompt" if one.kind == "embedding" else "the prompt"
        words = "one of its trigger words" if many else "its trigger words"
        told = " | ".join(lacking[:_TOLD])
        lacks = f"{one.label}: {where} lacks {words}: {told}."
        add = "add it" if many else "add them"
        warnings.append(Advice(lacks, Say("trigger", add)) if one.kind == "lora" else lacks)
    return prompt, warnings


def _holds(prompt: str, words: str) -> bool:
    return " ".join(words.casefold().split()) in " ".join(prompt.casefold().split())


def with_engine(request: ImageRequest) -> ImageRequest:
    """The request with the engine that its models are made for, where it says none itself and one
    takes them all."""
    if not any(getattr(request, name) for name in HELD) or request.given("engine"):
        return request
    takers = []
    for place in places(request):
        air = parse_reference(place.text).air
        found = () if air is None else find_takers(air.family or "", air.type or "")
        takers.append({taker.engine: taker for taker in found})
    shared = [name for name in takers[0] if all(name in one for one in takers)]
    if not shared or request.engine in shared:
        return request
    chosen = shared[0]
    variant = request.variant or takers[0][chosen].variant
    changes = {"engine": chosen} | ({} if variant is None else {"variant": variant})
    return request.model_copy(update=changes)
