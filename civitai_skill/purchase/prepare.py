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
from civitai_skill.engines.planning.plan import Plan, with_seed
from civitai_skill.engines.planning.sources import check_masks, named
from civitai_skill.engines.sources import fill, picture_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.convert import Conversion
from civitai_skill.images.embedded import embed
from civitai_skill.images.sources import INLINE_BYTES, Source, SourcePolicy, open_source
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.identity import first_attempt, hash_json
from civitai_skill.purchase.local import check_conversion, conversion_of
from civitai_skill.purchase.order import Order, WorkflowBody
from civitai_skill.resources.resolve import NAMING, resolve_request, with_engine
from civitai_skill.resources.site import ModelSite
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.steps.chain import (
    ChainPlan,
    FinishPlan,
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
    #: What becomes of each picture on this machine.
    conversion: Conversion | None = None

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
        """The workflow template without its key; `places` are its sources as they travel, and what
        draws says in the picture what was asked for."""
        steps, where, plan = list(self.steps), list(places), self.plan
        for at, step in enumerate(self.steps):
            if self.request is not None and plan is not None and step["$type"] == "imageGen":
                made = step["input"]
                told = embed(self.request, plan.family or "", plan.variant or "", made.get("seed"))
                if told is not None:
                    steps[at] = step = {**step, "input": {"imageMetadata": told, **made}}
            if at in self.takes:
                form, taken = self.takes[at]
                filled = fill(form, step["input"], [where[i] for i in taken])
                steps[at] = {**step, "input": filled}
        return {"steps": steps, **self.around}

    def travels_apart(self, number: int) -> bool:
        """Must a source be uploaded, however small: several steps take it, or one that reads
        addresses alone?"""
        takers = [form for form, taken in self.takes.values() if number in taken]
        return len(takers) > 1 or any(issubclass(f, (Captioning, Tagging)) for f in takers)

    def with_seed(self, seed: int) -> Prepared:
        """The same with a seed that counts as asked for."""
        decided = self.plan
        assert isinstance(decided, Plan), "only a request has a seed to set"
        moved = 0 if decided.seed is None else seed - decided.seed
        content = {**self.content, "input": {**self.content["input"], "seed": seed}}
        return replace(
            self,
            steps=_move_seed(self.steps, moved),
            content=content,
            plan=with_seed(decided, seed),
        )


def _move_seed(steps: Iterable[Mapping[str, Any]], by: int) -> list[dict[str, Any]]:
    """Steps whose drawings start elsewhere; the others draw nothing by chance."""
    return [
        {**step, "input": {**step["input"], "seed": step["input"]["seed"] + by}}
        if step["$type"] == "imageGen" and "seed" in step["input"]
        else dict(step)
        for step in steps
    ]


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
    asked = order.asked
    if isinstance(asked, WorkflowBody):
        return _prepare_body(asked.body)
    around, priority = order.terms.around(), order.terms.priority
    if isinstance(asked, FinishRequest):
        several = len(asked.images) > 1
        places = [(f"images.{i}" if several else "images", text) for i, text in
                  enumerate(asked.images)]  # fmt: skip
    else:
        asked = with_engine(asked)
        if asked.inpaint is not None:
            asked = with_mask(asked)
        places = named(asked)
    sources = tuple(open_source(text, place, order.sources) for place, text in places)
    sizes = tuple(None if isinstance(source, str) else source.size for source in sources)
    digests = [s if isinstance(s, str) else hashlib.sha256(s.data).hexdigest() for s in sources]
    plan: Planned
    if isinstance(asked, FinishRequest):
        plan = plan_finishing(asked, sizes)
        steps = [step.to_json() for step in plan.steps]
        content: dict[str, Any] = {"steps": steps}
    else:
        if len(places) > 1:
            check_masks(dict(zip((place for place, _ in places), sizes, strict=True)))
        plan = plan_request(asked, sizes[: len(asked.images)])
        plan = replace(
            plan, notes=(*order.told, *plan.notes), warnings=(*order.warned, *plan.warnings)
        )
        drawn = {"$type": "imageGen", "input": plan.form.sent()}
        steps = [step.to_json() for step in plan.steps] if isinstance(plan, ChainPlan) else [drawn]
        content = _content_of(asked, plan, steps, digests)
    takes: dict[int, tuple[type[BaseModel], tuple[int, ...]]] = {}
    if isinstance(plan, ChainPlan | FinishPlan):
        takes = {i: (type(s.form), s.takes) for i, s in enumerate(plan.steps) if s.takes}
    elif sources:
        takes = {0: (type(plan.form), tuple(range(len(sources))))}
    conversion = conversion_of(asked)
    if conversion is not None:
        check_conversion(asked, conversion, plan)
    if priority is not None:
        steps = [{**step, "priority": priority} for step in steps]
    return Prepared(
        steps,
        around,
        {**content, "sources": digests, "terms": {**around, "steps": priority}},
        order.terms.external_id,
        plan.quantity,
        plan.family,
        plan.variant,
        plan,
        sources,
        order.asked if isinstance(order.asked, ImageRequest) else None,
        takes,
        conversion,
    )


def _content_of(
    request: ImageRequest, plan: Plan, steps: Sequence[Mapping[str, Any]], digests: Sequence[str]
) -> dict[str, Any]:
    """What of a request makes it the same purchase: what is drawn, without a seed that was drawn
    for it, with its sources by their content; and the steps beside."""
    form, content = plan.form, dict[str, Any]()
    made = form.sent()
    if isinstance(plan, ChainPlan):
        drawing = next(step for step in plan.steps if step.form is form)
        made = drawing.to_json()["input"]
        # Where the seed is left to chance, that of a second drawing is too.
        others = (step for step in steps if step["name"] != drawing.name)
        content["steps"] = _move_seed(others, -(plan.seed or 0))
    if digests:
        made = fill(type(form), made, digests)
    picture = picture_of(type(form))
    left_out = {"seed"} if request.seed is None else set()
    if picture is not None:
        left_out.add(form.alias(picture))
    return {
        "input": {name: value for name, value in made.items() if name not in left_out},
        **content,
    }


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
    Terms(external_id=body.get("externalId")).around()
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
