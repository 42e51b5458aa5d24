"""The keywords that client methods take, typed once for both clients and every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.purchase.body import Terms
from civitai_skill.purchase.events import Tell, ignore_event
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.resources.records import Kind
from civitai_skill.resources.search import Sort
from civitai_skill.schema.fields import RequestFields
from civitai_skill.schema.request import ImageRequest

#: A prompt, a request or its fields; or a workflow of the service's own form, which takes no other
#: keywords than those of PurchaseRules.
RequestLike = ImageRequest | str | Mapping[str, Any] | WorkflowBody


class PriceOptions(RequestFields, total=False):
    """And what else changes a price. `sources` says which sources may be named."""

    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None
    sources: SourcePolicy


class PurchaseRules(TypedDict, total=False):
    """The rules of a purchase.

    `max_buzz` is the most it may cost; `tell` is called with every event on the way (see
    events.Event). `again` buys anew although an earlier run of the same is open; `purpose` names
    the door in the ledger, and a door whose caller is a person or a model refuses what it is making
    already.
    """

    max_buzz: int | None
    tell: Tell | None
    again: bool
    purpose: str


class PurchaseOptions(PriceOptions, PurchaseRules, total=False):
    """And what surrounds a purchase.

    `external_id` is the idempotency key (a fresh one when left out); `notes` writes NAME.json
    beside each picture, which tells how it was made.
    """

    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    external_id: str | None
    notes: bool


class AgainOptions(PurchaseOptions, total=False):
    """And another prompt."""

    prompt: str


class RemixOptions(RequestFields, total=False):
    """What is said otherwise than the picture's data says; `sources` says which files and pages may
    be named."""

    prompt: str
    sources: SourcePolicy


class QueryFilters(TypedDict, total=False):
    """Which past workflows: tags are combined with AND, `text` searches the metadata, `since` and
    `until` are ISO dates; `running` leaves only those that have not ended."""

    tags: Sequence[str]
    take: int
    text: str | None
    since: str | None
    until: str | None
    ascending: bool | None
    exclude_failed: bool
    running: bool


class SearchOptions(TypedDict, total=False):
    """Which models: of a `type` (checkpoint, lora, embedding, vae), taken by an `engine`, in an
    order (`sort`: relevance, downloads, rating, newest), with `mature` ones, the first `take`."""

    type: Kind | None
    engine: str | None
    sort: Sort
    mature: bool
    take: int


class Call:
    """A call's keywords, sorted into what is asked for and what surrounds it."""

    def __init__(self, asked: RequestLike, given: Mapping[str, Any]) -> None:
        fields = dict(given)
        self.tell: Tell = fields.pop("tell", None) or ignore_event
        self.max_buzz: int | None = fields.pop("max_buzz", None)
        self.again: bool = fields.pop("again", False)
        self.purpose: str = fields.pop("purpose", "python")
        self.notes: bool = False
        self.sources: SourcePolicy = EVERY_SOURCE
        self.asked: ImageRequest | WorkflowBody
        if isinstance(asked, WorkflowBody):
            odd = next(iter(fields), None)
            if odd is not None:
                raise RequestInvalid(Problem(odd, None, ", ".join(PurchaseRules.__annotations__)))
            self.terms, self.asked = Terms(), asked
            return
        self.notes = fields.pop("notes", False)
        self.sources = fields.pop("sources", EVERY_SOURCE)
        self.terms = Terms(
            **{name: fields.pop(name) for name in Terms.__dataclass_fields__ if name in fields}
        )
        self.asked = ImageRequest.of(asked, **fields)
