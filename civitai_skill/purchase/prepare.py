"""What an order would send: prepared in one way for estimates, purchases, tools and batches.

Sources are opened once and the body is built once; nothing is sent here, but for sources that are
too large to travel inside the body.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from civitai_skill.api.blobs import upload
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Flow, Service
from civitai_skill.api.workflows import encode_body
from civitai_skill.engines.catalog import identify
from civitai_skill.engines.planning.plan import Plan, plan, with_seed
from civitai_skill.engines.planning.sources import check_masks, named
from civitai_skill.engines.sources import fill, picture_of
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import INLINE_BYTES, Source, SourcePolicy, open_source
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.identity import first_attempt, hash_json
from civitai_skill.purchase.order import Order, WorkflowBody
from civitai_skill.schema.request import ImageRequest

#: Opens the source that a text names in a field.
Open = Callable[[str, str, SourcePolicy], Source | str]


@dataclass(frozen=True)
class Prepared:
    """An order ready to be priced and sent.

    `steps` and what stands `around` them make its workflow template; the steps name sources as the
    request does, and `sources` are those sources, opened. `content` is what makes it the same
    purchase as another one, `key` the caller's own. `plan` is None where the caller wrote the body.
    """

    steps: list[dict[str, Any]]
    around: dict[str, Any]
    content: Mapping[str, Any]
    key: str | None
    wanted: int
    engine: str | None
    variant: str | None
    plan: Plan | None = None
    sources: tuple[Source | str, ...] = ()

    @property
    def planned(self) -> Plan:
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
        steps = self.steps
        if self.plan is not None and self.sources:
            (step,) = steps
            steps = [{**step, "input": fill(type(self.plan.form), step["input"], places)}]
        return {"steps": steps, **self.around}

    def with_seed(self, seed: int) -> Prepared:
        """The same with a seed that counts as asked for."""
        assert self.plan is not None, "only a request has a seed to set"
        (step,) = self.steps
        steps = [{**step, "input": {**step["input"], "seed": seed}}]
        content = {**self.content, "input": {**self.content["input"], "seed": seed}}
        return replace(self, steps=steps, content=content, plan=with_seed(self.plan, seed))


def prepare(order: Order, open_source: Open = open_source) -> Prepared:
    """Open the sources, choose the form, fill it. Raises RequestInvalid."""
    if isinstance(order.asked, WorkflowBody):
        return _prepare_body(order.asked.body)
    request, terms = order.asked, order.terms
    terms.check()
    places = named(request)
    sources = tuple(open_source(text, field, order.sources) for field, text in places)
    sizes = tuple(None if isinstance(source, str) else source.size for source in sources)
    check_masks(dict(zip((field for field, _ in places), sizes, strict=True)))
    decided = plan(request, sources=sizes[: len(request.images)])
    form, around = decided.form, terms.around()
    step: dict[str, Any] = {"$type": "imageGen", "input": form.sent()}
    if terms.priority is not None:
        step["priority"] = terms.priority

    digests = [s if isinstance(s, str) else hashlib.sha256(s.data).hexdigest() for s in sources]
    made = fill(type(form), step["input"], digests) if sources else dict(step["input"])
    picture = picture_of(type(form))
    if picture is not None:
        made.pop(form.alias(picture), None)
    if request.seed is None:
        made.pop("seed", None)
    content = {"input": made, "sources": digests, "terms": {**around, "steps": terms.priority}}
    return Prepared(
        [step],
        around,
        content,
        terms.external_id,
        decided.quantity,
        decided.family,
        decided.variant,
        decided,
        sources,
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


def upload_sources(service: Service, prepared: Prepared) -> Flow[dict[str, Any]]:
    """The body with its sources where the service can read them: small ones inside, large ones
    uploaded."""
    places: list[str] = []
    for source in prepared.sources:
        if isinstance(source, str):
            places.append(source)
        elif len(source.data) <= INLINE_BYTES:
            places.append(source.data_url())
        else:
            places.append((yield from upload(service, source)))
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
