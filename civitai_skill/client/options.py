"""The keywords that client methods take, typed once for both clients and every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from civitai_skill.images.sources import SourcePolicy
from civitai_skill.purchase.events import Tell
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.resources.records import Kind
from civitai_skill.resources.search import Sort
from civitai_skill.schema.fields import FinishFields, RequestFields
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest

#: A prompt, a request or its fields; or a workflow of the service's own form, which takes no other
#: keywords than those of PurchaseRules.
RequestLike = ImageRequest | FinishRequest | str | Mapping[str, Any] | WorkflowBody


class PriceTerms(TypedDict, total=False):
    """What changes a price beside the request. `sources` says which sources may be named."""

    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None
    sources: SourcePolicy


class PriceOptions(RequestFields, PriceTerms, total=False):
    """The fields of a request, and what else changes its price."""


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


class PurchaseTerms(PurchaseRules, total=False):
    """And what surrounds a purchase.

    `external_id` is the idempotency key (a fresh one when left out); `notes` writes NAME.json
    beside each picture, which tells how it was made; with `keep_all` the pictures from before the
    last step are saved too.
    """

    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    external_id: str | None
    notes: bool
    keep_all: bool


class PurchaseOptions(PriceOptions, PurchaseTerms, total=False):
    """The fields of a request, and all that surrounds its purchase."""


class FinishOptions(FinishFields, PriceTerms, PurchaseTerms, total=False):
    """The fields of a request to finish pictures, and all that surrounds its purchase."""


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


def finishing(pictures: Any, given: Mapping[str, Any]) -> tuple[FinishRequest, dict[str, Any]]:
    """A request to finish pictures, and what surrounds its purchase. Raises RequestInvalid."""
    # What is no keyword at all is refused with the fields that there are.
    known = {*PriceTerms.__annotations__, *PurchaseTerms.__annotations__}
    around = {n: v for n, v in given.items() if n in known - FinishRequest.model_fields.keys()}
    fields = {n: v for n, v in given.items() if n not in around}
    return FinishRequest.of(pictures, **fields), around
