"""Several steps as one workflow: what is enhanced before a picture is drawn, and what follows it.

Steps are named and take from each other by name, one chain for each picture. Sizes, and with them
prices, are worked out from the picture as it is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.planning.plan import Plan, Price, plan
from civitai_skill.engines.sizing import SQUARE, Size
from civitai_skill.engines.sources import sources_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import fold
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.finishing import read_exact
from civitai_skill.schema.problems import to_problems
from civitai_skill.schema.request import FOLLOWING, ImageRequest
from civitai_skill.steps.convert_image import WIDEST, Convert
from civitai_skill.steps.exact import LATER, drawn_for, passes_for
from civitai_skill.steps.form import Ref, StepForm
from civitai_skill.steps.image_background_removal import BackgroundRemoval
from civitai_skill.steps.image_to_svg import TO_SVG
from civitai_skill.steps.image_upscaler import Upscaler
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.media_rating import Rating
from civitai_skill.steps.names import ENHANCE, PICTURE, STAGES, WORDS, name_of
from civitai_skill.steps.prompt_enhancement import NEGATIVE, Enhancement
from civitai_skill.steps.second_drawing import draw_again
from civitai_skill.steps.wd_tagging import Tagging

#: So many characters stand where another step's words will.
_LONGEST_STAND_IN = 100


@dataclass(frozen=True)
class NamedStep:
    """A step of a workflow.

    `refs` are what it takes from others, by wire name; `takes` says which of the sources its form
    names, in its order; `buzz` is its documented price.
    """

    name: str
    form: Wire | StepForm
    buzz: int | None
    refs: Mapping[str, Ref] = field(default_factory=dict)
    takes: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        return self.form.kind if isinstance(self.form, StepForm) else "imageGen"

    @property
    def stage(self) -> str:
        """Its name without the number of its picture."""
        return self.name.rpartition("-")[0] or self.name

    def to_json(self) -> dict[str, Any]:
        """As it is sent; sources as the request names them."""
        taken = {name: ref.to_json() for name, ref in self.refs.items()}
        return {"$type": self.kind, "name": self.name, "input": {**self.form.sent(), **taken}}


@dataclass(frozen=True)
class ChainPlan(Plan):
    """A request that takes several steps, decided; `price` is that of all of them, and `size` what
    a picture ends with, None for an SVG."""

    steps: tuple[NamedStep, ...] = ()
    #: Its pixels at the end of the steps, and those that it is brought to on this machine.
    finished: Size | None = None
    exact: Size | None = None


@dataclass(frozen=True)
class FinishPlan:
    """Pictures to finish, decided: the steps, what they cost, what a person should know."""

    steps: tuple[NamedStep, ...]
    quantity: int
    price: Price
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[Size | None, ...] = ()
    #: Which pictures take no step that makes one: what becomes of them is done on this machine.
    here: tuple[int, ...] = ()
    #: The pixels of each as it ends on the service, where they are known.
    finished: tuple[Size | None, ...] = ()
    family: None = None
    variant: None = None
    seed: None = None
    operation: None = None

    @property
    def title(self) -> str:
        return ", ".join(_described(self.steps)) or "on this machine"

    @property
    def size(self) -> Size | None:
        """The pixels of the one picture as it ends on the service."""
        return self.finished[0] if len(self.finished) == 1 else None


#: What decides an order.
Planned = Plan | FinishPlan


def _described(steps: Sequence[NamedStep]) -> list[str]:
    """Each kind of finishing once, in a word."""
    words = {"enhance": "enhanced prompt", "cutout": "background removed", "svg": "SVG"}
    stages = dict.fromkeys(step.stage for step in steps if step.name != PICTURE)
    return [words.get(stage, stage) for stage in stages]


# -- a request for a picture ---------------------------------------------------------------------
def plan_request(
    request: ImageRequest, sources: tuple[Size | None, ...] = (), *, today: date | None = None
) -> Plan:
    """Decide a request and all that follows; a Plan where one step does it. Raises
    RequestInvalid."""
    if request.model_fields_set.isdisjoint(FOLLOWING):
        return plan(request, sources=sources, today=today)
    asked = request
    if request.enhance_prompt:
        # What will stand there is not known: its length can't be judged.
        asked = request.model_copy(update={"prompt": request.prompt.strip()[:_LONGEST_STAND_IN]})
    drawn = drawn_for(asked, sources, today)
    size = drawn.form.sizing.drawn(drawn.form, sources[0] if sources else None)
    taken = tuple(range(len(sources_of(drawn.form))))
    words = _words_of(request, drawn.form)
    steps = [NamedStep(PICTURE, drawn.form, drawn.price.buzz, words, taken)]
    if request.enhance_prompt:
        steps.insert(0, _enhance(request, drawn.form))
    times = request.hires or 1
    passes, said = passes_for(request, (round(size[0] * times), round(size[1] * times)))
    ends: list[Size | None] = []
    for i in range(drawn.quantity):
        start, at = Ref(PICTURE, f"output.images[{i}].url"), size
        if request.hires is not None:
            again = draw_again(asked, drawn, size, i)
            refs = {again.form.alias("image"): start, **_words_of(request, again.form)}
            name = name_of("hires", i + 1)
            steps.append(NamedStep(name, again.form, again.price.buzz, refs))
            start, at = Ref(name, "output.images[0].url"), again.size or size
        more, end = follow(request, i + 1, start, at, passes)
        steps += more
        ends.append(end)
    if len(steps) == 1:
        return replace(drawn, notes=(*drawn.notes, *said))
    decided = {part.name: getattr(drawn, part.name) for part in fields(Plan)}
    exact = read_exact(request.exact) if request.exact else None
    decided |= {"price": _total(steps, drawn.price), "notes": (*drawn.notes, *said)}
    decided |= {"title": ", ".join([drawn.title, *_described(steps)]), "size": exact or ends[0]}
    return ChainPlan(**decided, steps=tuple(steps), finished=ends[0], exact=exact)


def _enhance(request: ImageRequest, form: Wire) -> NamedStep:
    tags = form.tags()
    given = {"ecosystem": tags.get("ecosystem", tags["engine"]), "prompt": request.prompt}
    if request.negative_prompt:
        given["negativePrompt"] = request.negative_prompt
    return _step(ENHANCE, Enhancement, given, SQUARE)


def _words_of(request: ImageRequest, form: Wire) -> dict[str, Ref]:
    """The words that a drawing takes from the step before it."""
    if not request.enhance_prompt:
        return {}
    found = {form.alias("prompt"): Ref(ENHANCE, Enhancement.result())}
    if request.negative_prompt and "negative_prompt" in type(form).model_fields:
        found[form.alias("negative_prompt")] = Ref(ENHANCE, NEGATIVE)
    return found


# -- pictures that are there ---------------------------------------------------------------------
def plan_finishing(request: FinishRequest, sources: tuple[Size | None, ...]) -> FinishPlan:
    """Decide what becomes of pictures; without steps where all of it is done here.

    `sources` are their pixels, where they are known. Raises RequestInvalid.
    """
    steps: list[NamedStep] = []
    notes: list[str] = []
    finished: list[Size | None] = []
    for i, known in enumerate(sources):
        passes, said = passes_for(request, known, f"images.{i}" if len(sources) > 1 else "images")
        notes += [note for note in said if note not in notes]
        more, end = follow(request, i + 1, i, known or SQUARE, passes)
        steps += more
        finished.append(known and end)
    price = _total(steps, Price(0, None, "" if steps else "nothing is bought"))
    if steps and None in sources:
        note = f"{price.buzz} for pictures of 1024x1024" if price.buzz is not None else ""
        price = Price(None, None, note and f"not certain: the size is not known; {note}")
    drawn = {step.name.rpartition("-")[2] for step in steps if step.stage in STAGES}
    here = tuple(i for i in range(len(sources)) if str(i + 1) not in drawn)
    return FinishPlan(
        tuple(steps), len(drawn), price, tuple(notes), (), sources, here, tuple(finished)
    )


# -- what follows one picture --------------------------------------------------------------------
#: A step that is wanted: its stage, its form, and what its input says beside the picture.
_Wanted = tuple[str, type[StepForm], Mapping[str, Any]]


def follow(
    request: ImageRequest | FinishRequest, number: int, start: Ref | int, size: Size, passes: int
) -> tuple[list[NamedStep], Size | None]:
    """The steps after picture `number`, and the pixels that it ends with; None for an SVG.

    `start` is where it stands, or which source it is. Words are about what is seen, which no stage
    changes: they wait for none.
    """
    steps: list[NamedStep] = []
    at, pixels = start, size
    for stage, form, given in _wanted(request, passes):
        name = name_of(stage, number)
        if stage in WORDS:
            steps.append(_step(name, form, given, size, start))
            continue
        step = _step(name, form, given, pixels, at)
        assert isinstance(step.form, StepForm), "engines draw before this"
        steps.append(step)
        at, pixels = Ref(name, form.result()), step.form.drawn(pixels)
    return steps, None if request.svg else pixels


def _wanted(request: ImageRequest | FinishRequest, passes: int) -> Iterator[_Wanted]:
    if passes:
        given: dict[str, Any] = {"numberOfRepeats": passes}
        if request.upscale_model is not None:
            given["model"] = request.upscale_model
        yield "upscale", Upscaler, given
    if request.remove_background:
        webp = request.output_format == "webP"
        yield "cutout", BackgroundRemoval, {"format": "webp"} if webp else {}
    if request.svg is not None:
        form = TO_SVG[request.svg]
        spelt = {fold(form.alias(name)): form.alias(name) for name in form.model_fields}
        settings = {spelt.get(fold(n), n): value for n, value in request.svg_settings.items()}
        yield "svg", form, {**form.tags(), **settings}
    if request.on_service:
        yield "convert", Convert, _conversion(request)
    if request.caption:
        yield "caption", Captioning, {}
    if request.auto_tags:
        yield "tags", Tagging, {}
    if request.rate:
        yield "rating", Rating, Rating.level_only(LATER).sent()


def _conversion(request: ImageRequest | FinishRequest) -> dict[str, Any]:
    """What convertImage is told. Raises RequestInvalid."""
    quality, width = (getattr(request, name) for name in request.local)
    kind = (request.output_format or ("png" if request.remove_background else "jpeg")).lower()
    output: dict[str, Any] = {"format": kind, "hideMetadata": bool(request.strip_metadata)}
    if quality is not None:
        output["quality"] = quality
    if width is None:
        return {"output": output}
    if width > WIDEST:
        why = "the service's conversion ends there"
        raise RequestInvalid(Problem(request.local[1], width, f"1 to {WIDEST}", WIDEST, why))
    return {"transforms": [{"type": "resize", "targetWidth": width}], "output": output}


def _step(
    name: str,
    form: type[StepForm],
    given: Mapping[str, Any],
    size: Size,
    at: Ref | int | None = None,
) -> NamedStep:
    """A step that takes its picture from another step, or a source. Raises RequestInvalid."""
    field = form.source()
    pictured = {} if at is None or field is None else {field: LATER}
    try:
        made = form.model_validate({**given, **pictured})
    except ValidationError as error:
        owner = name.rpartition("-")[0]
        problems = to_problems(error, form)
        raise RequestInvalid(
            *(replace(p, field=f"{owner}_settings.{p.field}") for p in problems)
        ) from None
    refs = {field: at} if isinstance(at, Ref) and field is not None else {}
    return NamedStep(name, made, made.buzz(size), refs, (at,) if isinstance(at, int) else ())


# -- what it costs -------------------------------------------------------------------------------
_FOR = {
    ENHANCE: "to enhance the prompt", "hires": "to draw it again", "upscale": "to upscale",
    "cutout": "to remove the background", "svg": "for the SVG", "convert": "to convert",
    "caption": "to caption", "tags": "to tag", "rating": "to rate",
}  # fmt: skip


def _total(steps: list[NamedStep], drawing: Price) -> Price:
    """The price of all steps, and what each kind of them costs of it."""
    if not steps:
        return drawing
    parts: dict[str, int | None] = {}
    if drawing.buzz != 0:
        parts["to draw"] = drawing.most
    for step in steps:
        if step.name == PICTURE:
            continue
        said = _FOR[step.stage]
        sum_so_far = parts.get(said, 0)
        parts[said] = None if step.buzz is None or sum_so_far is None else sum_so_far + step.buzz
    known = {said: buzz for said, buzz in parts.items() if buzz is not None}
    note = ", ".join(f"{buzz} {said}" for said, buzz in known.items()) if len(parts) > 1 else ""
    if len(known) < len(parts):
        open_ = " and ".join(said for said in parts if said not in known)
        told = f"; {note}" if note else ""
        return Price(None, None, f"not documented {open_}{told}")
    most = sum(known.values())
    if drawing.cap is None or drawing.buzz is None:
        return Price(most, None, note)
    return Price(most - drawing.cap + drawing.buzz, most, f"at most {note}")
