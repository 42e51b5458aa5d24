"""What each tool's answer looks like, for interfaces that must say so beforehand.

answers.py makes the answers; a test holds them against these models. Names may come that are not
here, so none is forbidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class NextCall(BaseModel):
    """The exact next call."""

    tool: str
    arguments: dict[str, Any]


class Output(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(extra="allow")

    message: str | None = None
    sandbox: bool | None = Field(default=None, description="true: nothing of it is real.")
    next: NextCall | None = Field(default=None, description="The exact next call to make.")


class PictureOut(BaseModel):
    path: str | None = Field(default=None, description="Where it is saved.")
    resource: str | None = Field(default=None, description="Where a client can read it whole.")
    size: str | None = Field(default=None, description="Pixels, such as 1024x768.")
    seed: int | None = None
    available: bool | None = None
    reason: str | None = Field(default=None, description="Why it is not there.")


class Made(Output):
    """A workflow, ended or not; or, where only that was asked for, its price."""

    id: str | None = Field(default=None, description="The workflow's id.")
    status: str | None = None
    progress: str | None = None
    engine: str | None = None
    buzz: int | None = Field(default=None, description="What it costs, in Buzz.")
    refunded: int | None = None
    images: list[PictureOut] | None = None
    outputs: list[dict[str, Any]] | None = Field(
        default=None, description="Of steps that give no picture."
    )
    enhanced_prompt: str | None = Field(default=None, description="What it was drawn from.")
    notes: list[str] | None = None
    warnings: list[str] | None = None
    enough_buzz: bool | None = None
    within_limit: bool | None = None
    at_most: int | None = Field(
        default=None, description="What counts against the limit where the price is not certain."
    )
    limit: int | None = Field(default=None, description="The most that a call may cost, in Buzz.")
    size: str | None = None


class Past(BaseModel):
    id: str | None = None
    created: str | None = None
    status: str
    engine: str | None = None
    variant: str | None = None
    cost: int | None = None
    images: int | None = Field(default=None, description="How many are there.")
    prompt: str | None = None
    tags: list[str] | None = None


class Found(Output):
    """Past workflows, newest first."""

    items: list[Past]


class CanceledOut(Output):
    """What a cancel came to."""

    id: str
    status: str
    refunded: int = Field(description="Buzz.")


class ChoiceOut(BaseModel):
    engine: str
    variant: str
    arguments: dict[str, Any] = Field(description="To pass on with a prompt.")
    buzz: int | None = None
    reason: str
    price: str | None = None
    size: str | None = None
    seconds: str | None = None
    not_made_for: list[str] | None = None
    way: str | None = Field(default=None, description="A cheaper way to the same end.")
    pictures: int | None = Field(default=None, description="How many that takes.")
    together: int | None = Field(default=None, description="What they cost together, in Buzz.")


class Chosen(Output):
    """Engines, best first."""

    choices: list[ChoiceOut]
    prompting: str = Field(description="How to word the prompt for the first.")
    then: str | None = None


class ComparedOut(PictureOut):
    engine: str
    buzz: int | None = None


class Compared(Output):
    """A comparison; or, where only that was asked for, its price."""

    sheet: str | None = Field(default=None, description="The pictures side by side, one file.")
    buzz: int | None = Field(default=None, description="What all of them cost, in Buzz.")
    images: list[ComparedOut] | None = None
    engines: dict[str, int] | None = Field(default=None, description="The price of each.")
    limit: int | None = None
    within_limit: bool | None = None


class ModelOut(BaseModel):
    """One version of a model; its words are its author's."""

    model_config = ConfigDict(extra="allow")

    air: str
    kind: str
    name: str | None = None
    version: str | None = None
    base_model: str | None = None
    trigger_words: list[str] | None = None
    about: str | None = None


class ModelsOut(Output):
    """Models that can be generated with."""

    models: list[ModelOut]
    then: str | None = None


class DescribedOut(Output, ModelOut):
    """One model and its versions."""

    engines: list[dict[str, Any]] | None = None
    can_generate: bool | None = None
    refused: str | None = Field(default=None, description="Why it can't be used.")
    versions: list[dict[str, Any]] | None = None


class Quoted(BaseModel):
    """What strangers wrote, as far as it goes."""

    model_config = ConfigDict(extra="allow")

    arguments: dict[str, Any] = Field(description="To pass on, changed as the user wants.")
    resources: list[dict[str, Any]] | None = None
    not_carried: list[dict[str, str]] | None = None
    unresolved: list[dict[str, str | None]] | None = None


class Remixed(Output):
    """How a picture was made, as a request."""

    dialect: str
    about: str
    quoted: Quoted
    then: str | None = None


OUTPUTS: Mapping[str, type[Output]] = {
    "civitai_generate_image": Made,
    "civitai_finish_image": Made,
    "civitai_get_image": Made,
    "civitai_submit_image": Made,
    "civitai_estimate_image": Made,
    "civitai_query_images": Found,
    "civitai_cancel_image": CanceledOut,
    "civitai_choose_engine": Chosen,
    "civitai_compare_images": Compared,
    "civitai_search_models": ModelsOut,
    "civitai_describe_model": DescribedOut,
    "civitai_remix_image": Remixed,
}
