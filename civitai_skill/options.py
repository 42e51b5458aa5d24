"""The keywords that client methods take, typed once for both clients and every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from civitai_skill.events import Tell, silent
from civitai_skill.pricing import Terms
from civitai_skill.request import ImageRequest, Quality
from civitai_skill.sources import EVERY_SOURCE, SourcePolicy

Asked = ImageRequest | str | Mapping[str, Any]


class Fields(TypedDict, total=False):
    """The fields of an ImageRequest, as keywords beside a prompt."""

    engine: str
    variant: str | None
    route: str | None
    quality: Quality
    negative_prompt: str | None
    width: int | None
    height: int | None
    aspect_ratio: str | None
    quantity: int
    seed: int | None
    steps: int | None
    guidance: float | None
    sampler: str | None
    scheduler: str | None
    model: str | None
    loras: Sequence[Any]
    images: Sequence[str]
    strength: float | None
    output_format: str | None
    options: Mapping[str, Any]


class Pricing(Fields, total=False):
    """And what else changes a price. `sources` says which sources may be named."""

    allow_mature_content: bool | None
    currencies: Sequence[str] | None
    priority: str | None
    sources: SourcePolicy


class Rules(TypedDict, total=False):
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


class Buying(Pricing, Rules, total=False):
    """And what surrounds a purchase.

    `external_id` is the idempotency key (a fresh one when left out); `notes` writes NAME.json
    beside each picture, which tells how it was made.
    """

    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    external_id: str | None
    notes: bool


class Filters(TypedDict, total=False):
    """Which past workflows: tags are combined with AND, `text` searches the metadata, `since` and
    `until` are ISO dates."""

    tags: Sequence[str]
    take: int
    text: str | None
    since: str | None
    until: str | None
    ascending: bool | None
    exclude_failed: bool


class Call:
    """A call's keywords, sorted into what is asked for and what surrounds it."""

    def __init__(self, asked: Asked, given: Mapping[str, Any]) -> None:
        fields = dict(given)
        self.tell: Tell = fields.pop("tell", None) or silent
        self.max_buzz: int | None = fields.pop("max_buzz", None)
        self.again: bool = fields.pop("again", False)
        self.notes: bool = fields.pop("notes", False)
        self.purpose: str = fields.pop("purpose", "python")
        self.sources: SourcePolicy = fields.pop("sources", EVERY_SOURCE)
        self.terms = Terms(
            **{name: fields.pop(name) for name in Terms.__dataclass_fields__ if name in fields}
        )
        self.request = ImageRequest.of(asked, **fields)
