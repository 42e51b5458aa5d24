"""What an order would send: prepared in one way for estimates, purchases, tools and batches.

Sources are opened once and the body is built once; nothing is sent here, but for sources that are
too large to travel inside the body.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from civitai_skill.api.blobs import upload
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service
from civitai_skill.api.workflows import encode_body
from civitai_skill.engines.catalog import identify
from civitai_skill.engines.planning.plan import with_seed
from civitai_skill.engines.planning.sources import check_masks, named
from civitai_skill.engines.sources import fill, picture_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.embedded import embed
from civitai_skill.images.sources import INLINE_BYTES, Source, SourcePolicy, open_source
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.identity import first_attempt, hash_json
from civitai_skill.purchase.local import check_conversion
from civitai_skill.purchase.order import Order, WorkflowBody
from civitai_skill.resources.resolve import NAMING, resolve_request, with_engine
from civitai_skill.resources.site import ModelSite
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import (
    ChainPlan,
    FinishPlan,
    NamedStep,
    Planned,
    plan_finishing,
    plan_request,
)
from civitai_skill.steps.inpaint import with_mask
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.wd_tagging import Tagging

#: Opens the source that a text names in a field.
Open = Callable[[str, str, SourcePolicy], Source | str]


@dataclass(frozen=True)
class Prepared:
    """An order ready to be priced and sent.

    `steps` and what stands `around` them make its workflow template; the steps name sources as the
    request does, and `sources` are those sources, opened. `content` is what makes it the same
    purchase as another one, `key` the caller's own. `plan` and `request` are None where the caller
    wrote the body; what the request says goes into the picture (`imageMetadata`) and is no part of
    what makes it the same purchase.
    """

    steps: list[dict[str, Any]]
    around: dict[str, Any]
    content: Mapping[str, Any]
    key: str | None
    wanted: int
    engine: str | None
    variant: str | None
    plan: Planned | None = None
    sources: tuple[Source | str, ...] = ()
    request: ImageRequest | None = None
    #: The form of each step that names sources, and which ones, by the step's place.
    takes: Mapping[int, tuple[type[BaseModel], tuple[int, ...]]] = field(default_factory=dict)

    @property
    def planned(self) -> Planned:
        """The plan of a request."""
        assert self.plan is not None, "the caller wrote the body"
        return self.plan

    def identity(self, order: Order) -> str:
        """The tagged hash of the purchase that an order makes of it."""
        # A key of the caller's own is the purchase's name, wherever its pictures go.
        out = order.out if self.key is None else None
        return hash_json(
            {
                **self.content,
                "where": order.account if order.apart else "",
                "out": None if out is None else os.path.realpath(out),
                "named": None if self.key is None else first_attempt(self.key),
            }
        )

    def body(self, places: Iterable[str] = ()) -> dict[str, Any]:
        """The workflow template without its key; `places` are its sources as they travel."""
        return {"steps": self._filled(list(places)), **self.around}

    def _filled(self, places: Sequence[str]) -> list[dict[str, Any]]:
        """The steps with other texts for their sources, and with what they say in the picture."""
        steps = [self._described(step) for step in self.steps]
        for at, (form, taken) in self.takes.items():
            held = fill(form, steps[at]["input"], [places[i] for i in taken])
            steps[at] = {**steps[at], "input": held}
        return steps

    def _described(self, step: dict[str, Any]) -> dict[str, Any]:
        """The step that draws with the request that goes into its pictures; others as they are."""
        if self.plan is None or self.request is None or step["$type"] != "imageGen":
            return step
        made, plan = step["input"], self.plan
        seed = made.get("seed")
        text = embed(self.request, plan.family or "", plan.variant or "", seed)
        return step if text is None else {**step, "input": {"imageMetadata": text, **made}}

    def travels_apart(self, number: int) -> bool:
        """Must a source be uploaded, however small: several steps take it, or one that reads
        addresses alone?"""
        takers = [form for form, taken in self.takes.values() if number in taken]
        return len(takers) > 1 or any(issubclass(f, (Captioning, Tagging)) for f in takers)

    def with_seed(self, seed: int) -> Prepared:
        """The same with a seed that counts as asked for."""
        decided = self.planned
        assert not isinstance(decided, FinishPlan), "only a request has a seed to set"
        moved = 0 if decided.seed is None else seed - decided.seed
        steps = [_move_seed(step, moved) for step in self.steps]
        content = {**self.content, "input": {**self.content["input"], "seed": seed}}
        return replace(self, steps=steps, content=content, plan=with_seed(decided, seed))


def _move_seed(step: Mapping[str, Any], by: int) -> dict[str, Any]:
    """A step whose drawing starts elsewhere; the others draw nothing by chance."""
    given = step["input"]
    if step["$type"] != "imageGen" or "seed" not in given:
        return dict(step)
    return {**step, "input": {**given, "seed": given["seed"] + by}}


def resolve(service: Service, order: Order) -> Flow[Order]:
    """The order with the AIRs of the models that its request names; the site is asked for them.

    Every purchase and price goes through here once, before it is prepared.
    """
    asked = order.asked
    if not isinstance(asked, ImageRequest) or not any(getattr(asked, name) for name in NAMING):
        return order
    site = ModelSite(service, order.models, order.account)
    mature = order.terms.allow_mature_content is True
    found = yield from resolve_request(site, asked, mature=mature)
    return replace(
        order, asked=found.request, told=(*order.told, *found.notes), warned=found.warnings
    )


def prepare(order: Order, open_source: Open = open_source) -> Prepared:
    """Open the sources, choose the form, fill it. Raises RequestInvalid."""
    if isinstance(order.asked, WorkflowBody):
        return _prepare_body(order.asked.body)
    terms = order.terms
    terms.check()
    if isinstance(order.asked, FinishRequest):
        return _prepare_finishing(order, order.asked, open_source)
    request = with_engine(order.asked)
    if request.inpaint is not None:
        request = with_mask(request)
    places = named(request)
    sources = tuple(open_source(text, place, order.sources) for place, text in places)
    sizes = tuple(None if isinstance(source, str) else source.size for source in sources)
    if len(places) > 1:
        check_masks(dict(zip((place for place, _ in places), sizes, strict=True)))
    decided = plan_request(request, sizes[: len(request.images)])
    decided = replace(
        decided,
        notes=(*order.told, *decided.notes),
        warnings=(*order.warned, *decided.warnings),
    )
    form = decided.form
    check_conversion(request, getattr(decided, "finished", decided.size))
    drawing: NamedStep | None = None
    if isinstance(decided, ChainPlan):
        steps = [step.to_json() for step in decided.steps]
        takes = _takers(decided.steps)
        drawing = next(step for step in decided.steps if step.form is form)
    else:
        steps = [{"$type": "imageGen", "input": form.sent()}]
        takes = {0: (type(form), tuple(range(len(sources))))} if sources else {}

    made = form.sent() if drawing is None else drawing.to_json()["input"]
    made = fill(type(form), made, _digests(sources)) if sources else dict(made)
    picture = picture_of(type(form))
    if picture is not None:
        made.pop(form.alias(picture), None)
    if request.seed is None:
        made.pop("seed", None)
    content: dict[str, Any] = {"input": made}
    if drawing is not None:
        others = [step for step in steps if step["name"] != drawing.name]
        # Where the seed is left to chance, that of a second drawing is too.
        content["steps"] = [_move_seed(s, -(decided.seed or 0)) for s in others]
    return _assemble(order, steps, takes, content, decided, sources)


def _prepare_finishing(order: Order, request: FinishRequest, open_source: Open) -> Prepared:
    """Pictures that are there: each opened as it would be sent."""
    several = len(request.images) > 1
    sources = tuple(
        open_source(text, f"images.{i}" if several else "images", order.sources)
        for i, text in enumerate(request.images)
    )
    sizes = tuple(None if isinstance(source, str) else source.size for source in sources)
    decided = plan_finishing(request, sizes)
    for size in decided.finished:
        check_conversion(request, size)
    steps = [step.to_json() for step in decided.steps]
    return _assemble(order, steps, _takers(decided.steps), {"steps": steps}, decided, sources)


def _takers(
    steps: Sequence[NamedStep],
) -> dict[int, tuple[type[BaseModel], tuple[int, ...]]]:
    return {i: (type(step.form), step.takes) for i, step in enumerate(steps) if step.takes}


def _digests(sources: Iterable[Source | str]) -> list[str]:
    return [s if isinstance(s, str) else hashlib.sha256(s.data).hexdigest() for s in sources]


def _assemble(
    order: Order,
    steps: list[dict[str, Any]],
    takes: Mapping[int, tuple[type[BaseModel], tuple[int, ...]]],
    content: Mapping[str, Any],
    decided: Planned,
    sources: tuple[Source | str, ...],
) -> Prepared:
    terms = order.terms
    around, priority = terms.around(), terms.priority
    if priority is not None:
        steps = [{**step, "priority": priority} for step in steps]
    same = {**content, "sources": _digests(sources), "terms": {**around, "steps": priority}}
    return Prepared(
        steps,
        around,
        same,
        terms.external_id,
        decided.quantity,
        decided.family,
        decided.variant,
        decided,
        sources,
        order.asked if isinstance(order.asked, ImageRequest) else None,
        takes,
    )


def _prepare_body(body: Mapping[str, Any]) -> Prepared:
    """A body of the caller's own, as far as it can be judged without the published document."""
    accepted = 'a workflow template: {"steps": [{"$type": "imageGen", "input": {...}}], ...}'
    if not isinstance(body, Mapping):
        raise RequestInvalid(Problem("body", type(body).__name__, accepted))
    steps = body.get("steps")
    if not isinstance(steps, list) or not all(isinstance(s, Mapping) for s in steps) or not steps:
        why = "this takes the service's own body"
        advice = "" if "prompt" not in body else "A prompt and its settings are a request."
        given = ", ".join(str(name)[:40] for name in list(body)[:10])
        raise RequestInvalid(Problem("body", given, accepted, None, why), advice=advice)
    Terms(external_id=body.get("externalId")).check()
    if body.get("ephemeral") not in (None, False):
        # Its end is forgotten at once (schema WorkflowTemplate): nobody could fetch what was paid
        # for, and the same key sent again would pay again.
        why = "the service would not keep what is paid for"
        raise RequestInvalid(
            Problem("ephemeral", body["ephemeral"], "false, or left out", None, why)
        )
    try:
        own: dict[str, Any] = json.loads(encode_body(body))  # as the service reads it
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestInvalid(Problem("body", None, "plain JSON", None, str(error)[:200])) from None
    key = own.pop("externalId", None)
    drawn = Workflow.read(own)
    around = {name: value for name, value in own.items() if name != "steps"}
    return Prepared(own["steps"], around, {"body": own}, key, drawn.wanted, *identify(drawn.input))


def upload_sources(
    service: Service, prepared: Prepared, give_up_at: float | None = None
) -> Flow[dict[str, Any]]:
    """The body with its sources where the service can read them: small ones inside, large ones
    uploaded, until `give_up_at` (time.monotonic)."""
    places: list[str] = []
    for number, source in enumerate(prepared.sources):
        if isinstance(source, str):
            places.append(source)
        elif len(source.data) <= INLINE_BYTES and not prepared.travels_apart(number):
            places.append(source.data_url())
        else:
            places.append((yield from upload(service, source, give_up_at)))
    return prepared.body(places)


def build_workflow(
    request: ImageRequest | Mapping[str, Any],
    *,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    external_id: str | None = None,
    allow_mature_content: bool | None = None,
    currencies: Sequence[str] | None = None,
    priority: str | None = None,
) -> dict[str, Any]:
    """Give exactly the JSON that is sent for a request, or for its fields.

    A local source picture is read and put in as a data URL; when it is sent, one above 512 KiB is
    uploaded first and its address stands there instead. Where the engine takes a seed and none
    is given, one is chosen, so two calls differ. `currencies` limits the accounts that may pay;
    left out, the service's own order holds. Raises RequestInvalid.
    """
    terms = Terms(tags, metadata, external_id, allow_mature_content, currencies, priority)
    prepared = prepare(Order(ImageRequest.of(request), terms))
    body = prepared.body(s if isinstance(s, str) else s.data_url() for s in prepared.sources)
    return body if external_id is None else {**body, "externalId": external_id}
